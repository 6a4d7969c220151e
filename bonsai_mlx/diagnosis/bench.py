"""`bonsai-mlx bench`: seconds and memory of a checkpoint on this machine, in a form that can be compared.

A cold run starts with nothing of the checkpoint in memory and a prompt that was never encoded; a warm run has the
transformer resident and the prompt's embeddings cached. The system's file cache is left as it is. Peak, mean active and
integral are defined in memory.py; the process figures are those of the system's own monitor.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import mlx.core as mx

from ..errors import BonsaiError
from ..pipeline import Pipeline
from ..request import GenerationRequest
from ..result import Event
from ..runtime import device
from ..runtime.footprint import process_bytes_read, process_footprint
from ..runtime.memory import RunMemory, Sample
from ..usage import Parser
from ..version import __version__
from ..wording import byte_size, user_path, whole
from .chart import write_chart

PROMPT = "a red fox in the snow, ink wash"
SEED = 7
FORMAT = 1
Run = Mapping[str, Any]  # a measurement as a report holds it


@dataclass(frozen=True, slots=True)
class Measurement:
    """One generation. Times in seconds, memory in bytes."""

    kind: str  # "cold" or "warm"
    width: int
    height: int
    steps: int
    phases_s: Mapping[str, float]
    steps_s: Sequence[float]  # each denoising step
    peak_bytes: int
    phase_peak_bytes: Mapping[str, int]
    predicted_peak_bytes: int
    mean_active_bytes: int
    integral_gb_s: float
    process_peak_bytes: int
    idle_bytes: int  # what MLX holds after the picture
    idle_process_bytes: int
    read_bytes: int
    samples: Sequence[Sample] = field(repr=False, default=())


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status. What is wrong with a file or a size is told before minutes are spent."""
    arguments = _parser().parse_args(argv)
    before = _measurements_in(arguments.compare) if arguments.compare else None
    for file in filter(None, (arguments.json, arguments.chart)):
        _check_writable(file)
    measurements = list(_measured(arguments))
    report: dict[str, Any] = {
        "format": FORMAT,
        "model": str(arguments.model),
        "version": __version__,
        "device": device.details(),
        "measurements": [asdict(item) for item in measurements],
    }
    for line in table(report["measurements"]):
        print(line)
    if arguments.json:
        arguments.json.write_text(json.dumps(report) + "\n")
    if arguments.chart:
        write_chart(arguments.chart, measurements[-1].samples, f"{arguments.model}, {measurements[-1].kind}")
    if before is not None:
        for line in comparison(before, report["measurements"]):
            print(line)
    return 0


def _measured(arguments: argparse.Namespace) -> Iterator[Measurement]:
    pipe = Pipeline.from_pretrained(arguments.model, memory_limit_bytes=arguments.memory_limit)
    for width, height in arguments.sizes:
        pipe.plan(_request(width, height, arguments.steps))
    for width, height in arguments.sizes:
        for kind in ["cold"] + ["warm"] * arguments.repeats:
            print(f"{pipe.name} {width}x{height}, {arguments.steps} steps, {kind} ...", file=sys.stderr, flush=True)
            yield measure(pipe, kind, width, height, arguments.steps)
        pipe.unload()


def _measurements_in(file: Path) -> list[Run]:
    """Those of an earlier report, which can be compared. Raises BonsaiError for any other file."""
    try:
        measurements: list[Run] = json.loads(file.read_text())["measurements"]
        comparison(measurements, measurements)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise BonsaiError(
            f"{file}: is no report of bench --json that can be compared; give one to --compare"
        ) from error
    return measurements


def _check_writable(file: Path) -> None:
    """Raise OSError if `file` cannot be written; it stays as it is."""
    is_new = not file.exists()
    file.open("a").close()
    if is_new:
        file.unlink()


def measure(pipe: Pipeline, kind: str, width: int, height: int, steps: int) -> Measurement:
    if kind == "cold":
        pipe.unload()
        pipe.embeddings.clear()
    request = _request(width, height, steps)
    read_before = process_bytes_read()
    ends: list[float] = []
    last: Event | None = None
    with RunMemory() as memory:
        for event in pipe.run(request, memory=memory):
            if event.phase == "denoise":
                ends.append(event.elapsed_s)
            last = event
    assert last is not None and last.result is not None  # noqa: S101, PT018
    summary = memory.summary()
    return Measurement(
        kind=kind,
        width=width,
        height=height,
        steps=steps,
        phases_s=last.result.timings,
        steps_s=[round(after - before, 4) for before, after in pairwise(ends)],
        peak_bytes=summary["peak_bytes"],
        phase_peak_bytes=summary["phases"],
        predicted_peak_bytes=pipe.plan(request).peak_bytes,
        mean_active_bytes=summary["mean_active_bytes"],
        integral_gb_s=summary["integral_gb_s"],
        process_peak_bytes=summary["process_peak_bytes"],
        idle_bytes=mx.get_active_memory(),
        idle_process_bytes=process_footprint(),
        read_bytes=process_bytes_read() - read_before,
        samples=memory.samples,
    )


def _request(width: int, height: int, steps: int) -> GenerationRequest:
    return GenerationRequest(PROMPT, seed=SEED, steps=steps, width=width, height=height)


def table(measurements: Iterable[Mapping[str, Any]]) -> list[str]:
    head = f"{'size':>9} {'kind':>5} {'total s':>8} {'spread':>7} {'encode':>7} {'step':>7} {'decode':>7} "
    head += f"{'peak GB':>8} {'plan GB':>8} {'mean GB':>8} {'GB*s':>8} {'process':>8} {'idle GB':>8} {'read GB':>8}"
    return [head, *(_row(key, runs) for key, runs in _grouped(measurements).items())]


def comparison(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> list[str]:
    old, new = _grouped(before), _grouped(after)
    lines = [f"{'size':>9} {'kind':>5} {'time':>7} {'peak':>7} {'mean':>7}   (ratio to the compared report)"]
    for key in new.keys() & old.keys():
        ratios = [
            _median(new[key], value) / _median(old[key], value)
            for value in (_total, _of("peak_bytes"), _of("mean_active_bytes"))
        ]
        lines.append(f"{key[0]:>9} {key[1]:>5} " + " ".join(f"{ratio:7.3f}" for ratio in ratios))
    return lines


def _grouped(measurements: Iterable[Run]) -> dict[tuple[str, str], list[Run]]:
    groups: dict[tuple[str, str], list[Run]] = {}
    for item in measurements:
        groups.setdefault((f"{item['width']}x{item['height']}", item["kind"]), []).append(item)
    return groups


def _row(key: tuple[str, str], runs: Sequence[Run]) -> str:
    totals = [_total(run) for run in runs]
    cells = [
        f"{key[0]:>9} {key[1]:>5} {_median(runs, _total):8.2f} {max(totals) - min(totals):7.2f}",
        f"{_median(runs, _phase('encode')):7.2f} {_median(runs, _step):7.2f} {_median(runs, _phase('decode')):7.2f}",
    ]
    for name in ("peak_bytes", "predicted_peak_bytes", "mean_active_bytes"):
        cells.append(f"{_median(runs, _of(name)) / 1e9:8.3f}")
    cells.append(f"{_median(runs, _of('integral_gb_s')):8.2f}")
    for name in ("process_peak_bytes", "idle_bytes", "read_bytes"):
        cells.append(f"{_median(runs, _of(name)) / 1e9:8.3f}")
    return " ".join(cells)


def _median(runs: Sequence[Run], value: Callable[[Run], float]) -> float:
    return statistics.median(value(run) for run in runs)


def _of(name: str) -> Callable[[Run], float]:
    return lambda run: float(run[name])


def _phase(name: str) -> Callable[[Run], float]:
    return lambda run: float(run["phases_s"].get(name, 0.0))


def _total(run: Run) -> float:
    return float(run["phases_s"]["total"])


def _step(run: Run) -> float:
    return statistics.median(run["steps_s"])


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="bonsai-mlx bench", description="Measure seconds and memory of a checkpoint.")
    parser.add_argument("--model", default="seedling-ternary", help="catalog name, Hub id or folder (%(default)s)")
    parser.add_argument("--sizes", type=_sizes, default=[(512, 512)], metavar="WxH[,WxH]", help="default 512x512")
    parser.add_argument("--steps", type=whole, default=4, help="denoising steps (%(default)s)")
    parser.add_argument("--repeats", type=_count, default=3, help="warm runs after the cold one (%(default)s)")
    parser.add_argument("--memory-limit", type=byte_size, metavar="SIZE", help="such as 1.2GB")
    parser.add_argument("--json", type=user_path, metavar="FILE", help="write every measurement")
    parser.add_argument("--chart", type=user_path, metavar="FILE.svg", help="draw memory over the last run")
    parser.add_argument("--compare", type=user_path, metavar="FILE", help="show ratios to an earlier --json report")
    return parser


def _sizes(text: str) -> list[tuple[int, int]]:
    sizes = [part.split("x") for part in text.lower().split(",")]
    if any(len(size) != 2 or not all(side.isdecimal() for side in size) for size in sizes):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of sizes; write it like 512x512,1024x1024")
    return [(int(width), int(height)) for width, height in sizes]


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 up")
    return int(text)
