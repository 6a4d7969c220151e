"""Pictures that go in: reading them, their masks, and the canvas on which they are drawn."""
