"""Muon's updates, which parameters it takes, and the schedule of the rates."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from seedling.model.optimizers import Muon, Optimizers, is_matrix, orthogonal, schedule  # noqa: E402


@pytest.mark.parametrize("shape", [(3, 8, 32), (2, 32, 8), (1, 16, 16)])
def test_orthogonal_matrices_have_singular_values_near_one(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrices))
    assert values.min() > 0.3
    assert values.max() < 1.4


def test_muon_learns_a_linear_map_and_takes_kernels() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    goal = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    optimizer = Muon(layer.parameters(), 0.02, decay=0.0)
    losses = []
    for _ in range(60):
        x = torch.randn(8, 4, 6, 6)
        loss = (layer(x) - goal(x)).square().mean()
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.1 * losses[0]


def test_equal_shapes_are_updated_as_if_alone() -> None:
    torch.manual_seed(0)
    gradients = [torch.randn(4, 8) for _ in range(2)]
    together = [nn.Parameter(torch.zeros(4, 8)) for _ in range(2)]
    alone = [nn.Parameter(torch.zeros(4, 8)) for _ in range(2)]
    for parameters, optimizers in ((together, [Muon(together, 0.1)]), (alone, [Muon([p], 0.1) for p in alone])):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(together, alone, strict=True):
        assert torch.allclose(one, other, atol=2e-3)  # bfloat16 inside


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("transformer_blocks.0.attn.to_q.weight", (4, 4), True),
        ("decoder.up_blocks.0.resnets.0.conv1.weight", (4, 4, 3, 3), True),
        ("transformer.x_embedder.weight", (4, 4), False),
        ("text.embed_tokens.weight", (4, 4), False),
        ("double_stream_modulation_img.linear.weight", (4, 4), False),
        ("norm_q.weight", (4,), False),
    ],
)
def test_what_muon_takes(name: str, shape: tuple[int, ...], expected: bool) -> None:
    assert is_matrix(name, nn.Parameter(torch.zeros(shape))) is expected


def test_parameters_without_gradients_are_left_alone() -> None:
    frozen, trained = nn.Linear(4, 4), nn.Linear(4, 4)
    frozen.requires_grad_(False)
    model = nn.Sequential(frozen, trained)
    before = [parameter.clone() for parameter in model.parameters()]
    optimizers = Optimizers(model.named_parameters(), 0.1, 0.1)
    model(torch.ones(1, 4)).sum().backward()
    optimizers.step(1.0)
    same = [torch.equal(parameter, old) for parameter, old in zip(model.parameters(), before, strict=True)]
    assert same == [True, True, False, False]
    assert trained.weight.grad is None


def test_rates_rise_stay_and_fall_to_zero() -> None:
    assert schedule(0.0, 0, 10, 0.5) == pytest.approx(0.1)
    assert schedule(0.3, 50, 10, 0.5) == 1.0
    assert schedule(0.75, 50, 10, 0.5) == pytest.approx(0.5)
    assert schedule(1.0, 50, 10, 0.5) == 0.0
