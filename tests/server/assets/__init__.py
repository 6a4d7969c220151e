"""Tests of server/assets."""
