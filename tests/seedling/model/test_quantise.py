"""What training computes with, what the file holds and what the engine reads are the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import mlx.core as mx  # noqa: E402

from bonsai_mlx.nn.linear import PackedLinear  # noqa: E402
from seedling.model.quantise import (  # noqa: E402
    BITS,
    TEXT_BITS,
    Variant,
    block_linears,
    pack_codes,
    packed,
    packed_text,
    quantised,
    rounded,
    unpacked,
)
from seedling.options import BLOCK_GROUP, TEXT_GROUP  # noqa: E402

VARIANTS: tuple[Variant, ...] = ("ternary", "binary")


def _weight(rows: int = 6, columns: int = 384) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(1)) * 0.05


def _mlx(tensors: dict[str, torch.Tensor]) -> dict[str, mx.array]:
    words = mx.array(tensors["weight"].view(torch.int32).numpy().view(np.uint32))
    halves = {name: mx.array(tensors[name].float().numpy()).astype(mx.bfloat16) for name in ("scales", "biases")}
    return {"weight": words, **halves}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_engine_reads_the_values_training_computed_with(variant: Variant) -> None:
    weight = _weight()
    linear = PackedLinear(384, 6, BITS[variant], BLOCK_GROUP)
    linear.update(_mlx(packed(weight, variant)))
    assert np.array_equal(np.array(linear.dequantized()), quantised(weight, variant).numpy())


@pytest.mark.parametrize("variant", VARIANTS)
def test_unpacking_gives_the_engines_values_exactly(variant: Variant) -> None:
    tensors = packed(_weight(), variant)
    linear = PackedLinear(384, 6, BITS[variant], BLOCK_GROUP)
    linear.update(_mlx(tensors))
    named = {f"x.{kind}": value for kind, value in tensors.items()}
    assert np.array_equal(np.array(linear.dequantized()), unpacked(named, "x", BITS[variant]).numpy())


@pytest.mark.parametrize(("variant", "levels"), [("ternary", 3), ("binary", 2)])
def test_a_group_has_two_or_three_values_and_one_scale(variant: Variant, levels: int) -> None:
    group = unpacked({f"x.{kind}": value for kind, value in packed(_weight(), variant).items()}, "x", BITS[variant])
    values = group[0, :BLOCK_GROUP].unique()
    assert len(values) == levels
    assert torch.equal(values, -values.flip(0))


def test_groups_of_zeros_stay_finite() -> None:
    for variant in VARIANTS:
        values = quantised(torch.zeros(2, BLOCK_GROUP), variant)
        assert values.isfinite().all()
        assert values.abs().max() < 1e-6


def test_text_matrices_are_read_by_mlx_as_by_torch() -> None:
    weight = _weight(8, 2 * TEXT_GROUP)
    tensors = packed_text(weight)
    words = _mlx(tensors)
    engine = mx.dequantize(
        words["weight"],
        words["scales"].astype(mx.float32),
        words["biases"].astype(mx.float32),
        group_size=TEXT_GROUP,
        bits=TEXT_BITS,
    )
    ours = unpacked({f"x.{kind}": value for kind, value in tensors.items()}, "x", TEXT_BITS)
    np.testing.assert_allclose(np.array(engine), ours.numpy(), atol=1e-7)
    spread = weight.reshape(8, 2, -1).amax(-1) - weight.reshape(8, 2, -1).amin(-1)
    assert (ours - weight).abs().max() < spread.max() / 15  # half a step, and the rounding of scale and bias


def test_codes_are_packed_from_the_lowest_bits_up() -> None:
    codes = np.zeros((1, 16), dtype=np.uint32)
    codes[0, :3] = 1, 2, 1
    assert pack_codes(codes, 2).tolist() == [[1 + (2 << 2) + (1 << 4)]]


def _transformer() -> torch.nn.ModuleDict:
    def linear() -> torch.nn.Linear:
        return torch.nn.Linear(BLOCK_GROUP, 4, bias=False)

    return torch.nn.ModuleDict({"x_embedder": linear(), "transformer_blocks": torch.nn.ModuleList([linear()])})


@pytest.mark.parametrize("variant", VARIANTS)
def test_block_linears_alone_are_rounded_and_only_for_a_while(variant: Variant) -> None:
    transformer, x = _transformer(), torch.randn(2, BLOCK_GROUP)
    assert [name for name, _ in block_linears(transformer)] == ["transformer_blocks.0"]
    outside, block = transformer["x_embedder"], transformer["transformer_blocks"][0]
    before = [module.weight.detach().clone() for module in (outside, block)]
    with rounded(transformer, variant):
        assert torch.equal(block(x), torch.nn.functional.linear(x, quantised(before[1], variant)))
        assert torch.equal(outside.weight, before[0])
    assert torch.equal(block.weight, before[1])
    with pytest.raises(KeyboardInterrupt), rounded(transformer, variant):
        raise KeyboardInterrupt
    assert torch.equal(block.weight, before[1])


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_pass_the_rounding_unchanged(variant: Variant) -> None:
    transformer, factors = _transformer(), torch.randn(4, BLOCK_GROUP)
    weight = transformer["transformer_blocks"][0].weight
    with rounded(transformer, variant):
        (weight * factors).sum().backward()
    assert torch.equal(weight.grad, factors)
    before = weight.detach().clone()
    torch.optim.SGD([weight], 0.5).step()
    torch.testing.assert_close(weight.detach(), before - 0.5 * factors)
