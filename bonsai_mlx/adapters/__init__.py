"""Adapters (LoRA, LoKr): their files, what fits which model, and what is added to its linears."""
