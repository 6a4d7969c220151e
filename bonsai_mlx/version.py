"""The version, in a module that anything may import."""

__version__ = "0.2.0"
