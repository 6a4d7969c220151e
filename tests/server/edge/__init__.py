"""Tests of server/edge."""
