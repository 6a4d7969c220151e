"""Upscalers of the ESRGAN family, from files that a user has."""
