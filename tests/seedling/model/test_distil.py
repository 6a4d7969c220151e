"""What the student is asked to do: land where many guided steps land, from the places a drawing comes by."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from bonsai_mlx.flux2 import scheduler  # noqa: E402
from seedling.model.distil import landing_velocity, own_path  # noqa: E402
from seedling.model.flow import mix, noise_levels, shifted, student_levels, unshifted  # noqa: E402
from seedling.options import preset  # noqa: E402

OPTIONS = replace(preset("smoke"), substeps=400)


def test_levels_are_the_engines() -> None:
    assert student_levels(OPTIONS).tolist() == scheduler.sigmas(OPTIONS.grid**2, 4)


def test_shifting_is_undone() -> None:
    levels = torch.linspace(0, 1, 11)
    torch.testing.assert_close(unshifted(shifted(levels, 4.0), 4.0), levels)


def test_noise_levels_fill_every_stratum() -> None:
    levels = unshifted(noise_levels(100, 4.0), 4.0).sort().values.cpu()
    assert torch.equal((levels * 100).floor(), torch.arange(100.0))


def test_landing_follows_a_field_whose_paths_are_known() -> None:
    levels = student_levels(OPTIONS)
    starts = torch.ones(8, 2, 3, device=levels.device)
    landed = landing_velocity(lambda x, _: x, starts, levels, OPTIONS)  # x' = x: growth by e to the distance
    for index, (here, there) in enumerate(zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True)):
        expected = (math.exp(there - here) - 1) / (there - here)
        assert landed[2 * index : 2 * index + 2].mean().item() == pytest.approx(expected, rel=2e-3)


def test_a_single_guided_step_is_taken_at_the_level_it_starts_from() -> None:
    levels = student_levels(OPTIONS)
    starts = torch.zeros(4, 1, 1, device=levels.device)
    landed = landing_velocity(lambda _, sigmas: sigmas[:, None, None], starts, levels, replace(OPTIONS, substeps=1))
    torch.testing.assert_close(landed.flatten(), levels[:-1])


def test_a_perfect_model_is_left_as_it_is() -> None:
    levels = student_levels(OPTIONS)
    starts = torch.randn(4, 2, 3, device=levels.device)
    constant = torch.full_like(starts, 0.5)
    landed = landing_velocity(lambda *_: constant, starts, levels, OPTIONS)
    torch.testing.assert_close(landed, constant, atol=1e-3, rtol=0)


def test_own_path_is_the_drawing_step_by_step() -> None:
    levels = student_levels(OPTIONS)
    noise = torch.randn(3, 2, 3, device=levels.device)
    path = own_path(lambda x, _: 0.1 * x, noise, levels).unflatten(0, (4, 3))
    assert torch.equal(path[0], noise)
    for index in range(3):
        step = (levels[index + 1] - levels[index]).item()
        torch.testing.assert_close(path[index + 1], path[index] * (1 + 0.1 * step))


def test_mixing_is_all_noise_at_one_and_all_picture_at_zero() -> None:
    clean, noise = torch.zeros(2, 1, 1), torch.ones(2, 1, 1)
    assert mix(clean, noise, torch.tensor([0.0, 1.0])).flatten().tolist() == [0.0, 1.0]
