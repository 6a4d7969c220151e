"""What is made of several requests, or of other words: styles, grids, pipelines."""
