"""Picture files: what they say of how they were made."""
