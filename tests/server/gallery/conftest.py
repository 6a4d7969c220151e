"""A gallery with pictures."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from bonsai_mlx.images.metadata import Recipe, encode_png, save_picture
from server.events import EventHub
from server.gallery.decoder import Decoder
from server.gallery.entries import make_image
from server.gallery.gallery import Gallery
from server.gallery.listing import Query
from server.store import Store, timestamp

DECODER = Decoder()


@pytest.fixture(autouse=True, scope="session")
def _end_decoder() -> Iterator[None]:
    yield
    DECODER.close()


def recipe(prompt: str, seed: int = 1) -> Recipe:
    return Recipe(
        prompt=prompt,
        seed=seed,
        steps=4,
        width=64,
        height=32,
        variant="ternary",
        model="ternary",
        timings={"total": 1.5},
    )


def add(gallery: Gallery, image_id: str, prompt: str, at: float = 0.0, **fields: Any) -> None:
    """A saved image, as the child leaves it."""
    png = encode_png(Pillow.new("RGB", (64, 32), (1, 2, 3)), recipe(prompt))
    save_picture(gallery.file(image_id), png)
    os.utime(gallery.file(image_id), (at, at))
    values = {"seed": 1, "steps": 4, "width": 64, "height": 32, "model": "ternary", "variant": "ternary"} | fields
    gallery.add(make_image(image_id, prompt=prompt, created_at=timestamp(at), size_bytes=len(png), **values))


def new_id(number: int) -> str:
    return f"{number:032x}"


class Parts:
    """A gallery with its store and events."""

    def __init__(self, folder: Path, decoder: Decoder = DECODER) -> None:
        self.events = EventHub(100, 4)
        self.store = Store(folder)
        self.gallery = Gallery(folder, self.store, self.events, decoder, trash_days=7)
        self.gallery.prepare()


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = Parts(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def gallery(parts: Parts) -> Gallery:
    return parts.gallery


def ids(gallery: Gallery, **filters: Any) -> list[int]:
    page = asyncio.run(gallery.page(Query(**filters)))
    return [int(image.id, 16) for image in page.images]
