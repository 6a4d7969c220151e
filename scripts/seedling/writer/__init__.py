"""The seedling's prompt writer: from a few words to a whole scene of the world that the seedling draws."""
