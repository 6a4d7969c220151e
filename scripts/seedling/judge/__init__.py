"""What the models draw, held against what was asked for, and the report of it."""
