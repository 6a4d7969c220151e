"""Tests of server/index."""
