"""Verdicts are kept one by one, counted honestly, and written up."""

from __future__ import annotations

import math
import random
import re
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("diffusers")

from seedling.draw.holdout import is_held_out
from seedling.judge import evaluate as evaluate_module
from seedling.judge import figures, report
from seedling.judge import prompts as prompts_module
from seedling.judge.evaluate import SEEDS, TRAINED, Case, Outcome, Results, evaluate, noise, prompts, second_prompts
from seedling.judge.expectations import Expectation, Prompt, Thing
from seedling.judge.prompts import clean_scene, free
from seedling.model.run import Run
from seedling.options import TIMED_STAGES, preset

pytestmark = pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")


def _outcome(category: str, index: int, seed: int, passed: bool, model: str = "full") -> Outcome:
    return Outcome(Case(model, 4, category, index, seed), "engine", "a red circle", passed, "", 0.5)


def _judge_all(run: Run, model: str) -> None:
    """As if every prompt of both lists had been drawn by this model, with as many steps as it is to be used with."""
    for listed, second in ((prompts(run.options.prompts), False), (second_prompts(run.options.prompts), True)):
        Results(run.folder).add(
            [
                Outcome(
                    Case(model, run.options.sample_steps, category, index, 0, second), "engine", text, True, "", 0.5
                )
                for category, texts in listed.items()
                for index, text in enumerate(prompt.text for prompt in texts)
            ]
        )


@pytest.fixture
def few_categories(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked is what becomes of prompts and verdicts; that each category is judged rightly is test_judge's."""
    monkeypatch.setattr(prompts_module, "CATEGORIES", prompts_module.CATEGORIES[:2])


@pytest.mark.usefixtures("few_categories")
def test_every_prompt_is_drawn_with_every_seed_and_judged_once(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate(trained, "torch", models=("ternary",), steps=(2,))
    outcomes = Results(trained.folder).outcomes
    for listed, second in ((prompts(trained.options.prompts), False), (second_prompts(trained.options.prompts), True)):
        found = [case for case in outcomes if case.second is second]
        assert len(found) == len(SEEDS) * sum(len(texts) for texts in listed.values())
        assert {case.category for case in found} == set(listed)
        assert {case.steps for case in found} == {trained.options.sample_steps if second else 2}
        assert all(outcomes[case].text == listed[case.category][case.index].text for case in found)
    monkeypatch.setattr(evaluate_module, "_draw_all", lambda *_: pytest.fail("drawn again"))
    evaluate(trained, "torch", models=("ternary",), steps=(2,))


@pytest.mark.usefixtures("few_categories")
def test_engines_side_by_side_find_what_one_finds(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate_module, "SEEDS", SEEDS[:1])
    alone = Run(shutil.copytree(trained.folder, tmp_path / "one"), trained.options)
    together = Run(shutil.copytree(trained.folder, tmp_path / "two"), replace(trained.options, workers=2))
    found = []
    for run in (alone, together):
        shutil.rmtree(run.folder / evaluate_module.FOLDER, ignore_errors=True)
        evaluate(run, "engine", models=("binary",), steps=(2,))
        outcomes = Results(run.folder).outcomes
        found.append({case: (outcome.text, outcome.passed, outcome.reason) for case, outcome in outcomes.items()})
    assert found[0] == found[1]
    listed = (*prompts(trained.options.prompts).values(), *second_prompts(trained.options.prompts).values())
    assert len(found[0]) == sum(map(len, listed))


def test_the_second_list_asks_for_what_is_held_out_in_other_words() -> None:
    first, second = prompts(40), second_prompts(40)
    assert set(second) == set(first) - {"free"}
    for category, listed in second.items():
        texts = {prompt.text for prompt in listed}
        assert len(texts) == len(listed) == 40
        assert not texts & {prompt.text for prompt in first[category]}
        assert all(is_held_out(clean_scene(prompt, random.Random(0))) for prompt in listed if category != "single")


def test_rounded_models_are_spared_the_second_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Case] = []
    monkeypatch.setattr(evaluate_module, "_draw_all", lambda _run, _runner, cases, *_: drawn.extend(cases))
    evaluate(Run(tmp_path, preset("smoke")), "engine")
    assert {case.model for case in drawn if case.second} == set(TRAINED)
    assert len(drawn) == len(set(drawn))


def test_the_engine_draws_anew_what_torch_has_drawn(tmp_path: Path) -> None:
    results = Results(tmp_path)
    case = Case("full", 4, "single", 0, 0)
    results.add([Outcome(case, "torch", "a red circle", True, "", 0.1)])
    assert results.has(case, "torch", "a red circle")
    assert not results.has(case, "engine", "a red circle")
    results.add([Outcome(case, "engine", "a red circle", False, "", 0.1)])
    read = Results(tmp_path)
    assert read.has(case, "engine", "a red circle")
    assert read.outcomes[case].passed is False


def test_a_verdict_counts_for_its_prompt_its_weights_and_its_judge_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case("ternary", 4, "single", 0, 0)
    (tmp_path / "packed-ternary.safetensors").write_bytes(b"one")
    Results(tmp_path).add([Outcome(case, "engine", "a red circle", True, "", 0.1)])
    assert Results(tmp_path).has(case, "engine", "a red circle")
    assert not Results(tmp_path).has(case, "engine", "a blue circle")
    with monkeypatch.context() as patch:
        patch.setattr(evaluate_module, "RULES", ("judge", "segmentation"))
        assert not Results(tmp_path).has(case, "engine", "a red circle")
    (tmp_path / "packed-binary.safetensors").write_bytes(b"another model")
    assert Results(tmp_path).has(case, "engine", "a red circle")
    (tmp_path / "packed-ternary.safetensors").write_bytes(b"two")
    assert not Results(tmp_path).has(case, "engine", "a red circle")
    (tmp_path / "packed-ternary.safetensors").write_bytes(b"one")
    (tmp_path / "vae.safetensors").write_bytes(b"another decoder")
    assert not Results(tmp_path).has(case, "engine", "a red circle")


def test_the_error_is_that_of_prompts_not_of_pictures() -> None:
    passed = [_outcome("single", index, seed, index < 2) for index in range(4) for seed in SEEDS]
    score = report.score_table(passed)["full", 4, "single"]
    assert score.share == 0.5
    assert score.error == pytest.approx(np.std([1, 1, 0, 0], ddof=1) / 2)


def test_the_lists_are_scored_apart() -> None:
    first = _outcome("single", 0, 0, True)
    second = replace(first, case=replace(first.case, second=True), passed=False)
    apart = report._by_list([first, second])
    assert apart == ([first], [second])
    overall = report.overall_section(report.score_table(apart[1]), 4)
    assert overall.startswith("full precision 0.000 ± ")


def test_rewordings_of_what_is_asked_for_count_as_one() -> None:
    passed = [_outcome("single", index, seed, index < 2) for index in range(8) for seed in SEEDS]
    asked = {("single", index): index // 2 for index in range(8)}
    score = report.score_table(passed, asked)["full", 4, "single"]
    assert score.share == 0.25
    assert score.error == pytest.approx(np.std([1, 0, 0, 0], ddof=1) / 2)
    black_houses = [
        Prompt(text, "colors", Expectation((Thing("house"),), ground=g)) for text, g in (("a", ""), ("b", "red"))
    ]
    assert len(set(report._asked({"colors": black_houses}).values())) == 1


def test_overall_is_the_mean_of_the_categories_without_the_free_prompts() -> None:
    outcomes = [_outcome("single", index, 0, True) for index in range(9)]
    outcomes += [_outcome("two", index, 0, False) for index in range(2)]
    outcomes += [_outcome("free", index, 0, False) for index in range(2)]
    scores = report.score_table(outcomes)
    assert scores["full", 4, "overall"].share == 0.5
    assert scores["full", 4, "free"].share == 0.0
    text = report.scores_section(scores, 4)
    assert "| single | 1.000 ± 0.000 | - |" in text
    assert "| kept of full precision | 100% | - |" in text


def test_the_headline_says_what_is_kept() -> None:
    outcomes = [_outcome("single", index, 0, index < 8) for index in range(10)]
    outcomes += [_outcome("single", index, 0, index < 6, "ternary") for index in range(10)]
    words = report.headline(report.score_table(outcomes), 4)
    assert re.search(r"ternary weights keep 75\.0% ± \d+\.\d% and binary ones -;", words)


def test_noise_depends_on_seed_and_prompt_alone() -> None:
    options = preset("smoke")
    assert np.array_equal(noise(options, 1, 2), noise(options, 1, 2))
    assert not np.array_equal(noise(options, 1, 2), noise(options, 2, 1))
    assert noise(options, 0, 0).shape == (options.token_channels, options.grid, options.grid)


def test_a_grid_has_room_for_every_picture_and_its_prompt(tmp_path: Path) -> None:
    picture = Image.new("RGB", (64, 64), (200, 20, 20))
    figures.grid([("one", [(picture, "a prompt " * 30)] * 3), ("two", [(picture, "b")])], tmp_path / "grid.webp")
    sheet = Image.open(tmp_path / "grid.webp").convert("RGB")
    assert sheet.width > 3 * 192
    assert sheet.height > 2 * 192
    assert np.allclose(sheet.getpixel((100, 100)), (200, 20, 20), atol=12)


def test_curves_are_drawn_on_a_logarithmic_scale(tmp_path: Path) -> None:
    line = [(0.0, 1.0), (50.0, 0.1), (100.0, 0.01)]
    figures.curves({"a<b": line, "short": line[:1]}, "loss", tmp_path / "curve.svg")
    root = ElementTree.parse(tmp_path / "curve.svg").getroot()  # noqa: S314  our own file
    lines = [node for node in root if node.tag.endswith("polyline")]
    assert len(lines) == 1
    heights = [float(point.split(",")[1]) for point in lines[0].attrib["points"].split()]
    assert math.isclose(heights[1] - heights[0], heights[2] - heights[1], abs_tol=0.2)


@pytest.mark.usefixtures("few_categories")
def test_a_report_is_written_from_what_there_is(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even from an unfinished evaluation: figures that are not there are said to be missing."""
    monkeypatch.setattr(evaluate_module, "VARIETY_SEEDS", 2)
    monkeypatch.setattr(report, "VARIETY_PROMPTS", report.VARIETY_PROMPTS[:1])
    monkeypatch.setattr(report, "free", lambda _count: free(3))
    copy = shutil.copytree(trained.folder, tmp_path / "run", ignore=shutil.ignore_patterns("options.json"))
    run = Run(copy, replace(trained.options, sample_steps=2))
    shutil.rmtree(run.folder / evaluate_module.FOLDER, ignore_errors=True)
    for model in ("full", "binary"):
        _judge_all(run, model)
    for stage, samples in product(TIMED_STAGES, (8.0, 16.0)):  # a curve has two points at least
        run.log(stage, "", samples=samples, error=1 / samples, loss=1 / samples)
    report.write_report(run)
    folder = run.folder / report.REPORT
    page = (folder / report.PAGE).read_text()
    pictures = [path.name for path in (folder / report.PICTURES).iterdir()]
    assert re.findall(r"\(seedling/(.*?)\)", page)
    assert sorted(re.findall(r"\(seedling/(.*?)\)", page)) == sorted(pictures)
    assert "{" not in page + (folder / report.CARD).read_text()
    rows = re.findall(r"\| \*\*overall\*\* \|(.*)\|", page)
    missing = [[cell.strip() == "-" for cell in row.split("|")] for row in rows]
    assert missing == [[False, True, False, True, True], [True] * 5, [True] * 5, [False, True, False]]
    shown, others = page.partition("At 4 steps:")[::2]
    assert "100% |" in shown
    assert "100% |" not in others.partition("\n## ")[0]  # nor is anything kept of what is not there
