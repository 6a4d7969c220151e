"""Tests of server/options."""
