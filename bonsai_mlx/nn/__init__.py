"""Layers that any model is made of."""
