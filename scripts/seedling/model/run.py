"""The folder of a training run: what is finished, weights to resume from, history, time; and the loop of a stage.

Weights are kept in bfloat16, as they are published, and without the optimiser's moments, which come back within a few
dozen steps: a run can then move to another machine in small files (`bundle`). A stage lasts as long as its options
say, over as many sessions as it takes.
"""

from __future__ import annotations

import io
import json
import struct
import tarfile
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..options import Options
from .networks import device

CACHE, EXPORT = "cache", "export"  # folders of what can be made again; never bundled
_PART_BYTES = 15 << 20
_CHANGEABLE = ("minutes", "workers", "piece", "vae_piece", "compile", "log_seconds", "save_minutes")
# Weights that are not needed any more once a stage is complete.
_SUPERSEDED = {"teacher": "guidance", "guided": "steps", "ternary": "ternary", "binary": "binary"}


class Paused(Exception):
    """The session's time is over; everything is saved and the same command goes on from here."""


class Run:
    """One training run in one folder."""

    def __init__(self, folder: Path, options: Options, minutes: float | None = None) -> None:
        """`minutes` bounds this session. Raises ValueError if the folder belongs to a run with other options."""
        self.folder, self.options = folder, options
        self.deadline = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
        self.cache = folder / CACHE
        self.cache.mkdir(parents=True, exist_ok=True)
        settings = folder / "options.json"
        if settings.is_file() and _lasting(settings.read_text()) != _lasting(options.to_json()):
            raise ValueError(f"{folder} was begun with other options (see {settings}); choose another folder")
        settings.write_text(options.to_json(), encoding="utf-8")
        progress = folder / "progress.json"
        self.progress: dict[str, dict[str, Any]] = json.loads(progress.read_text()) if progress.is_file() else {}

    def done(self, stage: str) -> bool:
        """Whether the stage has run to its end."""
        return bool(self.progress.get(stage, {}).get("done"))

    def finish(self, stage: str) -> None:
        """Note that the stage is complete. Weights that only earlier stages needed are deleted."""
        self.note(stage, done=True)
        for name, last in _SUPERSEDED.items():
            if last == stage:
                self.weights(name).unlink(missing_ok=True)

    def note(self, stage: str, **values: Any) -> None:
        """Remember values about a stage."""
        self.progress.setdefault(stage, {}).update(values)
        _replace(self.folder / "progress.json", json.dumps(self.progress, indent=2).encode())

    def log(self, stage: str, text: str, **values: float) -> None:
        """Print a line; with values, also keep them for the curves."""
        print(f"[{stage}] {text}", flush=True)
        if values:
            with (self.folder / "history.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps({"stage": stage, **values}) + "\n")

    def weights(self, name: str) -> Path:
        """Where weights of this name are kept."""
        return self.folder / f"{name}.safetensors"

    def save(self, name: str, module: nn.Module) -> None:
        """Keep the module's weights."""
        self.keep(name, {key: _stored(value) for key, value in module.state_dict().items()})

    def keep(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Keep tensors as they are; whole or not at all."""
        partial = self.weights(f"{name}.partial")
        save_file(tensors, partial)
        partial.replace(self.weights(name))

    def restore(self, name: str, module: nn.Module) -> bool:
        """Load weights kept under this name; False if there are none."""
        if not self.weights(name).is_file():
            return False
        module.load_state_dict(load_file(self.weights(name)))
        return True

    def seed(self, stage: str) -> torch.Generator:
        """Seed torch for this stage and how far it is, so that a resumed stage does not repeat its noise."""
        step = int(self.progress.get(stage, {}).get("step", 0))
        mixed = zlib.crc32(f"{self.options.seed} {stage} {step}".encode())
        torch.manual_seed(mixed)
        return torch.Generator().manual_seed(mixed + 1)


class Loop:
    """Steps of one timed stage: iterating gives the progress from 0 to 1, keeps time, logs and saves.

    The body calls `record` once a step. Raises Paused between steps when the session's time is over.
    """

    def __init__(self, run: Run, stage: str, save: Callable[[], None]) -> None:
        self.run, self.stage, self._save = run, stage, save
        so_far = run.progress.get(stage, {})
        self.seconds, self.samples = float(so_far.get("seconds", 0)), int(so_far.get("samples", 0))
        self.step = int(so_far.get("step", 0))
        self.session_step = 0  # since the last resume
        self._budget = 60 * run.options.minutes[stage]
        self._values: dict[str, list[Tensor]] = defaultdict(list)
        self._logged = self._saved = time.monotonic()
        self._logged_samples = self.samples

    def __iter__(self) -> Iterator[float]:
        last = worked_seconds()
        while self.seconds < self._budget:
            if time.monotonic() > self.run.deadline:
                self._keep()
                raise Paused(f"{self.stage} at {self.seconds / self._budget:.0%}")
            yield self.seconds / self._budget
            self.step += 1
            self.session_step += 1
            worked, now = worked_seconds(), time.monotonic()
            self.seconds += worked - last
            last = worked
            if now - self._logged > self.run.options.log_seconds:
                self._log(now)
            if now - self._saved > 60 * self.run.options.save_minutes:
                self._keep()
        if self._values:
            self._log(time.monotonic())
        self._keep()

    def record(self, samples: int, **values: Tensor) -> None:
        """Note a step's batch size and losses (tensors: reading them now would stall a GPU)."""
        self.samples += samples
        for name, value in values.items():
            self._values[name].append(value.detach())

    def _log(self, now: float) -> None:
        means = {name: float(torch.stack(values).float().mean()) for name, values in self._values.items()}
        self._values.clear()
        rate = (self.samples - self._logged_samples) / max(now - self._logged, 1e-9)
        self._logged, self._logged_samples = now, self.samples
        shown = " ".join(f"{name} {value:.4f}" for name, value in means.items())
        left = max(0.0, self._budget - self.seconds)
        text = f"step {self.step} {shown} {rate:.0f} samples/s, {left / 60:.1f} min left"
        self.run.log(self.stage, text, step=self.step, samples=self.samples, seconds=self.seconds, rate=rate, **means)

    def _keep(self) -> None:
        self._save()
        self._saved = time.monotonic()
        self.run.note(self.stage, seconds=round(self.seconds, 1), samples=self.samples, step=self.step)


def worked_seconds() -> float:
    """The clock of the stages' budgets. On a CPU it runs while its threads compute: a busy machine, or one that sleeps,
    makes a run longer, not worse."""
    return time.monotonic() if device().type == "cuda" else time.process_time() / torch.get_num_threads()


def bundle(run_folder: Path, out: Path) -> list[Path]:
    """Write the run, without what can be made again, into `out` as files of 15 MiB that `unbundle` joins again."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(run_folder.iterdir()):
            if path.name not in (CACHE, EXPORT):
                archive.add(path, path.name)
    planes = np.frombuffer(buffer.getvalue(), dtype=np.uint8).reshape(-1, 2)
    parts = [zlib.compress(planes[:, index].tobytes(), 1) for index in (0, 1)]  # bfloat16: exponents compress apart
    data = struct.pack("<Q", len(parts[0])) + b"".join(parts)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for index, start in enumerate(range(0, len(data), _PART_BYTES)):
        written.append(out / f"run.part{index}")
        written[-1].write_bytes(data[start : start + _PART_BYTES])
    return written


def unbundle(parts: Path, run_folder: Path) -> None:
    """Put a bundled run back into an empty or new folder; FileNotFoundError if `parts` holds none."""
    paths = sorted(parts.glob("run.part*"), key=lambda path: int(path.name.removeprefix("run.part")))
    if not paths:
        raise FileNotFoundError(f"{parts} holds no run.part0")
    data = b"".join(path.read_bytes() for path in paths)
    length = struct.unpack("<Q", data[:8])[0]
    planes = [zlib.decompress(data[8 : 8 + length]), zlib.decompress(data[8 + length :])]
    joined = np.stack([np.frombuffer(plane, dtype=np.uint8) for plane in planes], axis=1).tobytes()
    with tarfile.open(fileobj=io.BytesIO(joined)) as archive:
        archive.extractall(run_folder, filter="data")


def history(run_folder: Path) -> Mapping[str, list[dict[str, float]]]:
    """The logged values of each stage, in order."""
    stages: dict[str, list[dict[str, float]]] = defaultdict(list)
    path = run_folder / "history.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        entry = json.loads(line)
        stages[entry.pop("stage")].append(entry)
    return stages


def _stored(value: Tensor) -> Tensor:
    value = value.detach().cpu().contiguous()
    return value.to(torch.bfloat16) if value.is_floating_point() else value


def _lasting(settings: str) -> dict[str, Any]:
    """The options that may not change within a run."""
    return {key: value for key, value in json.loads(settings).items() if key not in _CHANGEABLE}


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    partial.replace(path)
