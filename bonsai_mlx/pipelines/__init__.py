"""What stands around a picture: styles, alternatives, axes, contact sheets, batches, and the prompt writer."""
