"""What is measured of an autoencoder of bits: an exact one, one that is not, and that of a run that was begun."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from bonsai_mlx.bits.codec import Codec  # noqa: E402
from bonsai_mlx.errors import CheckpointError  # noqa: E402
from bonsai_mlx.images.bitcode import BitCode  # noqa: E402
from seedling.bits import reconstruction  # noqa: E402
from seedling.bits.autoencoder import AUTOENCODER, BitAutoencoder, load_autoencoder  # noqa: E402
from seedling.bits.export import export_autoencoder  # noqa: E402
from seedling.judge.prompts import held_out  # noqa: E402
from seedling.model.run import Run  # noqa: E402
from seedling.options import preset  # noqa: E402


class Exact:
    """Keeps the pictures that it has seen; `blur` of their sides is lost."""

    def __init__(self, blur: int = 1) -> None:
        self.blur, self.seen = blur, list[Image.Image]()

    def encode(self, picture: Image.Image) -> BitCode:
        self.seen.append(picture)
        return BitCode(b"abc", 256, 256, (len(self.seen) if self.blur > 1 else 0).to_bytes(2_048))

    def decode(self, _code: BitCode) -> Image.Image:
        last = self.seen[-1]
        return last.resize((256 // self.blur,) * 2).resize((256, 256))


@pytest.mark.parametrize("blur", [1, 32])
def test_an_exact_one_passes_and_a_blurred_one_does_not(blur: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconstruction.Codec, "from_pretrained", lambda _folder: Exact(blur))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
    prompts = {name: held_out(name, 4) for name in ("single", "colors")}
    found = reconstruction.measured(Path(), pixels, prompts)
    assert found["pictures"] == 2
    assert found["judged"].keys() == prompts.keys()
    assert all(one["clean"] >= 0.75 for one in found["judged"].values())
    assert reconstruction.passes(found) is (blur == 1)
    if blur == 1:
        assert (found["psnr"], found["bits_changed"]) == (78.13, 0)
        assert all(one["reconstructed"] == 1 for one in found["judged"].values())
    else:
        assert found["psnr"] < 20
        assert found["bits_changed"] > 0


def test_each_part_of_the_gate_counts() -> None:
    good: dict[str, Any] = {"psnr": 32.0, "bits_changed": 0.019, "judged": {"a": {"reconstructed": 0.98}}}
    assert reconstruction.passes(good)
    worse = {"psnr": 31.9}, {"bits_changed": 0.02}, {"judged": {"a": {"reconstructed": 0.979}}}
    assert not any(reconstruction.passes(good | one) for one in worse)


def test_the_autoencoder_of_a_run_is_exported_alone(tmp_path: Path) -> None:
    """The engine makes the bits of it that were trained, and says that it cannot draw."""
    options = replace(preset("smoke"), latent_channels=8)
    run = Run(tmp_path / "run", options)
    torch.manual_seed(0)
    run.save(AUTOENCODER, BitAutoencoder(options))
    export_autoencoder(run, tmp_path / "out")
    codec = Codec.from_pretrained(tmp_path / "out")
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    code = codec.encode(Image.fromarray(pixels))
    with torch.no_grad():
        taken = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
        logits = load_autoencoder(run).eval().logits(taken)[0].permute(1, 2, 0)
    trained = (logits > 0).numpy()
    exported = np.unpackbits(np.frombuffer(code.bits, np.uint8), bitorder="little").reshape(trained.shape)
    assert (exported == trained).mean() > 0.99  # weights are published in half precision
    from bonsai_mlx import Pipeline

    with pytest.raises(CheckpointError, match="no more than an autoencoder"):
        Pipeline.from_pretrained(tmp_path / "out")
