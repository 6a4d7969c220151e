import asyncio
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import bonsai_mlx
from bonsai_mlx.editing.frame import held_bytes
from bonsai_mlx.flux2 import plan
from bonsai_mlx.hub.catalog import lookup
from bonsai_mlx.request import ResolvedDraw
from server.checkpoints.ready import ReadyModel
from server.engine.protocol import Memory as EngineMemory
from server.errors import ApiError
from server.jobs import fits
from server.jobs.durations import Durations
from server.jobs.fits import ASPECTS, Fits, sizes_of
from server.settings import Settings
from server.store import Store
from tests.stand_in import stand_in

SEEDLING = Path(bonsai_mlx.__file__).parent / "seedling" / "ternary"


def ready(size: tuple[int, int]) -> ReadyModel:
    return ReadyModel("seedling-ternary", SEEDLING, None, None, 4, size)


def make(tmp_path: Path, **options: Any) -> Fits:
    worker = SimpleNamespace(device=None, memory=EngineMemory())
    models = SimpleNamespace(require_ready=lambda _name: ready((128, 128)))
    return Fits(Settings(**options), models, worker, Durations(Store(tmp_path)))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["ternary", "binary"])
def test_the_large_checkpoints_are_offered_from_512_to_1280_in_every_shape(name: str) -> None:
    sizes = list(sizes_of(ready(lookup(name).recommended_size)))
    assert sizes[:4] == [(512, 512), (768, 768), (1024, 1024), (1280, 1280)]
    for width, height in ((1184, 880), (880, 1184), (1360, 768), (768, 1360), (1712, 960), (960, 1712)):
        assert (width, height) in sizes
    assert len(sizes) == len(set(sizes)) == 28
    for across, down in ASPECTS:
        shaped = [(w, h) for w, h in sizes if abs(w / h / (across / down) - 1) < 0.05]
        assert [round(math.sqrt(w * h) / 256) for w, h in shaped] == [2, 3, 4, 5]
    for width, height in sizes:
        assert width % 16 == height % 16 == 0
        assert max(width, height) <= 2048


def test_a_model_made_for_another_size_is_offered_at_that_as_well() -> None:
    assert set(sizes_of(ready((640, 640)))) > {(640, 640), (512, 512), (1280, 1280)}


def test_a_seedling_is_offered_at_the_one_size_it_was_taught() -> None:
    assert list(sizes_of(ready((256, 256)))) == [(256, 256)]


def test_verdicts_follow_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = make(tmp_path)
    for free, verdict in [(10**12, "fits"), (60_000_000, "tight"), (1_000_000, "swaps")]:
        monkeypatch.setattr(
            fits.psutil, "virtual_memory", lambda free=free: SimpleNamespace(available=free, total=free)
        )
        monkeypatch.setattr(fits, "_predict", lambda *_: 50_000_000)
        assert {size.verdict for size in asyncio.run(fit.sizes("seedling-ternary"))} == {verdict}


def test_a_memory_limit_is_never_ignored(tmp_path: Path) -> None:
    fit = make(tmp_path, memory_limit=10**8)
    asyncio.run(fit.check(ready((128, 128)), ResolvedDraw("a fox", 1, 4, 128, 128), (), force=False))
    for force in (False, True):
        with pytest.raises(ApiError) as refused:
            asyncio.run(fit.check(ready((128, 128)), ResolvedDraw("a fox", 1, 4, 2048, 2048), (), force=force))
        assert refused.value.detail.code == "does_not_fit"
        assert "memory limit" in refused.value.detail.message
    verdicts = {(s.width, s.height): s.verdict for s in asyncio.run(fit.sizes("seedling-ternary"))}
    assert verdicts[128, 128] == "fits"


def test_pictures_that_go_in_are_counted_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photo of 40 megapixels, its mask, its canvas and what comes out: 0.36 GB."""
    held = held_bytes((8_000, 5_000), [(1_000, 1_000)])
    assert held == 363_000_000
    monkeypatch.setattr(fits.psutil, "virtual_memory", lambda: SimpleNamespace(total=300_000_000))
    request = ResolvedDraw("a fox", seed=1, steps=4, width=64, height=64)
    fit = make(tmp_path)
    asyncio.run(fit.check(ready((64, 64)), request, [(256, 256)], 0, force=False))
    with pytest.raises(ApiError) as refused:
        asyncio.run(fit.check(ready((64, 64)), request, [(256, 256)], held, force=False))
    assert refused.value.detail.code == "does_not_fit"
    asyncio.run(fit.check(ready((64, 64)), request, [(256, 256)], held, force=True))


@pytest.mark.parametrize("distilled", [True, False])
def test_both_passes_of_a_guided_model_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, distilled: bool
) -> None:
    stand_in(tmp_path / "models", "ternary", is_distilled=distilled)
    asked, choose = [], plan.choose
    monkeypatch.setattr(plan, "choose", lambda *args, **given: asked.append(given["guided"]) or choose(*args, **given))
    assert fits._predict(tmp_path / "models" / "ternary", 64, 64, "cpu", None) > 0
    assert asked == [not distilled]
