"""Checkpoints: which there are, where they lie, how they get there and go again."""
