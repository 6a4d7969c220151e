"""The prompt writer, as the server has it."""
