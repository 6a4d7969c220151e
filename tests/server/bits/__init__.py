"""The server with a model whose latents are bits."""
