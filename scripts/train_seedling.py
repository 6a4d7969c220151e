#!/usr/bin/env python3
"""Train the embedded demonstration checkpoints from nothing: data, VAE, transformer, distillation, export.

Run it again with the same folder and it goes on where it stopped. With the preset "cpu" two cores compute for six
hours, which takes seven to eight, and evaluate for three and a half; "gpu", for one large GPU, trains for 22 minutes
and has not been run to its end yet.
"""

from __future__ import annotations

import argparse
import signal
import sys
from dataclasses import replace
from pathlib import Path

from seedling.model import process

process.settle()

import torch

from seedling.install import install
from seedling.model.run import Paused, Run, bundle, unbundle
from seedling.options import BITS_STAGES, PARTS, PRESETS, STAGES, TIMED, Options, preset
from seedling.stages import check, train

PROJECT = Path(__file__).resolve().parents[1]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0 when everything is trained, 3 when the time was over before, 2 for bad arguments."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads or torch.get_num_threads())
    torch.set_float32_matmul_precision("high")
    if options.resume_from and not (options.out / "options.json").is_file():
        unbundle(options.resume_from, options.out)
    try:
        run = Run(options.out, _settings(options), options.minutes)
        check(run, options.stage)
    except ValueError as error:
        return _refused(error)
    signal.signal(signal.SIGTERM, lambda *_: setattr(run, "deadline", 0.0))
    try:
        train(run, options.stage, options.part)
    except Paused as pause:
        print(f"paused in {pause}; the same command goes on from here", flush=True)
        return 3
    finally:
        if options.bundle:
            for path in bundle(options.out, options.bundle):
                print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    try:
        if options.install:
            install(run, PROJECT)
    except ValueError as error:
        return _refused(error)
    return 0


def _refused(error: ValueError) -> int:
    print(f"train_seedling: {error}", file=sys.stderr)
    return 2


def _settings(options: argparse.Namespace) -> Options:
    """The preset with the budgets of the command line. ValueError for a stage that takes no budget."""
    chosen = preset(options.preset, options.seed)
    budgets = dict(chosen.minutes)
    for text in options.budget:
        stage, _, minutes = text.partition("=")
        if stage not in TIMED:
            raise ValueError(f"--budget {text}: give STAGE=MINUTES with one of {', '.join(TIMED)}")
        budgets[stage] = float(minutes)
    return replace(chosen, minutes=budgets)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=tuple(PRESETS), required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run's folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, metavar="N", help="stop cleanly after about N minutes")
    parser.add_argument(
        "--budget", action="append", default=[], metavar="STAGE=MINUTES", help="instead of the preset's"
    )
    parser.add_argument(
        "--part", choices=tuple(PARTS), default="seedling", help="which stages; the bits' begin with the seedling"
    )
    parser.add_argument(
        "--stage", choices=(*STAGES, *BITS_STAGES), help="run this stage alone; evaluation and export also again"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads of torch on a CPU")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="at the end, write the run there in files of 15 MiB")
    parser.add_argument("--resume-from", type=Path, metavar="DIR", help="begin with a run that --bundle wrote")
    parser.add_argument("--install", action="store_true", help="then put the checkpoints and the page into the project")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
