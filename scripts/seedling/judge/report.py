"""What an evaluation says, as documentation: tables, picture grids, training curves and the model card.

Everything is computed from the run's folder. Prose that does not depend on the figures lies in `report_text`.
"""

from __future__ import annotations

import math
import random
import shutil
import time
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..model.export import COMMON, total_bytes
from ..model.networks import device
from ..model.run import EXPORT, Run, history
from ..options import TIMED_STAGES, VARIANTS
from . import figures, report_text
from .drawing import open_drawer
from .evaluate import (
    FREE,
    MODELS,
    SEEDS,
    STEPS,
    TRAINED,
    VARIETY_PROMPTS,
    Outcome,
    Results,
    noise,
    prompts,
    second_prompts,
    variety,
)
from .expectations import Prompt
from .prompts import free
from .validation import trust

REPORT = "report"  # in the run's folder
PAGE, CARD, PICTURES = "seedling.md", "README.md", "seedling"
_NAMES = {
    "full": "full precision",
    "ternary": "ternary",
    "binary": "binary",
    "rounded-ternary": "rounded to ternary",
    "rounded-binary": "rounded to binary",
}


class Score(NamedTuple):
    """A share of pictures that are right, and the standard error of that share."""

    share: float
    error: float

    def __str__(self) -> str:
        return "-" if math.isnan(self.share) else f"{self.share:.3f} ± {self.error:.3f}"


_MISSING = Score(float("nan"), 0.0)


def write_report(run: Run) -> None:
    """The stage "report": `report/seedling.md`, `report/seedling/*` and the model card `report/README.md`."""
    folder = run.folder / REPORT
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    runner = "torch" if device().type == "cuda" else "engine"
    first, second = _by_list(Results(run.folder).outcomes.values())
    scores = score_table(first, _asked(prompts(run.options.prompts)))
    second_scores = score_table(second, _asked(second_prompts(run.options.prompts)))
    varieties = _varieties(run, runner)
    _draw_figures(run, runner, folder / PICTURES)
    tables = {
        "headline": headline(scores, run.options.sample_steps),
        "scores": scores_section(scores, run.options.sample_steps),
        "second_scores": scores_section(second_scores, run.options.sample_steps, TRAINED, free=False),
        "second_overall": overall_section(second_scores, run.options.sample_steps),
        "steps": steps_section(scores, run.options.sample_steps),
        "judge": judge_section(prompts(run.options.prompts)),
        "varieties": varieties_section(varieties),
        "sizes": sizes_section(run),
        "stages": stages_section(run),
        "runners": runners_section(first),
        "seconds": f"{_seconds_alone(run, runner):.2f}",
    }
    facts = report_text.facts(run.options, run.progress)
    (folder / PAGE).write_text(report_text.PAGE.format(**tables, **facts), encoding="utf-8")
    (folder / CARD).write_text(report_text.CARD.format(**tables, **facts), encoding="utf-8")


def _by_list(outcomes: Iterable[Outcome]) -> tuple[list[Outcome], list[Outcome]]:
    """Those of the first list of prompts and those of the second."""
    listed: tuple[list[Outcome], list[Outcome]] = ([], [])
    for outcome in outcomes:
        listed[outcome.case.second].append(outcome)
    return listed


def score_table(
    outcomes: Iterable[Outcome], asked: Mapping[tuple[str, int], Hashable] | None = None
) -> dict[tuple[str, int, str], Score]:
    """Scores by (model, steps, category).

    Pictures of one thing asked for are not independent, in other words and on another ground neither: the standard
    error is that of clusters, which `asked` names by category and index of a prompt. "overall" is the mean of the
    held-out categories; the free prompts stand apart.
    """
    seen: dict[tuple[str, int, str], dict[Hashable, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes:
        case = outcome.case
        cluster = (asked or {}).get((case.category, case.index), case.index)
        seen[case.model, case.steps, case.category][cluster].append(outcome.passed)
    scores = {key: _score(list(clusters.values())) for key, clusters in seen.items()}
    for model, steps in {(model, steps) for model, steps, _ in scores}:
        parts = [score for key, score in scores.items() if key[:2] == (model, steps) and key[2] != FREE]
        error = math.sqrt(sum(part.error**2 for part in parts)) / max(len(parts), 1)
        scores[model, steps, "overall"] = Score(float(np.mean([part.share for part in parts])), error)
    return scores


def _score(clusters: Sequence[Sequence[bool]]) -> Score:
    """The share of all pictures, and its error where those of a cluster go together (Liang and Zeger, 1986)."""
    share = float(np.mean([passed for cluster in clusters for passed in cluster]))
    if len(clusters) < 2:
        return Score(share, float("nan"))
    off = np.array([sum(cluster) - share * len(cluster) for cluster in clusters])
    few = len(clusters) / (len(clusters) - 1)
    return Score(share, math.sqrt(few * float((off**2).sum())) / sum(map(len, clusters)))


def _asked(listed: Mapping[str, Sequence[Prompt]]) -> dict[tuple[str, int], Hashable]:
    """What each prompt asks for, whatever its words and its ground."""
    return {
        (category, index): replace(prompt.expected, ground="")
        for category, texts in listed.items()
        for index, prompt in enumerate(texts)
    }


def headline(scores: dict[tuple[str, int, str], Score], steps: int) -> str:
    """What is kept of full precision, in a sentence."""
    kept = dict(zip(MODELS, _kept_shares(scores, steps), strict=True))
    return (
        f"Of what full precision gets right, ternary weights keep {kept['ternary']} and binary ones {kept['binary']}; "
        f"rounding without training keeps {kept['rounded-ternary']} and {kept['rounded-binary']}."
    )


def scores_section(
    scores: dict[tuple[str, int, str], Score], steps: int, models: Sequence[str] = MODELS, *, free: bool = True
) -> str:
    """Categories down, models across, at one number of steps; then what is kept of full precision."""
    categories = list(dict.fromkeys(category for _, _, category in scores if category not in (FREE, "overall")))
    rows = [
        [f"**{category}**" if category == "overall" else category]
        + [str(scores.get((model, steps, category), _MISSING)) for model in models]
        for category in (*categories, "overall", *([FREE] if free else ()))
    ]
    rows.append(["kept of full precision", *_kept_shares(scores, steps, models)])
    return table(["", *(_NAMES[model] for model in models)], rows)


def overall_section(scores: dict[tuple[str, int, str], Score], steps: int) -> str:
    """The trained models' overall scores and what is kept, in half a sentence."""
    shares = zip(TRAINED, _kept_shares(scores, steps, TRAINED), strict=True)
    named = [(_NAMES[model], str(scores.get((model, steps, "overall"), _MISSING)), kept) for model, kept in shares]
    whole, *others = (f"{name} {score}" + ("" if kept == "100%" else f" ({kept} of it)") for name, score, kept in named)
    return f"{whole}, {' and '.join(others)}"


def _kept_shares(scores: dict[tuple[str, int, str], Score], steps: int, models: Sequence[str] = MODELS) -> list[str]:
    overall = [scores.get((model, steps, "overall"), _MISSING) for model in models]
    return [_kept(score, overall[0]) for score in overall]


def _kept(score: Score, whole: Score) -> str:
    """The quotient of two scores. Both come from the same prompts and noise, so its error is rather less than this."""
    if math.isnan(score.share) or not whole.share > 0:
        return "-"
    if score is whole:
        return "100%"
    share = score.share / whole.share
    return f"{share:.1%} ± {math.hypot(score.error, share * whole.error) / whole.share:.1%}"


def steps_section(scores: dict[tuple[str, int, str], Score], shown: int) -> str:
    """Overall scores, steps across; then the categories at each number of steps but `shown`."""
    numbers = sorted(STEPS)
    rows = [
        [_NAMES[model], *(str(scores.get((model, steps, "overall"), _MISSING)) for steps in numbers)]
        for model in MODELS
    ]
    parts = [table(["overall", *(f"{steps} steps" for steps in numbers)], rows)]
    parts += [f"At {steps} steps:\n\n{scores_section(scores, steps)}" for steps in numbers if steps != shown]
    return "\n\n".join(parts)


def judge_section(asked: dict[str, list[Prompt]]) -> str:
    """Whether the judge is right, category by category."""
    trusts = {category: trust(listed) for category, listed in asked.items()}
    rows = [[category, *(f"{share:.1%}" for share in found)] for category, found in trusts.items()]
    return table(["passed", "clean", "shaky", "clean, with another caption of the category", "scrambled"], rows)


def varieties_section(varieties: dict[str, dict[str, float]]) -> str:
    """Prompts down, models across."""
    rows = [[f"“{prompt}”", *(f"{varieties[model][prompt]:.1f}" for model in TRAINED)] for prompt in VARIETY_PROMPTS]
    return table(["", *(_NAMES[model] for model in TRAINED)], rows)


def sizes_section(run: Run) -> str:
    """Bytes of the exported folders."""
    sizes = {name: total_bytes(run.folder / EXPORT / name) for name in (*VARIANTS, COMMON)}
    rows = [[name, f"{size / 1e6:.2f} MB"] for name, size in (*sizes.items(), ("together", sum(sizes.values())))]
    return table(["folder", "size"], rows)


def stages_section(run: Run) -> str:
    """Time, steps and samples of every timed stage."""
    rows = []
    for stage in TIMED_STAGES:
        noted = run.progress.get(stage, {})
        seconds, samples = float(noted.get("seconds", 0)), int(noted.get("samples", 0))
        rate = samples / seconds if seconds else 0.0
        rows.append([stage, f"{seconds / 60:.1f} min", f"{noted.get('step', 0):,}", f"{samples:,}", f"{rate:,.0f}/s"])
    return table(["stage", "time", "steps", "samples", "rate"], rows)


def runners_section(outcomes: Iterable[Outcome]) -> str:
    """How many pictures were drawn by what."""
    counts: dict[str, int] = defaultdict(int)
    seconds: dict[tuple[str, int], list[float]] = defaultdict(list)
    for outcome in outcomes:
        counts[outcome.runner] += 1
        seconds[outcome.runner, outcome.case.steps].append(outcome.seconds)
    rows = [
        [runner, str(steps), f"{len(times):,}", f"{np.median(times):.2f} s"]
        for (runner, steps), times in sorted(seconds.items())
    ]
    return table(["drawn by", "steps", "pictures", "time each while all cores drew (median)"], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _varieties(run: Run, runner: str) -> dict[str, dict[str, float]]:
    steps = run.options.sample_steps
    found = {}
    for model in TRAINED:
        drawer = open_drawer(run, model, runner)
        found[model] = {prompt: variety(drawer, run.options, prompt, steps) for prompt in VARIETY_PROMPTS}
    return found


def _seconds_alone(run: Run, runner: str) -> float:
    """What the picture of a new prompt takes while nothing else is drawn: median of ten after a first one, ternary."""
    drawer, noises, seconds = open_drawer(run, "ternary", runner), noise(run.options, 0, 0)[None], []
    for prompt in free(11):
        began = time.perf_counter()
        drawer.draw([prompt.text], noises, run.options.sample_steps)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[1:]))


def _draw_figures(run: Run, runner: str, folder: Path) -> None:
    """Eight prompts by every model; by the ternary one thirty at random, bonsai trees, some seeds; training curves."""
    texts = prompts(run.options.prompts)
    chance = random.Random(run.options.seed)
    held = [prompt.text for category, listed in texts.items() if category != FREE for prompt in listed]
    free = [prompt.text for prompt in texts[FREE]]
    compared = [*chance.sample(held, min(5, len(held))), *chance.sample(free, min(3, len(free)))]
    rows = [(_NAMES[model], _drawn(run, runner, model, compared, SEEDS[0])) for model in MODELS]
    figures.grid(rows, folder / "models.webp")
    everything = held + free
    sampled = _drawn(run, runner, "ternary", chance.sample(everything, min(30, len(everything))), SEEDS[0])
    figures.grid([("", sampled[start : start + 6]) for start in range(0, len(sampled), 6)], folder / "thirty.webp")
    bonsai = _drawn(run, runner, "ternary", [text for text in free if "bonsai" in text][:12], SEEDS[0])
    figures.grid([("", bonsai[start : start + 6]) for start in range(0, len(bonsai), 6)], folder / "bonsai.webp")
    seeds = [("", _drawn(run, runner, "ternary", VARIETY_PROMPTS[:4], seed)) for seed in range(4)]
    figures.grid(
        [("", [row[1][column] for row in seeds]) for column in range(len(VARIETY_PROMPTS))], folder / "seeds.webp"
    )
    past = history(run.folder)
    for name, stages, key in (
        ("vae", ("vae", "decoder"), "error"),
        ("flow", ("flow",), "loss"),
        ("distillation", ("guidance", "steps", "ternary", "binary"), "loss"),
    ):
        lines = {stage: [(entry["samples"], entry[key]) for entry in past.get(stage, [])] for stage in stages}
        figures.curves(lines, f"{name}: mean squared error over samples", folder / f"{name}.svg")


def _drawn(run: Run, runner: str, model: str, texts: Sequence[str], seed: int) -> list[tuple[Image.Image, str]]:
    noises = np.stack([noise(run.options, seed, index) for index in range(len(texts))])
    pictures = open_drawer(run, model, runner).draw(texts, noises, run.options.sample_steps)
    return list(zip(pictures, texts, strict=True))
