"""Measuring memory."""

from __future__ import annotations

import mmap
import time

import mlx.core as mx
import pytest

from bonsai_mlx.runtime import memory
from bonsai_mlx.runtime.footprint import process_footprint
from bonsai_mlx.runtime.memory import SAMPLE_PERIOD_S, RunMemory, Sample

MEBIBYTE = 1 << 20


def test_a_snapshot_sees_an_array_come_and_go() -> None:
    mx.clear_cache()
    before = memory.snapshot()
    array = mx.zeros((8 * MEBIBYTE,), dtype=mx.uint8)
    mx.eval(array)
    held = memory.snapshot()
    del array
    after = memory.snapshot()
    assert held["mlx_active_bytes"] - before["mlx_active_bytes"] >= 8 * MEBIBYTE
    assert after["mlx_active_bytes"] == before["mlx_active_bytes"]
    assert after["mlx_peak_bytes"] >= held["mlx_active_bytes"]


def test_the_system_has_memory() -> None:
    system = memory.system()
    assert 0 < system["system_available_bytes"] <= system["system_total_bytes"]
    assert system["swap_used_bytes"] >= 0


def test_the_process_s_footprint_counts_what_it_touches() -> None:
    # Mapped anew: what an allocator hands out may be pages that the process holds already.
    with mmap.mmap(-1, 64 * MEBIBYTE) as block:
        before = process_footprint()
        block[::4096] = b"x" * len(range(0, len(block), 4096))
        assert process_footprint() - before > 48 * MEBIBYTE


def test_each_phase_has_a_peak_of_its_own() -> None:
    mx.clear_cache()
    idle = mx.get_active_memory()
    with RunMemory() as run:
        for phase, mebibytes in (("encode", 4), ("denoise", 16), ("decode", 2)):
            run.phase(phase)
            array = mx.ones((mebibytes * MEBIBYTE,), dtype=mx.uint8)
            mx.eval(array)
            del array
    peaks = {name: peak - idle for name, peak in run.summary()["phases"].items()}
    assert 4 * MEBIBYTE <= peaks["encode"] < 8 * MEBIBYTE
    assert 16 * MEBIBYTE <= peaks["denoise"] < 20 * MEBIBYTE
    assert 2 * MEBIBYTE <= peaks["decode"] < 4 * MEBIBYTE
    assert run.summary()["peak_bytes"] == max(run.summary()["phases"].values())


def test_a_phase_that_comes_twice_keeps_its_higher_peak() -> None:
    with RunMemory() as run:
        run.phase("denoise")
        mx.eval(mx.ones((16 * MEBIBYTE,), dtype=mx.uint8))
        run.phase("decode")
        run.phase("denoise")
    assert run.summary()["phases"]["denoise"] >= 16 * MEBIBYTE


def test_samples_come_every_50_ms() -> None:
    with RunMemory() as run:
        while len(run.samples) < 4:
            time.sleep(0.01)
    times = [sample.t_s for sample in run.samples]
    assert len(times) <= times[-1] / SAMPLE_PERIOD_S + 2  # the first, one a period, and the last
    assert times == sorted(times)


def test_mean_and_integral_are_those_of_the_samples() -> None:
    run = RunMemory()
    run.samples = [Sample(0.0, "load", 0, 5), Sample(1.0, "load", 2 * 10**9, 9), Sample(3.0, "done", 2 * 10**9, 7)]
    summary = run.summary()
    assert summary["integral_gb_s"] == pytest.approx(5.0)
    assert summary["mean_active_bytes"] == pytest.approx(5e9 / 3, abs=1)
    assert summary["process_peak_bytes"] == 9


def test_the_sampler_stops_with_the_run_even_when_it_fails() -> None:
    with pytest.raises(ZeroDivisionError), RunMemory() as run:
        raise ZeroDivisionError
    assert run._thread is not None
    assert not run._thread.is_alive()
