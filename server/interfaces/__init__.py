"""Which paths belong to other programs' interfaces, and when those are imported."""
