"""The prompt writer: from a few words to a scene, and whether it says everything that was asked for."""
