"""Comparisons with diffusers and transformers, which compute in torch what the engine computes in MLX."""
