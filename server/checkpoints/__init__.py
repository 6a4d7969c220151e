"""The checkpoints as the server knows them, and their downloads."""
