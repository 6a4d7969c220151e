"""What is done with many pictures."""
