"""Tests of server/library."""
