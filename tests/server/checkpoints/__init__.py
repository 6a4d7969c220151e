"""Tests of server/checkpoints."""
