"""Mirrors bonsai_mlx/flux2/parts."""
