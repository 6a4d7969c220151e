"""Checkpoints written anew: in another precision, as a GGUF, packed while they come from the Hub."""
