from pathlib import Path

import pytest

from server.jobs.durations import Durations
from server.store import Store

TIMINGS = {"load": 2.0, "encode": 3.0, "denoise": 8.0, "decode": 1.0}


@pytest.fixture
def durations(tmp_path: Path) -> Durations:
    return Durations(Store(tmp_path))


def test_nothing_is_known_at_first(durations: Durations) -> None:
    forecast = durations.forecast("ternary", 512, 512, 4, loaded=False)
    assert forecast.total_s is None
    assert forecast.eta_s("denoise", 1, 4) is None
    assert forecast.progress("load", 0, 1) == 0
    reached = [forecast.progress(*where) for where in (("denoise", 1, 4), ("denoise", 2, 4), ("decode", 1, 2))]
    assert 0 < reached[0] < reached[1] < reached[2] < 1
    assert forecast.progress("decode", 2, 2) == 1


def test_one_picture_teaches_the_next(durations: Durations) -> None:
    durations.learn("ternary", 512, 512, 4, TIMINGS)
    forecast = durations.forecast("ternary", 512, 512, 4, loaded=False)
    assert forecast.total_s == pytest.approx(14)
    assert forecast.eta_s("load", 0, 1) == pytest.approx(14)
    assert forecast.eta_s("denoise", 3, 4) == pytest.approx(3)
    assert durations.forecast("ternary", 512, 512, 8, loaded=True).total_s == pytest.approx(20)
    assert durations.forecast("binary", 512, 512, 4, loaded=False).total_s is None


def test_other_sizes_are_estimated_by_their_pixels(durations: Durations) -> None:
    durations.learn("ternary", 512, 512, 4, TIMINGS)
    assert durations.seconds("ternary", 1024, 1024, "denoise") == pytest.approx(8)
    assert durations.seconds("ternary", 1024, 1024, "encode") == pytest.approx(3)
    assert durations.seconds("ternary", 2048, 2048, "denoise") is None  # nobody knows from so small a one
    durations.learn("ternary", 1024, 1024, 4, {"denoise": 48.0, "decode": 5.0})
    assert durations.seconds("ternary", 1024, 1024, "denoise") == pytest.approx(12)
    assert durations.seconds("ternary", 1008, 1024, "denoise") == pytest.approx(12, rel=0.02)  # the nearest size counts


def test_cached_phases_teach_nothing_and_others_slowly(durations: Durations) -> None:
    durations.learn("ternary", 512, 512, 4, TIMINGS)
    durations.learn("ternary", 512, 512, 4, {"load": 0.001, "encode": 0.0, "denoise": 4.0, "decode": 1.0})
    assert durations.seconds("ternary", 512, 512, "load") == 2
    assert durations.seconds("ternary", 512, 512, "encode") == 3
    assert 1 < (durations.seconds("ternary", 512, 512, "denoise") or 0) < 2


def test_one_slow_picture_is_soon_forgotten_and_a_slower_machine_is_not(durations: Durations) -> None:
    def total() -> float:
        return durations.forecast("ternary", 512, 512, 4, loaded=False).total_s or 0.0

    slow = {phase: 10 * seconds for phase, seconds in TIMINGS.items()}
    durations.learn("ternary", 512, 512, 4, slow)  # the first: the weights come from the disk
    for _ in range(3):
        durations.learn("ternary", 512, 512, 4, TIMINGS)
    assert total() < 1.3 * 14
    durations.learn("ternary", 512, 512, 4, slow)
    durations.learn("ternary", 512, 512, 4, TIMINGS)
    assert total() < 1.6 * 14
    for _ in range(6):
        durations.learn("ternary", 512, 512, 4, slow)
    assert total() > 0.8 * 140


def test_what_was_learned_survives(tmp_path: Path) -> None:
    store = Store(tmp_path)
    Durations(store).learn("ternary", 512, 512, 4, TIMINGS)
    assert Durations(store).forecast("ternary", 512, 512, 4, loaded=False).total_s == pytest.approx(14)
    store.close()
