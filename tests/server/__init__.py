"""Tests of the server. Engines are real child processes; most of them draw grey squares instead of running a model."""
