#!/usr/bin/env python3
"""Train the seedling's prompt writer from nothing, on a CPU, in twenty minutes of its time.

scripts/train_writer.py --out FOLDER             # train, into FOLDER
scripts/train_writer.py --out FOLDER --install   # write what was trained into bonsai_mlx/seedling/writer
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from seedling.writer.train import WriterOptions, export, train

PROJECT = Path(__file__).resolve().parents[1]
SEEDLING = PROJECT / "bonsai_mlx" / "seedling"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--minutes", type=float, default=20.0, help="of the processor's time")
    parser.add_argument("--wall-minutes", type=float, default=60.0, help="at most, on a busy machine")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bits", type=int, choices=(4, 8), default=8, help="of a weight that is installed")
    parser.add_argument("--install", action="store_true", help="write the trained weights into the package")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    options = WriterOptions(minutes=arguments.minutes, wall_minutes=arguments.wall_minutes)
    tokenizer = SEEDLING / "common" / "tokenizer"
    if arguments.install:
        export(arguments.out, SEEDLING / "writer", options, arguments.bits)
    else:
        train(arguments.out, tokenizer, options)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
