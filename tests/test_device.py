"""What the device is asked for."""

from __future__ import annotations

import re
from contextlib import suppress

import mlx.core as mx
import pytest

from bonsai_mlx import device
from bonsai_mlx.errors import BonsaiError, DeviceError, OutOfMemory


def test_the_backend_is_where_mlx_computes() -> None:
    if mx.default_device() == mx.Device(mx.cpu):
        assert device.backend() == "cpu"
    else:
        assert device.backend() == ("metal" if mx.metal.is_available() else "cuda")


@pytest.mark.skipif(device.backend() != "cpu", reason="of the CPU")
class TestCpu:
    def test_activations_are_float32(self) -> None:
        assert device.activation_dtype() == mx.float32

    @pytest.mark.parametrize("bits", [1, 2, 4])
    def test_its_quantised_kernel_is_not_worth_calling(self, bits: int) -> None:
        assert not device.has_quantized_kernel(bits, 128)

    @pytest.mark.parametrize("head_dim", [64, 128])
    def test_it_has_no_fused_attention(self, head_dim: int) -> None:
        assert not device.has_fused_attention(head_dim)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if MLX computed on a GPU: the probe then runs MLX's kernel, whatever the device really is."""
    monkeypatch.setattr(device, "backend", lambda: "metal")


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_gpu_s_kernel_is_probed_by_running_it(bits: int) -> None:
    assert device.has_quantized_kernel.__wrapped__(bits, 128)


@pytest.mark.usefixtures("gpu")
def test_a_kernel_that_is_not_there_is_found_out() -> None:
    assert not device.has_quantized_kernel.__wrapped__(7, 128)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("left", [mx.zeros((2, 32)), mx.full((2, 32), 256.0), mx.full((2, 32), float("nan"))])
def test_a_kernel_that_gives_what_was_in_memory_is_found_out(
    bits: int, left: mx.array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mx, "quantized_matmul", lambda *_, **__: left)
    assert not device.has_quantized_kernel.__wrapped__(bits, 128)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("said", ["[METAL] Command buffer execution failed: x", "[metal::malloc] Resource limit (9)"])
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
    about = device.describe()
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


def test_too_many_buffers_are_too_little_memory() -> None:
    with pytest.raises(OutOfMemory, match="smaller size"):
        device.raise_failure(RuntimeError("[metal::malloc] Resource limit (499000) exceeded."), "64x80")


def test_work_that_was_stopped_for_the_screen_comes_with_advice() -> None:
    said = "[METAL] Command buffer execution failed: Impacting Interactivity (0000000e:kIOGPU)."
    with pytest.raises(DeviceError, match="let the display sleep"):
        device.raise_failure(RuntimeError(said), "64x80")


def test_a_mistake_of_ours_is_no_failure_of_the_device() -> None:
    device.raise_failure(RuntimeError("[broadcast_shapes] Shapes (2) and (3) cannot be broadcast."), "64x80")


@pytest.mark.parametrize(
    ("small", "spare"), [(False, device.CACHE_LIMIT_BYTES), (True, device.SMALL_CACHE_LIMIT_BYTES)]
)
def test_freed_buffers_stay_as_long_as_they_fit(small: bool, spare: int) -> None:
    device.release_cache()
    in_use = mx.get_active_memory()
    with device.memory_goal(in_use + (128 << 20), small_cache=small):
        for size in range(4, 24):  # MiB: none fits where another was
            arrays = [mx.zeros(size << 18) for _ in range(128 // size)]
            mx.eval(arrays)
            del arrays
            assert mx.get_cache_memory() > device.SMALL_CACHE_LIMIT_BYTES
            assert mx.get_active_memory() + mx.get_cache_memory() <= in_use + (128 << 20) + spare
    device.release_cache()


def test_a_goal_holds_as_long_as_it_is_aimed_at() -> None:
    before = limits()
    with device.memory_goal(3 << 30):
        assert limits() == ((3 << 30) + device.CACHE_LIMIT_BYTES,) * 2
    assert limits() == before
    with suppress(ZeroDivisionError), device.memory_goal(3 << 30):
        raise ZeroDivisionError
    assert limits() == before


def limits() -> tuple[int, int]:
    """MLX's bounds on freed buffers and on memory; reading one means setting it."""
    cache, memory = mx.set_cache_limit(1 << 30), mx.set_memory_limit(1 << 30)
    mx.set_cache_limit(cache)
    mx.set_memory_limit(memory)
    return cache, memory
