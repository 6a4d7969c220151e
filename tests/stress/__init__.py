"""Load, chaos and hostile input: long under scripts/stress.py, reduced in the ordinary test run.

Each module has one `CASE`. Everything stays on the loopback address and in folders of its own.
"""
