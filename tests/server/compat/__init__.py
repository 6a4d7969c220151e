"""Tests of server/compat."""
