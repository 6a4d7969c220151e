"""The commands in groups: the options of each, and the call that they become."""
