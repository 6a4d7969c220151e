"""What the GPU path calls is in MLX's wheels for Macs: kernels by name, read from the wheels themselves.

A Mac is not needed for that. The names are MLX's own; which ones are needed follows from the checkpoints' shapes, the
devices' rules and the type of the activations. What is compiled on the device itself (element-wise work, reductions'
variants) has no name there.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import date
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest

import bonsai_mlx
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.runtime import device
from bonsai_mlx.weights.spec import PACKED, Bits, GroupSize

from ..fetched import fetched
from ..flux2.test_plan import full_size

pytestmark = pytest.mark.wheels

ROOT = Path(__file__).resolve().parents[2]
FLOOR = re.search(r'"mlx>=([\d.]+)"', (ROOT / "pyproject.toml").read_text())[1]  # type: ignore[index]
SYSTEMS = ("macosx_14_0_arm64", "macosx_26_0_arm64")  # the oldest that MLX runs on; the one with neural accelerators
TYPE = "bfloat16"  # of the activations on a GPU


@pytest.fixture(scope="module", params=[FLOOR, "newest"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def kernels(version: str, system: str) -> set[str]:
    """The names of all kernels in this wheel."""
    return kernel_names(wheel(version, system))


@cache
def wheel(version: str, system: str) -> Path:
    """The wheel, kept under .cache; without a network the test is skipped, on a CI machine it fails."""

    def fetch(folder: Path) -> None:
        wanted = "mlx-metal" if version == "newest" else f"mlx-metal=={version}"
        place = ["--no-deps", "--only-binary=:all:", "--python-version", "3.13", "--platform", system]
        pip = (
            [sys.executable, "-m", "pip"] if find_spec("pip") else ["uv", "tool", "run", "pip"]
        )  # uv's environments lack it
        command = [*pip, "--disable-pip-version-check", "download", "--quiet", *place, "-d", str(folder), wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            assert os.environ.get("CI") != "true", done.stderr
            pytest.skip(f"pip cannot fetch {wanted}: {done.stderr[-200:]}")

    # A newer one may come out any day.
    name = f"newest-{date.today():%Y-%m-%d}" if version == "newest" else version
    return next(fetched(f"mlx-metal/{system}/{name}", fetch).glob("*.whl"))


def kernel_names(path: Path) -> set[str]:
    """The functions that mlx.metallib lists in front of their code.

    A Metal library is "MTLB", ..., then at byte 24 where the list begins and how long it is; an entry's name follows
    the tag NAME and its length in two bytes.
    """
    with zipfile.ZipFile(path) as archive, archive.open("mlx/lib/mlx.metallib") as library:
        head = library.read(88)
        assert head.startswith(b"MTLB")
        start, length = struct.unpack_from("<QQ", head, 24)
        listed = (head + library.read(start + length - len(head)))[start:]
    return {match[1].decode() for match in re.finditer(rb"NAME..([^\0]+)\0", listed, re.DOTALL)}


def checkpoints() -> dict[str, Checkpoint]:
    folder = Path(bonsai_mlx.__file__).parent / "seedling"
    seedlings = {f"seedling-{variant}": Checkpoint.open(folder / variant) for variant in ("ternary", "binary")}
    return seedlings | {"ternary": full_size(2), "binary": full_size(1)}


def packed_linears(checkpoint: Checkpoint) -> Iterator[tuple[int, int, int, int]]:
    """Bits, group size, outputs and inputs of every packed linear; `nn.linear` gives each to one kernel."""
    for config in (checkpoint.transformer, checkpoint.text_encoder):
        for name, spec in config.tensors().items():
            if spec.dtypes == PACKED and "embed_tokens" not in name:
                yield config.bits, config.group_size, spec.shape[0], spec.shape[1] * 32 // config.bits


def needed_by_linears(system: str) -> set[str]:
    """For a picture's rows, and for the few of the probe. With neural accelerators many rows have one of their own."""
    needed = set()
    for checkpoint in checkpoints().values():
        for bits, group, outputs, inputs in packed_linears(checkpoint):
            packing = f"{TYPE}_t_gs_{group}_b_{bits}_"
            aligned = str(outputs % 32 == 0).lower()
            needed.add(f"affine_qmm_t_{packing}alN_{aligned}_batch_0")
            if system == "macosx_26_0_arm64":
                needed.add(f"affine_qmm_t_nax_{packing}bm.*_alN_{str(outputs % 64 == 0).lower()}_batch_0")
            fast = outputs % 8 == 0 and inputs % 512 == 0
            needed.add(f"affine_qmv{'_fast' if fast else ''}_{packing}batch_0.*")
    return needed


def needed_by_attention(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Fused where the device has it; otherwise two products around a softmax, the first in float32."""
    monkeypatch.setattr(device, "backend", lambda: "metal")
    heads = {(c.transformer.attention_head_dim, TYPE) for c in checkpoints().values()}
    heads |= {(c.text_encoder.head_dim, "bool_") for c in checkpoints().values()}
    heads |= {(size, mask) for size in device._FUSED_HEAD_DIMS for mask in (TYPE, "bool_")}
    needed = {
        f"steel_attention_{TYPE}_.*_bd{size}_.*_mask{mask}" for size, mask in heads if device.has_fused_attention(size)
    }
    assert all(
        c.vae.block_out_channels[-1] not in device._FUSED_HEAD_DIMS for c in checkpoints().values() if c.folders == {}
    )
    products = {"steel_gemm_fused_n[nt]_float32_float32_bm.*", f"steel_gemm_fused_nn_{TYPE}_{TYPE}_bm.*"}
    return needed | products | {"block_softmax_float32", "looped_softmax_float32"}


OTHERS = {
    "normalisation": {f"layer_norm{TYPE}", f"rms{TYPE}"},
    "rotation of the text encoder": {f"rope_{TYPE}"},
    "unpacked linears": {f"steel_gemm_fused_nt_{TYPE}_{TYPE}_bm.*", "steel_gemm_fused_nt_float32_float32_bm.*"},
    "convolutions": {
        f"implicit_gemm_conv_2d_{TYPE}_.*_channel_l_filter_s",  # 3x3, and 1x1
        f"implicit_gemm_conv_2d_{TYPE}_.*_channel_3_filter_l",  # of a picture
        f"naive_unfold_nd_{TYPE}_2",  # what takes the shapes that those do not
    },
    "noise": {"rbits", "rbitsc"},
}


def missing(needed: set[str], kernels: set[str]) -> list[str]:
    return sorted(name for name in needed if not any(re.fullmatch(name, kernel) for kernel in kernels))


@pytest.mark.slow
def test_packed_linears(kernels: set[str], system: str) -> None:
    needed = needed_by_linears(system)
    assert {1, 2, 4} == {bits for c in checkpoints().values() for bits, *_ in packed_linears(c)}
    assert missing(needed, kernels) == []


def test_every_packing_that_opens(kernels: set[str]) -> None:
    packings = [f"{TYPE}_t_gs_{group}_b_{bits}_" for bits in get_args(Bits) for group in get_args(GroupSize)]
    kinds = "qmm_t", "qmv", "qmv_fast"
    needed = {f"affine_{kind}_{packing}.*batch_0.*" for packing in packings for kind in kinds}
    assert len(needed) == 54
    assert missing(needed, kernels) == []


@pytest.mark.slow
def test_attention(kernels: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing(needed_by_attention(monkeypatch), kernels) == []


@pytest.mark.parametrize("what", OTHERS)
def test_the_rest(kernels: set[str], what: str) -> None:
    assert missing(OTHERS[what], kernels) == []


def test_what_is_not_there_would_be_missed(kernels: set[str]) -> None:
    absent = {f"affine_qmm_t_{TYPE}_t_gs_128_b_7_alN_true_batch_0", f"steel_attention_{TYPE}_.*_bd512_.*_maskbool_"}
    assert missing(absent, kernels) == sorted(absent)
