"""Codes of pictures, from the engine's process."""
