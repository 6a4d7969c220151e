"""Draw the training pictures once, with several processes, into files that every stage reads.

Owns the split of the work and the files; what is drawn is for `data`. Imports no torch: the processes start quickly.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from ..options import Options

CHUNK = 256  # pictures that one task draws
TRAINING, HELD_BACK = 0, 1  # streams of pictures: what is trained on, and what reconstruction is measured on


def render(folder: Path, options: Options, count: int, stream: int = TRAINING) -> None:
    """Draw `count` pictures with captions into the folder, unless they are there already.

    `pictures-N.npy` is uint8 [count, size, size, 3], `captions-N.json` a list of each picture's captions.
    """
    captions_file = folder / f"captions-{stream}.json"
    if captions_file.is_file():
        return
    path = folder / f"pictures-{stream}.npy"
    open_memmap(path, "w+", np.uint8, (count, options.size, options.size, 3)).flush()
    starts = range(0, count, CHUNK)
    tasks = [(path, start, min(CHUNK, count - start), options.seed, stream) for start in starts]
    captions: list[list[str]] = []
    if options.workers <= 1:
        parts: Any = map(_draw_chunk, tasks)
        captions = [item for part in parts for item in part]
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(options.workers, mp_context=context) as pool:
            captions = [item for part in pool.map(_draw_chunk, tasks) for item in part]
    partial = captions_file.with_name(captions_file.name + ".partial")
    partial.write_text(json.dumps(captions), encoding="utf-8")
    partial.replace(captions_file)


def pictures(folder: Path, stream: int = TRAINING) -> NDArray[np.uint8]:
    """The drawn pictures, mapped from the file."""
    mapped: NDArray[np.uint8] = np.load(folder / f"pictures-{stream}.npy", mmap_mode="r+")
    return mapped


def captions(folder: Path, stream: int = TRAINING) -> list[list[str]]:
    """Every picture's captions."""
    read: list[list[str]] = json.loads((folder / f"captions-{stream}.json").read_text(encoding="utf-8"))
    return read


def _draw_chunk(task: tuple[Path, int, int, int, int]) -> list[list[str]]:
    from .data import pair  # in the process that draws

    path, start, count, seed, stream = task
    target = open_memmap(path, "r+")
    found = []
    for index in range(start, start + count):
        target[index], texts = pair(index, _mixed(seed, stream), target.shape[1])
        found.append(list(texts))
    return found


def _mixed(*parts: int) -> int:
    """One seed from several, far from those of neighbouring parts."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def caption_texts(all_captions: Sequence[Sequence[str]]) -> list[str]:
    """All captions in one list."""
    return [text for texts in all_captions for text in texts]
