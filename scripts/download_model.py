#!/usr/bin/env python3
"""`bonsai-mlx download`, from a checkout: only what is needed, resumable, checked, shared between variants."""

import sys

try:
    from bonsai_mlx.cli.main import main
except ModuleNotFoundError as error:
    sys.exit(f"{error}; run scripts/setup first and use the Python of its environment: .venv/bin/python {sys.argv[0]}")

if __name__ == "__main__":
    sys.exit(main(["download", *sys.argv[1:]]))
