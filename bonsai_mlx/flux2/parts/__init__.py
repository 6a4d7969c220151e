"""The parts of a checkpoint as files: their configs, their tensors, and other programs' names for these."""
