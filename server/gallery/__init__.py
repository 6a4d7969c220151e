"""The pictures: files in a folder, and the index of what they say."""
