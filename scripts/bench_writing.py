#!/usr/bin/env python3
"""What the prompt writer makes of short prompts, and what the embedded model makes of both.

    scripts/bench_writing.py score [--seeds 4] [--texts 300] [--variant ternary]
    scripts/bench_writing.py sheet FILE.webp
    scripts/bench_writing.py cancel TOKENIZER_FOLDER [--times 12]

score    texts for captions that the writer was not taught: are they inside the world that the seedling draws, and is
         every word kept? Then the free prompts of the training's judge, drawn as they are and as the writer words
         them, from the same seeds and judged by what the short ones ask for.
sheet    twenty prompts drawn before and after, on one sheet, and a Markdown table of the texts.
cancel   a tiny random Qwen3 of the published layout with a tokenizer of the real size: the longest time between two
         looks whether to stop, and from a cancel to an engine that is free, at moments all along; then its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import bonsai_mlx
from bonsai_mlx import Pipeline
from bonsai_mlx.flux2.synthesis import make_checkpoint
from bonsai_mlx.writing.files import writer_of
from bonsai_mlx.writing.survival import survival
from bonsai_mlx.writing.writer import Writer
from seedling.judge.expectations import Prompt
from seedling.judge.judge import judge
from seedling.judge.prompts import free
from seedling.writer.pairs import inside, pair
from server.engine.protocol import Cancelled, Checkpoint, Done, Failed, Write
from server.engine.worker import Worker
from server.settings import Settings

SEEDLING = Path(bonsai_mlx.__file__).parent / "seedling"
TWENTY = (  # as people type; written down before any of their pictures was seen
    "bonsai",
    "three stars",
    "boat at sunset",
    "a red house",
    "cat",
    "butterfly",
    "two mushrooms",
    "draw a fish",
    "lantern at night",
    "old pine bonsai",
    "winter bonsai",
    "purple flower please",
    "a tree and a house",
    "birds",
    "red heart",
    "cup on a table",
    "cherry blossom",
    "small boat in the rain",
    "a bonsai in a blue pot",
    "cat in space",
)
SEED = 7
TILE_PX, PAIRS_IN_A_ROW, LABEL_PX, GAP_PX = 128, 4, 16, 6
WORDS = "a lighthouse in a storm, two boats and a red sky"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    score = kinds.add_parser("score")
    score.add_argument("--seeds", type=int, default=4, help="of each of the sixty prompts")
    score.add_argument("--texts", type=int, default=300)
    score.set_defaults(run=_score)
    sheet = kinds.add_parser("sheet")
    sheet.add_argument("file", type=Path)
    sheet.set_defaults(run=_sheet)
    for kind in (score, sheet):
        kind.add_argument("--variant", default="ternary")
    cancel = kinds.add_parser("cancel")
    cancel.add_argument("tokenizer", type=Path)
    cancel.add_argument("--times", type=int, default=12)
    cancel.set_defaults(run=_cancel)
    options = parser.parse_args()
    bonsai_mlx.prepare()
    options.run(options)


def written(writer: Writer, prompt: str, seed: int) -> str:
    *_, last = writer.write(prompt, seed=seed, count=1)
    return last.text


def _score(options: argparse.Namespace) -> None:
    writer = Writer(writer_of(SEEDLING / options.variant))
    _texts(writer, options.texts)
    prompts = free()
    texts = {
        (prompt.text, seed): written(writer, prompt.text, seed)
        for prompt, seed in itertools.product(prompts, range(options.seeds))
    }
    writer.close()
    pipe = Pipeline.from_pretrained(SEEDLING / options.variant)
    right = np.zeros((len(prompts), options.seeds, 2), bool)
    for (place, prompt), seed in itertools.product(enumerate(prompts), range(options.seeds)):
        words = texts[prompt.text, seed]
        for side, text in enumerate((prompt.text, words)):
            right[place, seed, side] = _passes(pipe, text, seed, prompt)
        if not right[place, seed, 1]:
            print(f"  wrong as written: {prompt.text!r} -> {words!r}", flush=True)
    within = [inside(text) for text in texts.values()]
    print(f"free prompts: {np.mean(within):.1%} of {len(within)} texts are inside the world")
    _tell(right)


def _tell(right: np.ndarray) -> None:
    """Shares of right pictures, as typed and as written, and their difference with a standard error over prompts."""
    typed, long = right[..., 0].mean(axis=1), right[..., 1].mean(axis=1)
    rows = {"as typed": typed, "as written": long, "difference": long - typed}
    print(f"pictures that show what was typed, {right[..., 0].size} each:")
    for name, shares in rows.items():
        print(f"  {name}: {shares.mean():+.3f} ± {shares.std(ddof=1) / len(shares) ** 0.5:.3f}")


def _passes(pipe: Pipeline, text: str, seed: int, prompt: Prompt) -> bool:
    return judge(pipe.generate(text, seed=seed).image, prompt).passed


def _texts(writer: Writer, count: int) -> None:
    rng, within, kept = random.Random(999), 0, 0  # noqa: S311
    for seed in range(count):
        short, _ = pair(rng)
        text = written(writer, short, seed)
        within += inside(text)
        kept += not survival(short, text).missing
    print(f"captions: {within / count:.1%} of {count} texts are inside the world, {kept / count:.1%} keep every word")


def _sheet(options: argparse.Namespace) -> None:
    writer = Writer(writer_of(SEEDLING / options.variant))
    texts = [written(writer, prompt, SEED) for prompt in TWENTY]
    writer.close()
    pipe = Pipeline.from_pretrained(SEEDLING / options.variant)
    pairs = [tuple(pipe.generate(words, seed=SEED).image for words in both) for both in zip(TWENTY, texts, strict=True)]
    _placed(pairs).save(options.file, quality=82, method=6)
    print("| | typed | written |\n|---|---|---|")
    for number, (typed, text) in enumerate(zip(TWENTY, texts, strict=True), 1):
        lost = ", ".join(survival(typed, text).missing)
        print(f"| {number} | {typed} | {text}{f' (left out: {lost})' if lost else ''} |")


def _placed(pairs: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Pairs beside each other, each with its number above it."""
    width, height = 2 * TILE_PX + 2 * GAP_PX, TILE_PX + LABEL_PX + GAP_PX
    down = -(-len(pairs) // PAIRS_IN_A_ROW)
    sheet = Image.new("RGB", (PAIRS_IN_A_ROW * width, down * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, images in enumerate(pairs):
        x, y = place % PAIRS_IN_A_ROW * width + GAP_PX, place // PAIRS_IN_A_ROW * height
        draw.text((x, y + 1), str(place + 1), "#1a1a1a", font)
        for side, image in enumerate(images):
            small = image.resize((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
            sheet.paste(small, (x + side * (TILE_PX + 1), y + LABEL_PX))
    return sheet


def _cancel(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = make_checkpoint(
            Path(folder) / "writer", tokenizer=options.tokenizer, text_encoder={"vocab_size": 151_936}
        )
        for name in ("for the first time", "again"):
            gaps = list(_gaps(checkpoint))
            print(f"longest time between two looks, {name}: {max(gaps):.3f} s of {sum(gaps):.2f} s")
        asyncio.run(_cancelled_all_along(checkpoint, options.times))


def _gaps(checkpoint: Path) -> Iterator[float]:
    """Seconds from the start to the first look whether to stop, and from each to the next."""
    before = time.perf_counter()
    writer = Writer(writer_of(checkpoint))
    for _ in writer.write(WORDS, seed=SEED, count=1):
        now = time.perf_counter()
        yield now - before
        before = now
    writer.close()


async def _cancelled_all_along(checkpoint: Path, times: int) -> None:
    worker = Worker(Settings(), lambda _state, _message: None)
    await worker.start()
    await asyncio.sleep(2)
    before = worker.memory
    whole = await _time_of(worker, checkpoint, None)
    took = []
    for number in range(times):
        await worker.stop()  # so that the library is imported anew
        await worker.start()
        took.append(await _time_of(worker, checkpoint, whole * (number + 0.5) / times))
    print(f"from a cancel to a free engine, {times} moments of {whole:.2f} s: " + ", ".join(f"{t:.3f}" for t in took))
    await _time_of(worker, checkpoint, None)
    await asyncio.sleep(2)
    held = worker.memory
    print(
        f"MLX holds {held.mlx_active_bytes / 1e6:.1f} MB afterwards, {before.mlx_active_bytes / 1e6:.1f} before; "
        f"the process {held.process_bytes / 1e6:.0f} and {before.process_bytes / 1e6:.0f} MB"
    )
    await worker.stop()


async def _time_of(worker: Worker, checkpoint: Path, cancel_after_s: float | None) -> float:
    """Seconds of a run that is not cancelled, or from its cancel to its end."""
    job = f"{time.monotonic_ns():032x}"
    command = Write(job, bytes(checkpoint), Checkpoint("writer"), WORDS, SEED, 1)
    began = time.monotonic()

    async def followed() -> object:
        told = [event async for event in worker.run(command, lambda _last: 300.0)]
        return told[-1]

    following = asyncio.create_task(followed())
    if cancel_after_s is not None:
        await asyncio.sleep(cancel_after_s)
        began = time.monotonic()
        worker.cancel(job)
    last = await following
    assert not isinstance(last, Failed), last
    assert isinstance(last, Done if cancel_after_s is None else Cancelled | Done), last
    return time.monotonic() - began


if __name__ == "__main__":
    main()
