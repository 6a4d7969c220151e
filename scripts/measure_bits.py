#!/usr/bin/env python3
"""Export the autoencoder of a run of the bits, finished or not, and measure it on pictures that it has not seen.

    scripts/measure_bits.py RUN OUT [--prompts 30] [--pictures 64]

OUT becomes a folder that `bonsai-mlx encode` and `decode` take as --model; it draws nothing. The run is only read.
Prints JSON, and exits 1 where the gate of docs/bits.md is not passed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import bonsai_mlx
from seedling.model import process

bonsai_mlx.prepare()  # before anything imports MLX
process.settle()

from seedling.bits.autoencoder import AUTOENCODER
from seedling.bits.export import export_autoencoder
from seedling.bits.reconstruction import measured, passes
from seedling.draw import rendering
from seedling.judge.evaluate import prompts
from seedling.model.corpus import Pictures
from seedling.model.run import Run
from seedling.options import Options


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0 when the gate is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument("out", type=Path, metavar="OUT", help="a new folder for the autoencoder")
    parser.add_argument("--prompts", type=int, default=30, metavar="N", help="judged drawings of each category")
    parser.add_argument("--pictures", type=int, default=64, metavar="N", help="held-back pictures, at most 64")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        run = _copied(asked.run, Path(scratch))
        export_autoencoder(run, asked.out)
        pixels = Pictures(run, rendering.HELD_BACK).pixels.numpy()[: asked.pictures]
    found = measured(asked.out, pixels, prompts(asked.prompts))
    print(json.dumps(found, indent=2))
    return 0 if passes(found) else 1


def _copied(folder: Path, scratch: Path) -> Run:
    """The run's weights and options in a folder of their own: it may be under way."""
    for name in ("options.json", f"{AUTOENCODER}.safetensors"):
        shutil.copy(folder / name, scratch / name)
    return Run(scratch, Options(**json.loads((scratch / "options.json").read_text("utf-8"))))


if __name__ == "__main__":
    sys.exit(main())
