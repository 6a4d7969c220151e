"""FLUX.2 [klein] with packed weights, and its memory plan."""
