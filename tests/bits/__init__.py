"""Models whose latents are bits."""
