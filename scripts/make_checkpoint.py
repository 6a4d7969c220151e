#!/usr/bin/env python3
"""Write a checkpoint with random weights in the published layout, for tests and for measurements at full size."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from bonsai_mlx.flux2.synthesis import PRESETS, make_checkpoint
from bonsai_mlx.weights.spec import PRECISIONS


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0 when the checkpoint was written, 2 when it could not be."""
    options = _parser().parse_args(arguments)
    started = time.monotonic()
    try:
        folder = make_checkpoint(
            options.out,
            options.preset,
            options.precision,
            options.seed,
            tokenizer=options.tokenizer,
            common=options.common,
            group_size=options.group_size,
            **({"text_encoder": {"quantization": None}} if options.encoder == "bf16" else {}),
        )
    except (OSError, ValueError) as error:
        print(f"make_checkpoint: {error}", file=sys.stderr)
        return 2
    total_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {options.precision} {options.preset}, {total_bytes / 1e9:.2f} GB", end=" ")
    print(f"in {time.monotonic() - started:.1f} s")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=tuple(PRESETS), default="tiny", help="tiny (default) or the real size")
    parser.add_argument("--precision", "--variant", choices=PRECISIONS, default="ternary")
    parser.add_argument("--group-size", type=int, choices=(32, 64, 128), default=128, help="of packed weights (128)")
    parser.add_argument("--encoder", choices=("4-bit", "bf16"), default="4-bit", help="the text encoder (4-bit)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes")
    parser.add_argument("--tokenizer", type=Path, metavar="DIR", help="a tokenizer to copy instead of the embedded one")
    parser.add_argument(
        "--common", type=Path, metavar="DIR", help="a made checkpoint to hard-link everything but the transformer from"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
