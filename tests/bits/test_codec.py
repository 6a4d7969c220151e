"""Pictures as codes and back, by a tiny autoencoder with random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

from bonsai_mlx import Pipeline
from bonsai_mlx.bits.autoencoder import Autoencoder, bits_of, code_of
from bonsai_mlx.bits.codec import Codec, checked_size, fitting
from bonsai_mlx.errors import CheckpointError, RequestError
from bonsai_mlx.flux2 import vae
from bonsai_mlx.hub.catalog import lookup
from bonsai_mlx.images.bitcode import BitCode
from bonsai_mlx.images.metadata import read


def test_bits_are_packed_by_rows_columns_and_channels_the_lowest_first() -> None:
    cells = np.full((2, 2, 8), -1.0, np.float32)
    cells[0, 0, 0] = cells[0, 0, 3] = cells[0, 1, 7] = cells[1, 0, 1] = 1  # row, column, channel
    packed = vae.pack_latents(mx.array(np.tile(cells, (8, 8, 1)))[None])
    code = code_of(packed, b"abc")
    assert (code.width, code.height, code.channels) == (128, 128, 8)
    assert code.bits[:4] == bytes((0b1001, 0b10000000, 0b1001, 0b10000000))
    assert code.bits[16:18] == bytes((0b10, 0))  # the second row
    assert np.array_equal(np.array(bits_of(code)), np.array(packed))


def test_a_picture_becomes_a_code_and_the_code_a_picture_without_a_transformer(
    autoencoder: Path, photo: Image.Image
) -> None:
    codec = Codec.from_pretrained(autoencoder)
    code = codec.encode(photo)
    assert (code.width, code.height) == (128, 96)
    assert len(code.as_bytes()) == 8 + 128 * 96 * 8 // 512
    image = codec.decode(code)
    assert image.size == (128, 96)
    for same in (code.as_text(), code.as_bytes()):
        assert codec.decode(same).tobytes() == image.tobytes()
    other = codec.encode(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert codec.decode(other).tobytes() != image.tobytes()
    assert codec.encode(photo, (64, 80)).width == 64


def test_it_says_that_it_cannot_draw(autoencoder: Path) -> None:
    with pytest.raises(CheckpointError, match="no more than an autoencoder: it encodes and decodes pictures"):
        Pipeline.from_pretrained(autoencoder)


def test_the_code_in_a_drawn_picture_is_exactly_it(pipe: Pipeline, folder: Path, tmp_path: Path) -> None:
    result = pipe.generate("a fox", seed=5, steps=2, width=96, height=64)
    path = tmp_path / "fox.png"
    result.save(path)
    found = read(path)
    assert found is not None
    assert found.code == result.code
    assert found.code is not None
    decoded = Codec.from_pretrained(folder).decode(found.code)
    assert decoded.tobytes() == Image.open(path).convert("RGB").tobytes()
    for mode in ("mark", "none"):
        result.save(path, metadata=mode)
        left = read(path)
        assert left is None or left.code is None
    result.save(path.with_suffix(".jpg"))
    lossy = read(path.with_suffix(".jpg"))
    assert lossy is not None
    assert lossy.code is None, "what JPEG keeps is not exactly the picture"


def test_a_picture_that_is_pasted_into_another_has_no_code(pipe: Pipeline, photo: Image.Image) -> None:
    whole = photo.resize((96, 96))
    mask = Image.new("L", (96, 96))
    mask.paste(255, (0, 0, 48, 96))
    how = {"seed": 1, "steps": 2, "init_image": whole}
    assert pipe.generate("a fox", mask=mask, only_masked=False, **how).code is None  # type: ignore[arg-type]
    redrawn = pipe.generate("a fox", strength=0.5, **how)  # type: ignore[arg-type]
    assert redrawn.code is not None


def test_a_code_of_another_model_is_refused_before_anything_is_decoded(
    autoencoder: Path, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = Codec.from_pretrained(autoencoder)
    code = codec.encode(photo)
    monkeypatch.setattr(vae, "decode", lambda *_a, **_k: pytest.fail("it is decoded"))
    with pytest.raises(RequestError, match="code: was made by another model"):
        codec.decode(BitCode(b"\0\0\0", code.width, code.height, code.bits))
    with pytest.raises(RequestError, match="has 16 bits for each latent, and this model 8"):
        codec.decode(BitCode(code.model, code.width, code.height, 2 * code.bits))
    with pytest.raises(RequestError, match="no code of a picture"):
        codec.decode("never")
    with pytest.raises(RequestError, match="bytes long"):
        codec.decode(code.as_bytes() + b"\0")


def test_another_autoencoder_has_another_digest(folder: Path, autoencoder: Path, tmp_path: Path) -> None:
    from bonsai_mlx.flux2.synthesis import make_checkpoint

    other = make_checkpoint(tmp_path / "other", "tiny-bits", "binary", seed=1)
    digests = [Autoencoder.open(place).model for place in (folder, autoencoder, other)]
    assert digests[0] == digests[1] != digests[2]
    assert all(len(digest) == 3 for digest in digests)


def test_what_encodes_nothing_is_refused_in_words(autoencoder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="latents of this model are no bits"):
        Codec.from_pretrained("seedling")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        Codec.from_pretrained("never-heard-of")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "model_index.json").write_text((autoencoder / "model_index.json").read_text())
    with pytest.raises(CheckpointError, match="the folder vae is missing"):
        Codec.from_pretrained(empty)
    index = json.loads((autoencoder / "model_index.json").read_text())
    (empty / "model_index.json").write_text(json.dumps(index | {"_common_folder": "../.."}))
    with pytest.raises(CheckpointError, match="the folder vae is missing"):
        Codec.from_pretrained(empty)
    (empty / "model_index.json").write_text(json.dumps(index | {"_common_folder": "../common"}))
    shutil.copytree(autoencoder, tmp_path / "common")
    assert Codec.from_pretrained(empty).autoencoder.model == Autoencoder.open(autoencoder).model
    assert lookup("seedling").family == "flux2"


def test_sizes_that_can_be_encoded() -> None:
    assert fitting((256, 256)) == (256, 256)
    assert fitting((130, 100)) == (128, 96)
    assert fitting((30, 40)) == (64, 80)
    assert fitting((4000, 3000)) == (2048, 1536)
    assert fitting((4096, 128)) == (2048, 64)
    with pytest.raises(RequestError, match="size: 40x4000 is too narrow"):
        fitting((40, 4000))
    assert checked_size((64, 2048)) == (64, 2048)
    for wrong in ((65, 64), (64, 4096), (16, 64)):
        with pytest.raises(RequestError, match="is no side of a picture with a code"):
            checked_size(wrong)
