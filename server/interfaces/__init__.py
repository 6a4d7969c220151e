"""What is imported with the first request for it: other programs' interfaces, with the paths that are theirs, and what
the first page does without."""
