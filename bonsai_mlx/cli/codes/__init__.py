"""Pictures as codes of bits, on the command line."""
