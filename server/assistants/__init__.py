"""What assistants that use the tools are told, and what of this machine they may name."""
