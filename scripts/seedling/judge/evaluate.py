"""Draw every held-out prompt with every model, judge the pictures, keep the verdicts.

Full precision, plain rounding, ternary and binary, each at 2, 4 and 8 steps; then the trained models on a second list
of prompts, which is for the scores alone. The noise of a drawing depends on the seed and the prompt's place alone, so
all models draw from the same. Verdicts go to a file one by one, another one for
another model, other weights or another judge; what is there is not drawn again. Drawing is for `drawing`, tables and
figures are for `report`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bonsai_mlx.runtime import blas

from ..model.run import Paused, Run
from ..options import VARIANTS, Options

if TYPE_CHECKING:
    from .drawing import Drawer
    from .expectations import Prompt

FOLDER = "evaluation"  # in the run's folder
FREE, FREE_PROMPTS = "free", 60
TRAINED = ("full", "ternary", "binary")
MODELS = (*TRAINED, "rounded-ternary", "rounded-binary")
STEPS = (4, 2, 8)  # what matters most comes first
SEEDS = (0, 1, 2)
VARIETY_PROMPTS = ("a red circle", "a house", "a bonsai", "a mountain at sunset")
VARIETY_SEEDS = 8
RULES = ("backdrops", "free_prompts", "judge", "recognition", "segmentation")  # modules that a verdict depends on


@dataclass(frozen=True, slots=True)
class Case:
    """One picture to draw and judge."""

    model: str
    steps: int
    category: str
    index: int  # of the prompt in its category
    seed: int
    second: bool = False  # whether the prompt is of the second list


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case."""

    case: Case
    runner: str  # "engine" or "torch"
    text: str
    passed: bool
    reason: str
    seconds: float


def prompts(per_category: int) -> dict[str, list[Prompt]]:
    """The held-out prompts of each category, the free ones last."""
    from .prompts import CATEGORIES, free, held_out

    held = {category: held_out(category, per_category) for category in CATEGORIES}
    return held | {FREE: free(min(FREE_PROMPTS, per_category))}


def second_prompts(per_category: int) -> dict[str, list[Prompt]]:
    """Other held-out prompts of each category, to try what was chosen by looking at the first ones."""
    from .prompts import CATEGORIES, held_out

    found = {}
    for category in CATEGORIES:
        first = {prompt.text for prompt in held_out(category, per_category)}
        others = [prompt for prompt in held_out(category, 2 * per_category, seed=1) if prompt.text not in first]
        found[category] = others[:per_category]
    return found


def evaluate(run: Run, runner: str, models: Sequence[str] = MODELS, steps: Sequence[int] = STEPS) -> None:
    """Draw and judge what is left, by "engine" or "torch". Raises Paused when the session's time is over."""
    first, second = prompts(run.options.prompts), second_prompts(run.options.prompts)
    rounds = [(model, number, False) for number in steps for model in models]
    rounds += [(model, run.options.sample_steps, True) for model in models if model in TRAINED]
    results = Results(run.folder)
    workers = run.options.workers
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn")) if workers > 1 else None
    try:
        for model, number, is_second in rounds:
            texts = second if is_second else first
            cases = _cases(model, number, texts, second=is_second)
            named = ((case, texts[case.category][case.index].text) for case in cases)
            left = [case for case, text in named if not results.has(case, runner, text)]
            if left:
                _draw_all(run, runner, left, texts, results, pool)
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)


class Results:
    """The verdicts so far, in a file for each model that grows by a line a picture."""

    def __init__(self, run_folder: Path) -> None:
        folder, rules = run_folder / FOLDER, _rules_digest()
        folder.mkdir(exist_ok=True)
        self._paths = {
            model: folder / f"{model}-{_weights_digest(run_folder, model)}-{rules}.jsonl" for model in MODELS
        }
        self.outcomes: dict[Case, Outcome] = {}
        for path in self._paths.values():
            for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
                values = json.loads(line)
                case = Case(**values.pop("case"))
                self.outcomes[case] = Outcome(case, **values)

    def has(self, case: Case, runner: str, text: str) -> bool:
        """Whether the case, with this prompt, is judged; a drawing by torch does not stand in for the engine's."""
        found = self.outcomes.get(case)
        return found is not None and found.text == text and (found.runner == "engine" or runner == "torch")

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Keep verdicts on pictures of one model."""
        (model,) = {outcome.case.model for outcome in outcomes}
        with self._paths[model].open("a", encoding="utf-8") as file:
            for outcome in outcomes:
                self.outcomes[outcome.case] = outcome
                file.write(json.dumps(asdict(outcome)) + "\n")


def _weights_digest(run_folder: Path, model: str) -> str:
    """Of the weights that draw a model's pictures: its verdicts outlive a change of another model."""
    own = f"packed-{model}" if model in VARIANTS else "student"  # rounded ones are made from the student
    paths = (run_folder / f"{name}.safetensors" for name in (own, "text", "vae"))
    return _digest(path for path in paths if path.is_file())


def _rules_digest() -> str:
    """Of the judge's sources and of what the free prompts ask for: verdicts are by one law for all."""
    return _digest(Path(__file__).with_name(f"{name}.py") for name in RULES)


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def noise(options: Options, seed: int, index: int) -> NDArray[np.float32]:
    """The noise of the prompt at `index`: float32 [channels, height / 16, width / 16]."""
    random = np.random.default_rng([seed, index])
    return random.standard_normal((options.token_channels, options.grid, options.grid), dtype=np.float32)


def variety(drawer: Drawer, options: Options, prompt: str, steps: int) -> float:
    """Mean absolute difference in levels of 255 between pictures of one prompt from different seeds."""
    noises = np.stack([noise(options, seed, 0) for seed in range(VARIETY_SEEDS)])
    pictures = np.stack([np.asarray(picture) for picture in drawer.draw([prompt] * VARIETY_SEEDS, noises, steps)])
    pairs = [(a, b) for a in range(VARIETY_SEEDS) for b in range(a)]
    return float(np.mean([np.abs(pictures[a].astype(float) - pictures[b]).mean() for a, b in pairs]))


def _cases(model: str, steps: int, texts: dict[str, list[Prompt]], *, second: bool) -> Iterator[Case]:
    """All pictures of one model. Categories take turns, so that an unfinished evaluation is an even sample; seeds of a
    prompt follow each other, for the engine then encodes it once.
    """
    for index in range(max(map(len, texts.values()))):
        for category, listed in texts.items():
            for seed in SEEDS if index < len(listed) else ():
                yield Case(model, steps, category, index, seed, second)


def _draw_all(
    run: Run, runner: str, cases: list[Case], texts: dict[str, list[Prompt]], results: Results, pool: Any
) -> None:
    from .drawing import BATCH, open_drawer

    size, parallel = BATCH[runner], pool.map if pool else map
    batches = [cases[start : start + size] for start in range(0, len(cases), size)]
    chosen = [[texts[case.category][case.index] for case in batch] for batch in batches]
    if runner == "engine":
        made = parallel(partial(_made_by_engine, run), batches, chosen)
    else:
        drawer = open_drawer(run, cases[0].model, runner)
        made = (_made(run, runner, drawer, *one, parallel) for one in zip(batches, chosen, strict=True))
    for number, outcomes in enumerate(made, 1):
        results.add(outcomes)
        if time.monotonic() > run.deadline and number < len(batches):
            raise Paused(f"evaluation of {cases[0].model} at {number * size} of {len(cases)}")
    passed = [results.outcomes[case].passed for case in cases]
    listed = ", second list" if cases[0].second else ""
    run.log("evaluate", f"{cases[0].model}, {cases[0].steps} steps{listed}: {np.mean(passed):.3f} of {len(passed)}")


def _made(
    run: Run, runner: str, drawer: Drawer, batch: Sequence[Case], chosen: Sequence[Prompt], parallel: Any
) -> list[Outcome]:
    """Draw a batch of one model and number of steps, and judge it."""
    began = time.monotonic()
    noises = np.stack([noise(run.options, case.seed, case.index) for case in batch])
    pictures = drawer.draw([prompt.text for prompt in chosen], noises, batch[0].steps)
    seconds = (time.monotonic() - began) / len(batch)
    judged = parallel(_judged, pictures, chosen)
    return [
        Outcome(case, runner, prompt.text, passed, reason, round(seconds, 4))
        for case, prompt, (passed, reason) in zip(batch, chosen, judged, strict=True)
    ]


def _made_by_engine(run: Run, batch: Sequence[Case], chosen: Sequence[Prompt]) -> list[Outcome]:
    """The same in a process that keeps a drawer of its own. Side by side with others it computes on one core."""
    from .drawing import open_drawer

    key = run.folder, batch[0].model
    if key not in _drawers:
        _drawers.clear()
        _drawers[key] = open_drawer(run, batch[0].model, "engine")
    with blas.single_threaded() if run.options.workers > 1 else nullcontext():
        return _made(run, "engine", _drawers[key], batch, chosen, map)


_drawers: dict[tuple[Path, str], Drawer] = {}  # of this process: the last one


def _judged(picture: Image.Image, prompt: Prompt) -> tuple[bool, str]:
    from .judge import judge

    verdict = judge(picture, prompt)
    return bool(verdict.passed), str(verdict.reason)
