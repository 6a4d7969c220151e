"""The bench command on the embedded checkpoint: what it reports, and that the figures are true."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mlx.core as mx
import pytest

from bonsai_mlx import Pipeline
from bonsai_mlx.cli import main as cli
from bonsai_mlx.diagnosis import bench
from bonsai_mlx.diagnosis.chart import chart
from bonsai_mlx.runtime.memory import Sample

pytestmark = pytest.mark.slow

SIZES = ("--sizes", "64x64,96x64", "--steps", "2", "--repeats", "2")


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Callable[..., Path]) -> str:
    return str(tiny_checkpoint())


@pytest.fixture(scope="module")
def written(model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("bench") / "report.json"
    assert bench.main(["--model", model, *SIZES, "--json", str(file)]) == 0
    return file.read_text()


@pytest.fixture
def report(written: str) -> dict[str, Any]:
    """One's own to change."""
    loaded: dict[str, Any] = json.loads(written)
    return loaded


def test_each_size_is_drawn_cold_and_then_warm(report: dict[str, Any]) -> None:
    kinds = [(run["width"], run["height"], run["kind"]) for run in report["measurements"]]
    assert kinds == [(width, 64, kind) for width in (64, 96) for kind in ("cold", "warm", "warm")]


def test_a_warm_run_encodes_and_reads_less(report: dict[str, Any]) -> None:
    cold, warm, _, *_ = report["measurements"]
    assert "encode" in cold["phases_s"]
    assert warm["phases_s"].get("encode", 0) < cold["phases_s"]["encode"]
    assert warm["read_bytes"] < cold["read_bytes"]


def test_figures_agree_with_each_other(report: dict[str, Any]) -> None:
    for run in report["measurements"]:
        assert run["peak_bytes"] == max(run["phase_peak_bytes"].values())
        assert 0 < run["mean_active_bytes"] <= run["peak_bytes"]
        assert run["idle_bytes"] <= run["peak_bytes"]
        assert len(run["steps_s"]) == 2
        assert sum(run["steps_s"]) <= run["phases_s"]["denoise"] + 0.01
        parts = sum(seconds for name, seconds in run["phases_s"].items() if name != "total")
        assert parts == pytest.approx(run["phases_s"]["total"], abs=0.01)
        assert run["samples"]


def test_the_peak_is_the_device_s_own(model: str) -> None:
    pipe = Pipeline.from_pretrained(model)
    measured = bench.measure(pipe, "cold", 64, 64, 1)
    assert measured.idle_bytes == mx.get_active_memory()
    assert measured.phase_peak_bytes["decode"] >= 64 * 64 * 3 * 4  # the picture itself was held


def test_the_table_has_a_line_for_each_size_and_kind(report: dict[str, Any]) -> None:
    head, *lines = bench.table(report["measurements"])
    assert [line.split()[:2] for line in lines] == [
        [size, kind] for size in ("64x64", "96x64") for kind in ("cold", "warm")
    ]
    assert len({len(line) for line in (head, *lines)}) == 1


def test_medians_and_spread(report: dict[str, Any]) -> None:
    runs = [json.loads(json.dumps(report["measurements"][1])) for _ in range(3)]
    for run, total in zip(runs, (1.0, 2.0, 6.0), strict=True):
        run["phases_s"]["total"] = total
    _, line = bench.table(runs)
    assert line.split()[2:4] == ["2.00", "5.00"]


def test_a_report_is_compared_with_an_earlier_one(
    model: str, report: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in report["measurements"]:
        run["peak_bytes"] *= 2
    earlier = tmp_path / "earlier.json"
    earlier.write_text(json.dumps(report))
    assert bench.main(["--model", model, "--sizes", "64x64", "--steps", "2", "--compare", str(earlier)]) == 0
    ratios = {line.split()[1]: line.split() for line in capsys.readouterr().out.splitlines()[-2:]}
    assert set(ratios) == {"cold", "warm"}
    for words in ratios.values():
        assert float(words[3]) == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("--sizes", "512"), "512x512"),
        (("--sizes", "512x512,"), "512x512"),
        (("--repeats", "-1"), "'-1' is no whole number from 0 up"),
        (("--repeats", "many"), "'many' is no whole number from 0 up"),
    ],
)
def test_wrong_options_are_refused(words: tuple[str, str], answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(words)
    assert answer in capsys.readouterr().err


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "measure", lambda *_: pytest.fail("pictures were drawn for nothing"))


@pytest.mark.usefixtures("unmeasured")
class TestWhatIsWrongIsToldFirst:
    @pytest.mark.parametrize("option", ["--json", "--chart", "--compare"])
    def test_a_folder_that_is_not_there(
        self, option: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "nowhere" / "x.json"
        assert cli.main(["bench", "--model", model, f"{option}={file}"]) == 1
        assert f"{file}: No such file" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "no JSON",
            "[]",
            "{}",
            '{"measurements": 1}',
            '{"measurements": [{}]}',
            '{"measurements": [[]]}',
            '{"measurements": [{"width": 1, "height": 1, "kind": []}]}',
            "[" * 100_000,
            "\xff",
        ],
    )
    def test_a_file_that_is_no_report(
        self, content: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "x.json"
        file.write_bytes(content.encode("latin-1"))
        assert cli.main(["bench", "--model", model, "--compare", str(file)]) == 1
        assert f"{file}: is no report" in capsys.readouterr().err

    @pytest.mark.parametrize("broken", [{"peak_bytes": 0}, {"phases_s": {}}, {"peak_bytes": "much"}])
    def test_a_report_that_is_damaged(
        self, broken: dict[str, Any], model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = {"width": 64, "height": 64, "kind": "cold", "phases_s": {"total": 1.0}, "peak_bytes": 1}
        file = tmp_path / "x.json"
        file.write_text(json.dumps({"measurements": [run | {"mean_active_bytes": 1} | broken]}))
        assert cli.main(["bench", "--model", model, "--compare", str(file)]) == 1
        assert f"{file}: is no report" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("size", "limit", "words"), [("100x64", "1GB", "multiple of 16"), ("64x64", "9kB", "limit")]
    )
    def test_a_picture_that_cannot_be_drawn(
        self, size: str, limit: str, words: str, model: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["bench", "--model", model, "--sizes", f"64x64,{size}", "--memory-limit", limit]) == 1
        assert words in capsys.readouterr().err

    def test_looking_whether_files_can_be_written_leaves_no_trace(self, tmp_path: Path) -> None:
        old, new = tmp_path / "old.json", tmp_path / "new.svg"
        old.write_text("earlier")
        options = ["--model", "no-such-model", "--json", str(old), "--chart", str(new)]
        assert cli.main(["bench", *options]) == 1
        assert old.read_text() == "earlier"
        assert not new.exists()


def test_files_may_begin_with_a_tilde_and_sizes_have_a_large_x(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    once = ["--model", model, "--sizes", "64X64", "--steps", "1", "--repeats", "0"]
    assert bench.main([*once, "--json=~/mine.json", "--chart=~/memory.svg"]) == 0
    assert (tmp_path / "memory.svg").is_file()
    assert bench.main([*once, "--compare=~/mine.json"]) == 0


class TestChart:
    SAMPLES = (
        Sample(0.0, "load", 0, 50_000_000),
        Sample(1.0, "denoise", 30_000_000, 80_000_000),
        Sample(3.0, "denoise", 40_000_000, 100_000_000),
        Sample(4.0, "decode", 20_000_000, 90_000_000),
    )

    def test_it_is_svg_with_every_sample_on_both_lines(self) -> None:
        root = ElementTree.fromstring(chart(self.SAMPLES, "ours & <theirs>"))  # noqa: S314
        lines = root.findall("{*}polyline")
        assert [len((line.get("points") or "").split()) for line in lines] == [4, 4]
        texts = [text.text for text in root.findall("{*}text")]
        assert "ours & <theirs>: memory over 4.0 s" in texts
        assert {"load", "denoise", "100 MB", "50 MB", "0 MB", "0 s", "4 s"} <= set(texts)

    def test_phases_fill_the_whole_time(self) -> None:
        root = ElementTree.fromstring(chart(self.SAMPLES, "x"))  # noqa: S314
        bands = [(float(rect.get("x") or 0), float(rect.get("width") or 0)) for rect in root.findall("{*}rect")[1:]]
        ends = [x + width for x, width in bands]
        assert [x for x, _ in bands[1:]] == pytest.approx(ends[:-1], abs=0.2)
