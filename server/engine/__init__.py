"""The child process that draws, and its side of the server."""
