"""What the device is asked for."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import permutations

import mlx.core as mx
import pytest

from bonsai_mlx.errors import BonsaiError, DeviceError, OutOfMemory
from bonsai_mlx.runtime import device


def test_the_backend_is_where_mlx_computes() -> None:
    if mx.default_device() == mx.Device(mx.cpu):
        assert device.backend() == "cpu"
    else:
        assert device.backend() == ("metal" if mx.metal.is_available() else "cuda")


@pytest.mark.skipif(device.backend() != "cpu", reason="of the CPU")
class TestCpu:
    def test_activations_are_float32(self) -> None:
        assert device.activation_dtype() == mx.float32

    @pytest.mark.parametrize("bits", [1, 2, 4, 8])
    def test_its_quantised_kernel_is_not_worth_calling(self, bits: int) -> None:
        assert not device.has_quantized_kernel(bits, 128)

    @pytest.mark.parametrize("head_dim", [64, 128])
    def test_it_has_no_fused_attention(self, head_dim: int) -> None:
        assert not device.has_fused_attention(head_dim)


NO_ROOM = "cudaMallocAsync(&data, size, stream) failed: out of memory"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if MLX computed on a GPU: the probe then runs MLX's kernel, whatever the device really is."""
    monkeypatch.setattr(device, "backend", lambda: "metal")


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_gpu_s_kernel_is_probed_by_running_it(bits: int) -> None:
    assert device.has_quantized_kernel.__wrapped__(bits, 128)


@pytest.mark.usefixtures("gpu")
def test_a_kernel_that_is_not_there_is_found_out() -> None:
    assert not device.has_quantized_kernel.__wrapped__(7, 128)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("left", [0.0, 256.0, float("nan")])
@pytest.mark.parametrize("wrong_rows", [2, 64])
def test_a_kernel_that_gives_what_was_in_memory_is_found_out(
    bits: int, left: float, wrong_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few rows and as many as a picture has are computed by two kernels; either may be missing."""
    right = mx.quantized_matmul

    def multiply(x: mx.array, *packed: mx.array, **options: int) -> mx.array:
        return mx.full((len(x), 32), left) if len(x) == wrong_rows else right(x, *packed, **options)

    monkeypatch.setattr(mx, "quantized_matmul", multiply)
    assert not device.has_quantized_kernel.__wrapped__(bits, 128)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    "said", ["[METAL] Command buffer execution failed: x", "[metal::malloc] Resource limit (9)", NO_ROOM]
)
def test_a_device_that_fails_teaches_nothing_about_kernels(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(mx, "quantized_matmul", fail)
    with pytest.raises(RuntimeError, match=re.escape(said)):
        device.has_quantized_kernel.__wrapped__(2, 128)


@pytest.mark.usefixtures("gpu")
def test_a_gpu_computes_in_bfloat16_with_fused_attention() -> None:
    assert device.activation_dtype() == mx.bfloat16
    assert device.has_fused_attention(128)
    assert not device.has_fused_attention(512)  # the VAE's


def test_the_cache_can_be_given_back() -> None:
    mx.eval(mx.zeros((1 << 20,)))
    device.release_cache()
    assert mx.get_cache_memory() == 0


def test_describes_itself_in_plain_values() -> None:
    about = device.details()
    assert about["mlx"] == mx.__version__
    assert about["chip"]
    assert all(value is None or isinstance(value, str | int) for value in about.values())


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)", OutOfMemory, "at 64x80; choose"),
        ("Caused GPU Timeout Error (00000002:kIOGPUCommandBufferCallbackErrorTimeout)", DeviceError, None),
        (
            "Impacting Interactivity (0000000e:kIOGPUCommandBufferCallbackErrorImpactingInteractivity).",
            DeviceError,
            None,
        ),
        (
            "Discarded (victim of GPU error/recovery) (00000005:kIOGPUCommandBufferCallbackErrorInnocentVictim)",
            DeviceError,
            "at 64x80 (Discarded (victim of GPU error/recovery));",
        ),
        ("nobody knows", DeviceError, "at 64x80; close other programs"),
    ],
)
def test_what_metal_says_is_told_with_what_to_do(text: str, kind: type[BonsaiError], words: str | None) -> None:
    with pytest.raises(kind, match="smaller size") as caught:
        device.raise_failure(RuntimeError(f"[METAL] Command buffer execution failed: {text}"), "64x80")
    message = str(caught.value)
    assert (words or f"at 64x80 ({text.partition(' (')[0]}); close") in message
    assert ("bonsai-mlx doctor" in message) == (kind is DeviceError)
    assert "kIOGPU" not in message


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[metal::malloc] Resource limit (499000) exceeded."),
        RuntimeError("[metal::malloc] Attempting to allocate 9 bytes which is greater than the maximum allowed"),
        RuntimeError("[malloc] Unable to allocate 9 bytes."),
        RuntimeError("[malloc_or_wait] Unable to allocate 9 bytes."),
        RuntimeError(NO_ROOM),
        MemoryError("std::bad_alloc"),
        MemoryError(),
    ],
)
def test_too_little_memory_is_told_as_that(error: RuntimeError | MemoryError) -> None:
    with pytest.raises(OutOfMemory, match="smaller size"):
        device.raise_failure(error, "64x80")


@pytest.mark.parametrize(
    "said",
    [
        "[broadcast_shapes] Shapes (2) and (3) cannot be broadcast.",
        "[as_strided] The memory of the array is not contiguous.",
        "[load] Failed to map the file into memory.",
        "cannot allocate a name for this variable",
        "There is no Stream(cpu, 3) in current thread.",
        "",
    ],
)
def test_a_mistake_of_ours_is_no_failure_of_the_device(said: str) -> None:
    device.raise_failure(RuntimeError(said), "64x80")


def test_work_that_was_stopped_for_the_screen_comes_with_advice() -> None:
    said = "[METAL] Command buffer execution failed: Impacting Interactivity (0000000e:kIOGPU)."
    with pytest.raises(DeviceError, match="let the display sleep"):
        device.raise_failure(RuntimeError(said), "64x80")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("small", "spare"), [(False, device.CACHE_LIMIT_BYTES), (True, device.SMALL_CACHE_LIMIT_BYTES)]
)
def test_freed_buffers_stay_as_long_as_they_fit(small: bool, spare: int) -> None:
    device.release_cache()
    in_use = mx.get_active_memory()
    with device.memory_goal(in_use + (128 << 20), small_cache=small):
        for size in range(4, 24, 3):  # MiB: none fits where another was
            arrays = [mx.zeros(size << 18) for _ in range(128 // size)]
            mx.eval(arrays)
            del arrays
            assert mx.get_cache_memory() > device.SMALL_CACHE_LIMIT_BYTES
            assert mx.get_active_memory() + mx.get_cache_memory() <= in_use + (128 << 20) + spare
    device.release_cache()


def goal(peak_bytes: int) -> int:
    return mx.get_active_memory() + peak_bytes + device.CACHE_LIMIT_BYTES


def test_a_goal_holds_as_long_as_it_is_aimed_at() -> None:
    before = limits()
    with device.memory_goal(3 << 30):
        assert limits() == (goal(3 << 30),) * 2
    assert limits() == before
    with suppress(ZeroDivisionError), device.memory_goal(3 << 30):
        raise ZeroDivisionError
    assert limits() == before


def test_what_others_hold_comes_on_top() -> None:
    before = goal(1 << 30)
    theirs = mx.zeros((64 << 20,), dtype=mx.uint8)
    mx.eval(theirs)
    with device.memory_goal(1 << 30):
        assert limits() == (before + (64 << 20),) * 2
    with device.memory_goal(1 << 30, resident_bytes=64 << 20):
        assert limits() == (before,) * 2
    with device.memory_goal(1 << 30, resident_bytes=1 << 40):  # a guess that is too high
        assert limits()[0] == (1 << 30) + device.CACHE_LIMIT_BYTES


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_goals_that_overlap_add_up_and_leave_nothing_behind(order: tuple[int, ...]) -> None:
    before, others = limits(), mx.get_active_memory()
    peaks = [1 << 30, 2 << 30, 3 << 30]
    goals = [device.memory_goal(peak) for peak in peaks]
    for number, opened in enumerate(goals, 1):
        opened.__enter__()
        assert limits()[1] == others + sum(peaks[:number]) + number * device.CACHE_LIMIT_BYTES
    still = dict(enumerate(peaks))
    for index in order:
        goals[index].__exit__(None, None, None)
        del still[index]
        aimed = others + sum(still.values()) + len(still) * device.CACHE_LIMIT_BYTES
        assert limits() == ((aimed,) * 2 if still else before)


def test_limits_that_a_program_sets_meanwhile_are_its_own() -> None:
    before = limits()
    with device.memory_goal(1 << 30):
        mx.set_memory_limit(5 << 30)
        mx.set_cache_limit(4 << 30)
    assert limits() == (4 << 30, 5 << 30)
    mx.set_cache_limit(before[0])
    mx.set_memory_limit(before[1])


def limits() -> tuple[int, int]:
    """MLX's bounds on freed buffers and on memory; reading one means setting it."""
    cache, memory = mx.set_cache_limit(1 << 30), mx.set_memory_limit(1 << 30)
    mx.set_cache_limit(cache)
    mx.set_memory_limit(memory)
    return cache, memory
