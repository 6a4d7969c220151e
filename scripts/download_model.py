#!/usr/bin/env python3
"""Download a Bonsai checkpoint: only the files that are needed, resumable, checked, and shared between variants."""

import argparse
import sys
from pathlib import Path

try:
    from bonsai_mlx.cli.download import download_command
    from bonsai_mlx.runtime.environment import tidy
except ModuleNotFoundError as error:
    sys.exit(f"{error}; run scripts/setup first and use the Python of its environment: .venv/bin/python {sys.argv[0]}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="Interrupted? The same command goes on from there.")
    parser.add_argument(
        "which", help="ternary, binary, both, or a Hub repository in the same layout (owner/name, or its address)"
    )
    parser.add_argument("--dir", type=Path, help="a folder for it (for both: one folder each in it); default: HF cache")
    parser.add_argument("--revision", help="another branch, tag or commit than the known good one")
    parser.add_argument("--verify", action="store_true", help="also hash again what was downloaded earlier")
    parser.add_argument("--token", help="for private repositories; better set HF_TOKEN, which other users cannot see")
    parser.add_argument("--json", action="store_true", help="one JSON object per line on stdout, for programs")
    return parser.parse_args()


def main() -> int:
    tidy()
    arguments = parse_arguments()
    return download_command(
        arguments.which,
        folder=arguments.dir,
        revision=arguments.revision,
        token=arguments.token,
        verify=arguments.verify,
        as_json=arguments.json,
    )


if __name__ == "__main__":
    sys.exit(main())
