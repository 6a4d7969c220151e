#!/usr/bin/env python3
"""Try to break the server: load, crashes, kills, hostile requests and files. Loopback only, in temporary folders.

    scripts/stress.py                       # everything in full: about an hour
    scripts/stress.py --only kills --rounds 20
    scripts/stress.py --list

Exits with 1 if a bar is missed. The same cases run with fewer rounds in scripts/test.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.stress.case import Case, Figures
from tests.stress.registry import cases


def main() -> int:
    """Run the chosen cases one after the other and report their figures against their bars."""
    arguments = _parser().parse_args()
    chosen = [cases()[name] for name in arguments.only or cases()]
    if arguments.list:
        for case in chosen:
            print(f"{case.name:14} {case.rounds:6} rounds  {case.what}")
        return 0
    results, failed = {}, []
    for case in chosen:
        results[case.name] = figures = _run(case, arguments.rounds or case.rounds, arguments.seed)
        failed += [f"{case.name}: {failure}" for failure in case.failures(figures)]
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    print("\n".join(failed) or "every bar is met")
    return int(bool(failed))


def _run(case: Case, rounds: int, seed: int) -> Figures:
    print(f"{case.name}: {case.what}, {rounds} rounds", flush=True)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="bonsai-stress-") as folder:
        figures = case.run(rounds, random.Random(seed), Path(folder))
    figures = {"rounds": float(rounds), **figures, "seconds": round(time.perf_counter() - started, 1)}
    for name, value in figures.items():
        print(f"  {name:28} {value:10.4g}   {case.bars.get(name, '')}", flush=True)
    return figures


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(cases()), metavar="CASE", help="these cases alone")
    parser.add_argument("--rounds", type=int, help="instead of each case's own number")
    parser.add_argument("--seed", type=int, default=1, help="of everything random (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--list", action="store_true", help="name the cases and end")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
