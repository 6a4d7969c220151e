"""A1111's interface."""
