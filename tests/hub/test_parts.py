"""Text encoders and decoders from the Hub: downloaded by their names, and used by them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bonsai_mlx import Pipeline
from bonsai_mlx.cli import download
from bonsai_mlx.cli.main import main
from bonsai_mlx.flux2.synthesis import make_checkpoint
from bonsai_mlx.hub import api as hub
from bonsai_mlx.hub import published
from bonsai_mlx.hub.published import DECODERS, TEXT_ENCODERS
from bonsai_mlx.weights.layout import PACKED, TEXT_ENCODER, VAE

from ..fake_hub import FakeHub


@pytest.mark.slow
def test_parts_are_downloaded_and_used_by_name(
    server: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a repository that has more, only the files of the part are taken."""
    model, other = (make_checkpoint(tmp_path / name, seed=seed) for name, seed in (("own", 0), ("other", 1)))
    encoder, decoder = TEXT_ENCODERS[0], replace(DECODERS[0], revision="main")  # the tests' Hub has commits of its own
    for place in (published, download):
        monkeypatch.setattr(place, "DECODERS", (decoder,))
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
