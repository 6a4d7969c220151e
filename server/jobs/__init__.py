"""The queue, and what works it off."""
