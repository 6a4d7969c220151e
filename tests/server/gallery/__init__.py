"""Tests of server/gallery."""
