"""Parts that are whole and do not belong together are refused in a sentence that says which do not agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bonsai_mlx.weights.layout import PACKED, TEXT_ENCODER, TRANSFORMER, VAE
from tests.damaged import change_json, refused

CONFIGS = {component: f"{PACKED.folder(component)}/config.json" for component in (TRANSFORMER, TEXT_ENCODER, VAE)}


@pytest.mark.parametrize(
    ("component", "changes", "words"),
    [
        (TRANSFORMER, {"axes_dims_rope": [8, 8, 8, 16]}, "axes_dims_rope"),
        (TRANSFORMER, {"axes_dims_rope": [16, 16]}, "four axes"),
        (TRANSFORMER, {"axes_dims_rope": [7, 9, 8, 8]}, "pairs"),
        (TRANSFORMER, {"attention_head_dim": 16, "axes_dims_rope": [4, 4, 4, 4]}, "group size"),
        (TRANSFORMER, {"timestep_guidance_channels": 255}, "timestep_guidance_channels"),
        (TRANSFORMER, {"joint_attention_dim": 256}, "joint_attention_dim"),
        (TEXT_ENCODER, {"num_key_value_heads": 3}, "key-value heads"),
        (TEXT_ENCODER, {"intermediate_size": 100}, "group size"),
        (TEXT_ENCODER, {"num_hidden_layers": 5}, "number of layers"),
        (VAE, {"latent_channels": 16}, "in_channels"),
        (VAE, {"norm_num_groups": 7}, "norm_num_groups"),
        (VAE, {"in_channels": 4}, "red, green and blue"),
        (VAE, {"block_out_channels": [16, 32, 32]}, "scale"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(
    folder: Path, component: str, changes: dict[str, Any], words: str
) -> None:
    change_json(folder / CONFIGS[component], **changes)
    message = refused(folder)
    assert words in message
    assert "do not agree" in message
