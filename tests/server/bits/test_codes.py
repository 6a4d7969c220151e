"""Codes over the native interface: made, read, refused, printed and compared."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import segno
from PIL import Image

from bonsai_mlx.hub import published
from bonsai_mlx.images.bitcode import BitCode
from bonsai_mlx.images.metadata import encode_coded, encode_png, read
from server.routes.codes import _drawn
from tests.recipes import a_recipe
from tests.server.conftest import LiveServer, eventually

from .conftest import SIDE

BITS = {"model": "seedling-bits", "width": SIDE, "height": SIDE, "steps": 2}


@pytest.fixture(scope="module")
def drawn(drawing: LiveServer) -> dict[str, Any]:
    """A picture that the model of bits has drawn."""
    return drawing.finished(drawing.post_job("a fox", seed=5, **BITS)["id"])


def pixels(png: bytes) -> bytes:
    return Image.open(io.BytesIO(png)).convert("RGB").tobytes()


def photo() -> bytes:
    values = np.random.default_rng(1).integers(0, 256, (100, 130, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(values).save(data, "PNG")
    return data.getvalue()


def uncoded(drawing: LiveServer, name: str) -> str:
    """The id of a picture in the gallery that says how it was drawn, and has no code."""
    (drawing.settings.output / name).write_bytes(encode_png(Image.new("RGB", (64, 64)), a_recipe()))
    return named(drawing, name)


def named(drawing: LiveServer, name: str) -> str:
    def found() -> list[str]:
        return [one["id"] for one in drawing.client.get("/images").json()["images"] if one["name"] == name]

    [image_id] = eventually(found)
    return str(image_id)


@pytest.mark.slow
def test_a_drawn_picture_is_its_code_and_the_code_exactly_the_picture(
    drawing: LiveServer, drawn: dict[str, Any]
) -> None:
    png = drawing.client.get(f"/images/{drawn['image_id']}.png").content
    told = drawing.client.get(f"/images/{drawn['image_id']}/code").raise_for_status().json()
    found = read(png)
    assert found is not None
    assert told == {"code": found.code, "width": 64, "height": 64, "bytes": 72, "model": "seedling-bits"}
    settings = drawing.client.post("/metadata", content=png).json()["settings"]
    assert settings["code"] == found.code
    decoded = drawing.client.post("/decode", json={"code": told["code"]}).raise_for_status()
    assert decoded.headers["content-type"] == "image/png"
    assert pixels(decoded.content) == pixels(png)
    assert read(decoded.content).code == found.code  # type: ignore[union-attr]


@pytest.mark.slow
def test_any_picture_is_encoded(drawing: LiveServer, drawn: dict[str, Any]) -> None:
    given = drawing.client.post("/inputs", content=photo()).raise_for_status().json()["id"]
    whole = drawing.client.post("/encode", json={"picture": given}).raise_for_status().json()
    assert (whole["width"], whole["height"], whole["bytes"]) == (128, 96, 8 + 192)
    small = drawing.client.post("/encode", json={"picture": given, "width": 64, "height": 80, "model": "seedling-bits"})
    assert BitCode.of_text(small.raise_for_status().json()["code"]).height == 80
    again = drawing.client.post("/encode", json={"picture": drawn["image_id"]}).raise_for_status().json()
    assert again["width"] == 64
    assert again["model"] == "seedling-bits"
    assert drawing.client.post("/decode", json={"code": whole["code"]}).status_code == 200


@pytest.mark.slow
def test_a_qr_code_holds_all_of_it(drawing: LiveServer, drawn: dict[str, Any]) -> None:
    answer = drawing.client.get(f"/images/{drawn['image_id']}/code.svg").raise_for_status()
    assert answer.headers["content-type"] == "image/svg+xml"
    text = drawing.client.get(f"/images/{drawn['image_id']}/code").json()["code"]
    modules = segno.make_qr(text, error="l", mode="byte", mask=2, boost_error=False)
    assert modules.version == 5  # the least that holds 96 characters
    shown = ElementTree.fromstring(answer.text)  # noqa: S314  our own
    assert int(shown.attrib["width"]) == 2 * (len(modules.matrix) + 2 * 4)
    whole = ElementTree.fromstring(_drawn("A" * 2_742))  # noqa: S314  of 256x256 pixels
    assert int(whole.attrib["width"]) == 2 * (17 + 4 * 39 + 2 * 4), "version 39"


def test_similar_pictures_are_those_that_differ_in_the_fewest_bits(drawing: LiveServer, drawn: dict[str, Any]) -> None:
    others = [drawing.finished(drawing.post_job("a fox", seed=seed, **BITS)["id"])["image_id"] for seed in (6, 7)]
    elsewhere = BITS | {"width": 80}
    drawing.finished(drawing.post_job("a fox", seed=5, **elsewhere)["id"])  # of another size: not comparable
    uncoded(drawing, "another.png")
    text = drawing.client.get(f"/images/{drawn['image_id']}/code").json()["code"]
    own = BitCode.of_text(text)
    near = BitCode(own.model, own.width, own.height, bytes((own.bits[0] ^ 1, *own.bits[1:])))
    path = drawing.settings.output / "decoded.png"
    path.write_bytes(encode_coded(Image.new("RGB", (64, 64)), near.as_text()))
    named(drawing, "decoded.png")
    found = drawing.client.get(f"/images/{drawn['image_id']}/similar").raise_for_status().json()["images"]
    assert found[0]["distance"] == 1
    assert found[0]["image"]["name"] == "decoded.png"
    assert {one["image"]["id"] for one in found[1:]} >= set(others)
    assert drawn["image_id"] not in [one["image"]["id"] for one in found]
    assert all(one["image"]["width"] == 64 for one in found)
    distances = [one["distance"] for one in found]
    assert distances == sorted(distances)
    assert found[0]["part"] == 1 / 512
    few = drawing.client.get(f"/images/{drawn['image_id']}/similar", params={"limit": 1}).json()["images"]
    assert few == found[:1]
    path.unlink()


def test_a_picture_without_a_code_has_none(drawing: LiveServer) -> None:
    image_id = uncoded(drawing, "plain.png")
    for way in ("code", "code.svg", "similar"):
        answer = drawing.client.get(f"/images/{image_id}/{way}")
        assert answer.status_code == 404, way
        assert "has no code" in answer.json()["error"]["message"]
        assert drawing.client.get(f"/images/{'0' * 32}/{way}").status_code == 404


FAULTS: list[tuple[str, dict[str, Any], int, str | None]] = [
    ("/decode", {"code": "nonsense"}, 422, "code"),
    ("/decode", {"code": ""}, 422, "code"),
    ("/decode", {"code": BitCode(b"abc", 64, 64, bytes(64)).as_text()}, 422, "code"),
    ("/decode", {"code": BitCode(b"abc", 64, 64, bytes(64)).as_text()[:-4]}, 422, "code"),
    ("/decode", {"code": BitCode(b"abc", 64, 64, bytes(64)).as_text(), "model": "seedling"}, 409, None),
    ("/decode", {"code": BitCode(b"abc", 64, 64, bytes(64)).as_text(), "model": "nobody"}, 422, "model"),
    ("/decode", {"code": "x", "colour": 1}, 422, "colour"),
    ("/encode", {"picture": "0" * 64}, 422, "picture"),
    ("/encode", {"picture": "../../etc"}, 422, "picture"),
    ("/encode", {"picture": "0" * 64, "width": 64}, 422, "height"),
    ("/encode", {"picture": "0" * 64, "height": 64}, 422, "width"),
    ("/encode", {"picture": "0" * 64, "width": 65, "height": 64}, 422, "width"),
]


def test_what_cannot_be(drawing: LiveServer) -> None:
    for path, body, status, field in FAULTS:
        answer = drawing.client.post(path, json=body)
        assert answer.status_code == status, (body, answer.text)
        assert answer.json()["error"]["field"] == field, answer.text
    narrow = io.BytesIO()
    Image.new("RGB", (8, 1200)).save(narrow, "PNG")
    given = drawing.client.post("/inputs", content=narrow.getvalue()).json()["id"]
    refused = drawing.client.post("/encode", json={"picture": given})
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "width")
    assert "too narrow for a code" in refused.json()["error"]["message"]


def test_a_code_that_is_too_long_for_a_qr_code_is_told_so(drawing: LiveServer) -> None:
    long = BitCode(b"abc", 512, 512, bytes(8_192))
    path = drawing.settings.output / "long.png"
    path.write_bytes(encode_coded(Image.new("RGB", (512, 512)), long.as_text()))
    answer = drawing.client.get(f"/images/{named(drawing, 'long.png')}/code.svg")
    assert answer.status_code == 422
    assert "10,934 characters; a QR code holds at most 2,953" in answer.json()["error"]["message"]
    path.unlink()


def test_without_a_model_of_bits_it_says_so(drawing: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "CATALOG", tuple(one for one in published.CATALOG if one.family != "bits"))
    monkeypatch.setattr(published, "_SEEDLINGS", Path("nowhere"))
    answer = drawing.client.post("/decode", json={"code": BitCode(b"abc", 64, 64, bytes(64)).as_text()})
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "model_missing"


def test_the_autoencoder_that_a_package_brings_alone_is_enough_for_codes(
    drawing: LiveServer, drawn: dict[str, Any], bits_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bits").mkdir()
    shutil.copytree(bits_model / "vae", tmp_path / "bits/vae")
    shutil.copy(bits_model / "model_index.json", tmp_path / "bits")
    asked = {"picture": drawn["id"]}
    whole = drawing.client.post("/encode", json=asked).raise_for_status().json()
    monkeypatch.setattr(published, "CATALOG", tuple(one for one in published.CATALOG if one.family != "bits"))
    monkeypatch.setattr(published, "_SEEDLINGS", tmp_path)
    alone = drawing.client.post("/encode", json=asked).raise_for_status().json()
    assert alone["code"] == whole["code"]
    decoded = drawing.client.post("/decode", json={"code": alone["code"]}).raise_for_status()
    assert Image.open(io.BytesIO(decoded.content)).size == (alone["width"], alone["height"])


@pytest.mark.slow
def test_it_waits_for_the_picture_that_is_drawn(serve: Callable[..., LiveServer], gate: Path) -> None:
    live = serve()
    job = live.post_job("hold", width=64, height=64)
    live.running(job["id"])
    code = BitCode(b"abc", 64, 64, bytes(64)).as_text()
    live.client.timeout = 0.5
    with pytest.raises(Exception, match="timed out"):
        live.client.post("/decode", json={"code": code})
    live.client.timeout = 60
    gate.unlink()
    assert live.client.post("/decode", json={"code": code}).status_code == 200
    assert live.job(job["id"])["status"] == "done"


@pytest.mark.slow
@pytest.mark.parametrize(("model", "status"), [(b"oom", 507), (b"raz", 500), (b"die", 500)])
def test_what_goes_wrong_in_the_engine_is_told(serve: Callable[..., LiveServer], model: bytes, status: int) -> None:
    live = serve()
    code = BitCode(model, 64, 64, bytes(64)).as_text()
    answer = live.client.post("/decode", json={"code": code})
    assert answer.status_code == status, answer.text
    assert "secret" not in answer.text
    fine = BitCode(b"abc", 64, 64, bytes(64)).as_text()
    assert live.client.post("/decode", json={"code": fine}).status_code == 200
