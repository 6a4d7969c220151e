"""Text encoders and decoders from the Hub: downloaded by their names, and used by them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bonsai_mlx import Pipeline
from bonsai_mlx.cli.main import main
from bonsai_mlx.flux2.synthesis import make_checkpoint
from bonsai_mlx.hub import api as hub
from bonsai_mlx.hub import published
from bonsai_mlx.hub.published import DECODERS, PREVIEW_DECODERS, TEXT_ENCODERS
from bonsai_mlx.weights.layout import PACKED, TEXT_ENCODER, VAE

from ..fake_hub import FakeHub
from ..tiny_decoder import write_taef2


@pytest.mark.slow
def test_parts_are_downloaded_and_used_by_name(
    server: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a repository that has more, only the files of the part are taken."""
    model, other = (make_checkpoint(tmp_path / name, seed=seed) for name, seed in (("own", 0), ("other", 1)))
    encoder, decoder = TEXT_ENCODERS[0], replace(DECODERS[0], revision="main")  # the tests' Hub has commits of its own
    monkeypatch.setattr(published, "DECODERS", (decoder,))
    monkeypatch.setattr(published, "PARTS", (encoder, decoder))
    for entry, component in ((encoder, TEXT_ENCODER), (decoder, VAE)):
        folder = other / PACKED.folder(component)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        server.repos[entry.repo or ""] = files | {"modeling.py": b"print()", "tokenizer.json": b"{}"}
        assert main(["download", entry.name]) == 0
        local = hub.status(entry)
        assert local.state == "ready"
        assert local.path is not None
        names = {path.name for path in local.path.iterdir()}
        assert names == set(files)
    told = capsys.readouterr().err
    assert "generate --text-encoder ternary-bonsai PROMPT" in told
    assert "generate --decoder small-decoder PROMPT" in told
    pictures = [
        np.asarray(Pipeline.from_pretrained(model, **parts).generate("a fox", seed=1, steps=1).image)
        for parts in (
            {},
            {"text_encoder": encoder.name},
            {"decoder": "small"},
            {"text_encoder": other, "decoder": other},
            {"text_encoder": encoder.repo, "decoder": decoder.repo},
        )
    ]
    assert len({picture.tobytes() for picture in pictures}) == 4
    assert (pictures[3] == pictures[4]).all()
    assert main(["delete", "small"]) == 0
    assert hub.status(decoder).state == "absent"


def test_a_decoder_of_previews_is_downloaded_by_its_name(
    server: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (entry,) = PREVIEW_DECODERS
    file = write_taef2(tmp_path / "published") / "taef2.safetensors"
    server.repos[entry.repo or ""] = {file.name: file.read_bytes(), "taesd.py": b"print()", "README.md": b"words"}
    assert hub.preview_decoder() is None
    assert main(["download", "taef2"]) == 0
    assert "Downloaded models draw their previews with it from now on" in capsys.readouterr().err
    found = hub.preview_decoder()
    assert found is not None
    assert [path.name for path in found.iterdir()] == [file.name]
    assert hub.find_part("taef2", "preview decoder") == found
    assert main(["models"]) == 0
    assert "taef2" in capsys.readouterr().out
    assert main(["download", "taef2", "--dir", str(tmp_path / "mine")]) == 0
    assert "from now on" not in capsys.readouterr().err
    assert main(["delete", "taef2"]) == 0
    assert hub.preview_decoder() is None
