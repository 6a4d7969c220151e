from __future__ import annotations

import math
import struct
import tracemalloc
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import safetensors

from bonsai_mlx.flux2.parts.config import VaeConfig
from bonsai_mlx.weights import random as random_weights
from bonsai_mlx.weights.random import to_bfloat16, write_random_weights
from bonsai_mlx.weights.spec import Tensors, TensorSpec, packed_tensors

DTYPES = {"U32": "uint32", "BF16": "bfloat16", "I64": "int64"}


def written(path: Path, tensors: Tensors, bits: int | None = None, seed: int = 0, writer: str | None = None) -> bytes:
    write_random_weights(path, tensors, bits=bits, seed=seed, writer=writer)
    return path.read_bytes()


def loaded(path: Path) -> dict[str, mx.array]:
    return mx.load(str(path))  # type: ignore[return-value]


def codes(words: mx.array, bits: int) -> np.ndarray:
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    return (np.array(words)[..., None] >> shifts) & np.uint32(2**bits - 1)


def tiny_vae() -> Tensors:
    return VaeConfig(block_out_channels=(8, 16), layers_per_block=1, latent_channels=4, norm_num_groups=4).tensors()


def test_bfloat16_rounds_as_mlx_does() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.standard_normal(10_000) * 10.0 ** random.integers(-30, 30, 10_000), [0.0, -0.0]])
    ties = np.array([0x3F808000, 0x3F818000, 0xBF808000, 0x3F807FFF, 0x3F808001], np.uint32).view(np.float32)
    values = np.concatenate([values.astype(np.float32), ties])
    assert np.array_equal(to_bfloat16(values), np.array(mx.array(values).astype(mx.bfloat16).view(mx.uint16)))


def test_ternary_codes_are_0_1_2_in_equal_parts_and_never_3(tmp_path: Path) -> None:
    written(tmp_path / "w.safetensors", packed_tensors("x", 256, 512, 2, 128), bits=2)
    tensors = loaded(tmp_path / "w.safetensors")
    counts = np.bincount(codes(tensors["x.weight"], 2).ravel(), minlength=4) / (256 * 512)
    assert counts[3] == 0
    assert counts[:3] == pytest.approx([1 / 3] * 3, abs=0.03)
    assert mx.array_equal(tensors["x.biases"], -tensors["x.scales"])


def test_binary_values_are_plus_and_minus_one_scale(tmp_path: Path) -> None:
    written(tmp_path / "w.safetensors", packed_tensors("x", 256, 512, 1, 128), bits=1)
    tensors = loaded(tmp_path / "w.safetensors")
    assert codes(tensors["x.weight"], 1).mean() == pytest.approx(0.5, abs=0.01)
    assert mx.array_equal(tensors["x.scales"], -2 * tensors["x.biases"])


@pytest.mark.parametrize(("bits", "group"), [(1, 128), (2, 128), (4, 64), (8, 32)])
def test_packed_values_have_the_spread_that_keeps_activations_near_one(tmp_path: Path, bits: int, group: int) -> None:
    written(tmp_path / "w.safetensors", packed_tensors("x", 512, 1024, bits, group), bits=bits)
    tensors = loaded(tmp_path / "w.safetensors")
    values = mx.dequantize(tensors["x.weight"], tensors["x.scales"], tensors["x.biases"], group, bits)
    assert values.astype(mx.float32).std().item() == pytest.approx(1 / math.sqrt(1024), rel=0.05)
    assert values.astype(mx.float32).mean().item() == pytest.approx(0, abs=1e-3)


def test_a_packed_matrix_needs_its_number_of_bits(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x is packed"):
        written(tmp_path / "w.safetensors", packed_tensors("x", 8, 128, 2, 128), bits=None)


@pytest.mark.parametrize("writer", [None, "pt"])
def test_the_file_is_byte_for_byte_what_the_safetensors_library_writes(tmp_path: Path, writer: str | None) -> None:
    tensors = tiny_vae() | packed_tensors("x", 8, 256, 2, 128)
    content = written(tmp_path / "w.safetensors", tensors, bits=2, writer=writer)
    parts, buffers = {}, []
    for name, tensor in safetensors.deserialize(content):
        buffers.append(np.frombuffer(bytes(tensor["data"]), np.uint8))  # kept: the library takes addresses
        parts[name] = safetensors.TensorSpec(
            dtype=DTYPES[tensor["dtype"]],
            shape=tensor["shape"],
            data_ptr=buffers[-1].ctypes.data,
            data_len=buffers[-1].size,
        )
    assert content == safetensors.serialize(parts, {"format": writer} if writer else None)


def test_an_mlx_file_has_an_unpadded_header_as_mlx_writes_it(tmp_path: Path) -> None:
    lengths = set()
    for rows in (8, 80, 800):
        content = written(tmp_path / "w.safetensors", packed_tensors("x", rows, 64, 4, 64), bits=4, writer="mlx")
        length = struct.unpack("<Q", content[:8])[0]
        assert content[8 : 8 + length].endswith(b"}")
        lengths.add(length % 8)
        assert loaded(tmp_path / "w.safetensors")["x.weight"].shape == (rows, 8)
    assert lengths != {0}


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    tensors = tiny_vae()
    assert written(tmp_path / "a", tensors, seed=5) == written(tmp_path / "b", tensors, seed=5)
    assert written(tmp_path / "a", tensors, seed=5) != written(tmp_path / "b", tensors, seed=6)


def test_chunks_change_nothing_but_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = tiny_vae() | packed_tensors("x", 64, 1024, 2, 128)
    whole = written(tmp_path / "w.safetensors", tensors, bits=2)
    monkeypatch.setattr(random_weights, "_CHUNK_VALUES", 1000)
    assert written(tmp_path / "w.safetensors", tensors, bits=2) == whole


def test_memory_is_bounded_by_the_chunk_not_by_the_tensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_weights, "_CHUNK_VALUES", 20_000)
    tracemalloc.start()
    written_bytes = 2 * 2_000_000
    write_random_weights(
        tmp_path / "w.safetensors", {"big.weight": TensorSpec(("BF16",), (1000, 2000))}, bits=None, seed=0, writer=None
    )
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "w.safetensors").stat().st_size > written_bytes > 4 * peak_bytes


def test_nothing_half_written_bears_the_final_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(random_weights, "_chunks", fail)
    with pytest.raises(OSError, match="no space"):
        written(tmp_path / "w.safetensors", tiny_vae())
    assert not (tmp_path / "w.safetensors").exists()


def test_norms_and_statistics_are_not_trivial(tmp_path: Path) -> None:
    written(tmp_path / "w.safetensors", tiny_vae())
    tensors = {name: np.array(value.astype(mx.float32)) for name, value in loaded(tmp_path / "w.safetensors").items()}
    norm = tensors["decoder.mid_block.attentions.0.group_norm.weight"]
    assert norm.std() > 0.03
    assert abs(norm.mean() - 1) < 0.2
    assert tensors["decoder.mid_block.attentions.0.to_q.bias"].std() > 0.03
    assert tensors["bn.running_mean"].std() > 0.2
    assert tensors["bn.running_var"].min() > 0
    assert tensors["bn.running_var"].std() > 0.2
