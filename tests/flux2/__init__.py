"""Tests of flux2."""
