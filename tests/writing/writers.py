"""A tiny language model with random weights, in the layout in which Qwen3-4B is published for mlx-lm."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from bonsai_mlx.flux2.synthesis import PRESETS

TOKENIZER = Path(__file__).parents[2] / "bonsai_mlx" / "seedling" / "common" / "tokenizer"


def tiny_config(**changes: Any) -> dict[str, Any]:
    """With as many tokens as the tokenizer has."""
    return {**PRESETS["tiny"].text_encoder, "vocab_size": 1_024, **changes}


def saved_writer(folder: Path, seed: int = 0) -> Path:
    """config.json, model.safetensors in 4 bits and the tokenizer; its next words are open, as a trained one's are."""
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_flatten
    from mlx_lm.models import qwen3

    folder.mkdir(parents=True, exist_ok=True)
    config = tiny_config()
    mx.random.seed(seed)
    model: Any = qwen3.Model(qwen3.ModelArgs.from_dict(config))
    embedding = mx.random.normal(model.model.embed_tokens.weight.shape)
    model.update({"model": {"embed_tokens": {"weight": 0.02 * embedding}}})
    nn.quantize(model, **config["quantization"])
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())))
    (folder / "config.json").write_text(json.dumps(config))
    for file in TOKENIZER.iterdir():
        shutil.copy(file, folder)
    return folder
