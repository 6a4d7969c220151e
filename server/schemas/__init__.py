"""The shapes of the native interface's answers, and of what changes them. No behaviour beyond validation."""
