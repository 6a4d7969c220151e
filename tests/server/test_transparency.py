"""Transparent pictures over HTTP, by the real engine: an exact enlargement keeps them so, all else tells."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bonsai_mlx.editing.enlarging import exactly
from bonsai_mlx.editing.pictures import digest_of
from tests.server.conftest import LiveServer

pytestmark = pytest.mark.slow

TOLD = "its transparent parts are laid on white"
LOGO = Image.effect_noise((96, 80), 90).convert("RGBA")
LOGO.putalpha(Image.linear_gradient("L").resize((96, 80)))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def on_white(image: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def add(live: LiveServer, image: Image.Image) -> dict[str, Any]:
    found: dict[str, Any] = live.client.post("/inputs", content=png(image)).raise_for_status().json()
    return found


def enlarged(live: LiveServer, source: str, **fields: Any) -> tuple[Image.Image, Any]:
    answer = live.client.post("/enlarge", json={"source": source, **fields})
    assert answer.status_code == 200, answer.text
    return opened(answer.content), answer.headers


def test_what_is_enlarged_exactly_stays_transparent(real: LiveServer) -> None:
    taken = add(real, LOGO)
    assert taken["id"] == digest_of(on_white(LOGO)), "which is what is drawn upon"
    assert taken["notes"] == [f"{TOLD[0].upper()}{TOLD[1:]}."]
    twice, headers = enlarged(real, taken["id"])
    assert twice.tobytes() == exactly(LOGO, 2).tobytes()
    assert "x-notes" not in headers
    image = headers["x-image-id"]
    assert real.client.get(f"/images/{image}").json()["recipe"]["source"] == digest_of(LOGO)
    assert opened(real.client.get(f"/images/{image}/thumbnail").content).mode == "RGBA"
    four, _ = enlarged(real, image)  # from the gallery
    assert four.tobytes() == exactly(exactly(LOGO, 2), 2).tobytes()
    redone = real.client.post("/enlarge", json={"source": digest_of(LOGO)})  # as the recipe says it
    assert opened(redone.content).tobytes() == twice.tobytes()


def test_elsewhere_it_is_laid_on_white_and_told(real: LiveServer) -> None:
    taken = add(real, LOGO)["id"]
    gallery = enlarged(real, taken)[1]["x-image-id"]
    refined, headers = enlarged(real, taken, method="refine", prompt="a star", steps=1)
    assert (refined.mode, headers["x-notes"]) == ("RGB", f"source: {TOLD}")
    for source in (taken, digest_of(LOGO), gallery):
        for field, named in (("init", source), ("references", [source])):
            body = {"prompt": "a star", "steps": 1, "width": 96, "height": 80, field: named}
            answer = real.client.post("/edit", json=body).raise_for_status()
            place = "init" if field == "init" else "references[0]"
            assert answer.headers["x-notes"] == f"{place}: {TOLD}", (source, field)
            assert opened(answer.content).mode == "RGB"
    job = real.client.get("/jobs?limit=1").json()["jobs"][0]
    assert job["notes"] == [f"references[0]: {TOLD}"]


def test_who_gives_the_same_picture_without_transparency_gets_none(real: LiveServer) -> None:
    """Laid on white they are the same; what was given last is meant."""
    clear, white = add(real, LOGO), add(real, on_white(LOGO))
    assert clear["id"] == white["id"]
    assert white["notes"] == []
    assert enlarged(real, white["id"])[0].mode == "RGB"
    add(real, LOGO)
    real.client.post("/edit", json={"prompt": "a star", "steps": 1, "init": clear["id"]}).raise_for_status()
    assert enlarged(real, clear["id"])[0].mode == "RGBA", "what is drawn upon says nothing of it"


def test_a_whole_that_is_gone_is_told(real: LiveServer) -> None:
    taken = add(real, LOGO)
    real.studio.inputs.path(digest_of(LOGO)).unlink()
    found, headers = enlarged(real, taken["id"])
    assert (found.mode, headers["x-notes"]) == ("RGB", f"source: {TOLD}")


def test_other_programs_enlargers_keep_it(real: LiveServer) -> None:
    text = base64.b64encode(png(LOGO)).decode()
    single = real.client.post("/sdapi/v1/extra-single-image", json={"image": text, "upscaling_resize": 2})
    sized = {"image": text, "resize_mode": 1, "upscaling_resize_w": 192, "upscaling_resize_h": 160}
    to_size = real.client.post("/sdapi/v1/extra-single-image", json=sized)
    batch = real.client.post("/sdapi/v1/extra-batch-images", json={"imageList": [{"data": text, "name": "a"}]})
    lemonade = real.client.post("/api/v1/images/upscale", json={"image": text, "factor": 2})
    made = [single.json()["image"], to_size.json()["image"], batch.json()["images"][0]]
    for data in (*made, lemonade.json()["data"][0]["b64_json"]):
        found = opened(base64.b64decode(data))
        assert (found.mode, found.size) == ("RGBA", (192, 160))
        assert np.abs(np.asarray(found).astype(int) - np.asarray(exactly(LOGO, 2))).max() == 0


def test_a1111_is_told_what_its_pictures_lose(real: LiveServer) -> None:
    text = base64.b64encode(png(LOGO.transpose(Image.Transpose.ROTATE_180))).decode()  # which nobody has given yet
    body = {"prompt": "a star", "steps": 1, "init_images": [text], "width": None, "height": None}
    info = real.client.post("/sdapi/v1/img2img", json=body).raise_for_status().json()["info"]
    assert TOLD in info


@pytest.mark.parametrize(("size", "notes"), [((96, 80), []), ((48, 40), []), ((80, 96), ["80x96 and 96x80"])])
def test_a_mask_that_is_stretched_is_told(real: LiveServer, size: tuple[int, int], notes: list[str]) -> None:
    init = add(real, on_white(LOGO))["id"]
    mask = real.client.post("/inputs?mask=true", content=png(Image.new("L", size, 255))).json()["id"]
    answer = real.client.post("/edit", json={"prompt": "a star", "steps": 1, "init": init, "mask": mask})
    told = answer.raise_for_status().headers.get("x-notes")
    job = real.client.get(f"/jobs/{answer.headers['x-job-id']}").json()
    assert [told] == (job["notes"] or [None])
    assert (told is not None) == bool(notes)
    assert all(note in told for note in notes)
