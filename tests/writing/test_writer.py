"""The prompt writer through mlx-lm, with a small random Qwen3 in the published layout."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from huggingface_hub import constants

from bonsai_mlx.cli.main import main
from bonsai_mlx.errors import CheckpointError, MissingLibraryError, NoWriterError, OutOfMemory, RequestError
from bonsai_mlx.images.metadata import read
from bonsai_mlx.writing.files import WriterFiles, require_library, writer_in, writer_of
from bonsai_mlx.writing.writer import Piece, Writer, _beside
from tests.writing.writers import saved_writer, tiny_config

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_writer(tmp_path_factory.mktemp("writer"))


@pytest.fixture(scope="module")
def files(folder: Path) -> WriterFiles:
    return writer_in(folder)


def written(writer: Writer, prompt: str = "a red fox", **how: Any) -> list[Piece]:
    return list(writer.write(prompt, **how))


def texts(pieces: list[Piece]) -> list[str]:
    return [piece.text for piece in pieces if piece.kept is not None]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts end after some words: random weights seldom find an end."""
    monkeypatch.setattr("bonsai_mlx.writing.writer.MAX_TOKENS", 40)


@pytest.mark.slow
def test_proposals_come_in_pieces_and_again_from_the_same_seed(files: WriterFiles, short: None) -> None:
    writer = Writer(files)
    pieces = written(writer, seed=7, count=2)
    assert {piece.proposal for piece in pieces} == {0, 1}
    first, second = texts(pieces)
    assert first != second
    assert min(len(first), len(second)) > 20
    parts = [piece.text for piece in pieces if piece.proposal == 0 and piece.kept is None and piece.text]
    assert len(parts) > 5
    assert " ".join("".join(parts).split()).strip("\"'") in first
    assert texts(written(writer, seed=7, count=2)) == [first, second]
    assert texts(written(writer, seed=8, count=1)) == [second]
    writer.close()


def test_it_stops_between_two_words_and_gives_its_memory_back(files: WriterFiles) -> None:
    before = mx.get_active_memory()
    writer = Writer(files)
    pieces = writer.write("a red fox", seed=1)
    read_at_once = 0
    while not next(pieces).text:  # while it is loaded, and reads what it is asked
        read_at_once += 1
    assert read_at_once > files.config()["num_hidden_layers"], "it can be stopped between any two layers"
    assert mx.get_active_memory() > before
    pieces.close()
    writer.close()
    del pieces
    assert mx.get_active_memory() <= before + 100_000


@pytest.mark.slow
def test_the_plan_holds_what_is_measured(files: WriterFiles) -> None:
    weights = sum(path.stat().st_size for path in files.shards())
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    writer = Writer(files)
    written(writer, seed=3, count=1)
    writer.close()
    assert weights <= mx.get_peak_memory() - before <= files.peak_bytes()
    with pytest.raises(OutOfMemory, match=r"Bonsai-1\.7B-mlx-1bit"):
        Writer(files, memory_limit_bytes=weights)


@pytest.mark.slow
def test_the_vocabulary_is_computed_for_the_last_token_alone(
    files: WriterFiles, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlx_lm.models import qwen3

    logits, asked_for = Writer._logits, []
    monkeypatch.setattr(
        Writer, "_logits", lambda writer, hidden: (asked_for.append(hidden.shape[1]), logits(writer, hidden))[1]
    )
    writer = Writer(files)
    written(writer, seed=7, count=1)
    assert asked_for == [1]
    ids = mx.array([list(range(70))])
    for tied in (True, False):
        if not tied:
            writer._model = qwen3.Model(qwen3.ModelArgs.from_dict(tiny_config(tie_word_embeddings=False)))
        assert mx.allclose(logits(writer, writer._model.model(ids)), writer._model(ids)).item()


def test_what_is_typed_is_no_part_of_the_template(files: WriterFiles) -> None:
    writer = Writer(files)
    list(writer.load())
    asked = writer._asked("a<|im_end|>b")
    assert asked != writer._asked("ab")
    assert asked.count(writer._tokenizer.id_of("<|im_end|>")) == writer._asked("ab").count(  # type: ignore[arg-type]
        writer._tokenizer.id_of("<|im_end|>")  # type: ignore[arg-type]
    )
    for prompt in (" ", "x" * 2_001, "龍" * 700):
        with pytest.raises(RequestError, match="prompt"):
            written(writer, prompt)


def test_a_folder_of_ones_own_has_to_be_a_whole_qwen3_without_code(tmp_path: Path) -> None:
    own = saved_writer(tmp_path / "own")
    config = json.loads((own / "config.json").read_text())
    for wrong, words in (
        ({"model_type": "llama"}, "no Qwen3"),
        ({"model_file": "evil.py"}, "no Qwen3"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"head_dim": "64"}, "head_dim"),
    ):
        (own / "config.json").write_text(json.dumps(config | wrong))
        with pytest.raises(CheckpointError, match=words):
            writer_in(own)
    (own / "config.json").write_text(json.dumps(config | {"vocab_size": 512}))
    with pytest.raises(CheckpointError, match="more tokens than the model knows"):
        written(Writer(writer_in(own)))
    for wrong in (
        {"num_hidden_layers": 1},
        {"quantization": {"bits": 4}},
        {"quantization": {"bits": 3, "group_size": 64}},
    ):
        (own / "config.json").write_text(json.dumps(config | wrong))
        with pytest.raises(CheckpointError, match="not those of its config"):
            written(Writer(writer_in(own)))
    (own / "config.json").write_text(json.dumps(config))
    whole = (own / "model.safetensors").read_bytes()
    (own / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match="no whole safetensors file"):
        written(Writer(writer_in(own)))
    (own / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        writer_in(own)


def test_who_can_write_is_told(tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoWriterError, match="never taught to write"):
        writer_of(tiny_checkpoint())
    monkeypatch.setattr("bonsai_mlx.writing.files._LANGUAGE", 100)
    assert writer_of(tiny_checkpoint()).instructed
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingLibraryError, match=r"mlx-lm.*; get it with: scripts/setup --extra writer"):
        require_library()


@pytest.mark.slow
def test_the_command_prints_a_line_for_each(
    folder: Path, short: None, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    assert main(["write", "a red fox", "--writer", str(folder), "--seed", "7", "--count", "2"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert "Left out: red, fox." in err
    assert main(["write", "a red fox", "--writer", str(folder), "--seed", "7", "--count", "2", "--quiet"]) == 0
    assert capsys.readouterr() == (out, "")
    for wrong, words in (
        (["--count", "9"], "--count"),
        (["--seed", "-1"], "--seed"),
        (["--memory-limit", "1000"], "the writer needs"),
    ):
        assert main(["write", "a red fox", "--writer", str(folder), *wrong]) != 0
        assert words in capsys.readouterr().err


@pytest.mark.slow
def test_a_pipeline_draws_what_a_step_has_written(
    folder: Path, short: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bonsai_mlx.cli.words.writer_of", lambda _root: writer_in(folder))
    monkeypatch.chdir(tmp_path)
    steps = [
        {"operation": "write", "prompt": "{prompt}", "seed": 7},
        {"operation": "draw", "prompt": "{prompt}, at night", "width": 64, "height": 64, "steps": 1, "seed": 3},
        {"operation": "enlarge", "source": "previous"},
    ]
    Path("mine.json").write_text(json.dumps({"steps": steps}))
    assert main(["run", "mine.json", "--prompt", "a fox", "--model", "seedling", "-o", "large.png"]) == 0
    assert "Written: " in capsys.readouterr().err
    [text] = texts(written(Writer(writer_in(folder)), "a fox", seed=7, count=1))
    found = read(Path("large.png"))
    assert found is not None
    assert found.recipe is not None
    [draw] = found.recipe.parameters["chain"]
    assert (draw["prompt"], draw["typed"]) == (f"{text}, at night", "a fox")


def test_one_may_leave_while_the_library_is_imported() -> None:
    go, ended = threading.Event(), threading.Event()

    def slow() -> None:
        go.wait(60)
        ended.set()

    importing = _beside(slow)
    next(importing)  # it is not there yet
    next(importing)
    importing.close()  # one leaves
    assert not ended.is_set()
    go.set()
    assert ended.wait(60)
    list(_beside(slow))

    def broken() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        list(_beside(broken))
