"""What a file of weights is that holds no transformer of FLUX.2: for those who chose the wrong one.

Nothing here imports MLX.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...adapters.names import taken_apart, without_prefix
from ...adapters.origin import made_for
from ...weights.headers import Stored
from ...wording import command

_OURS = ("transformer_blocks.", "single_transformer_blocks.", "x_embedder.")


def other_model(stored: Mapping[str, Stored]) -> str | None:
    """A sentence without its subject, by the names and shapes of tensors; None for a transformer as ours are."""
    if not stored or any(name.startswith(_OURS) for name in stored):
        return None
    adapted = [parts.stem for name in stored if (parts := taken_apart(name))]
    if len(adapted) == len(stored):
        return f"it is an adapter, made for {made_for(dict.fromkeys(adapted, 0))}; a model takes it with --lora"
    inputs = {
        without_prefix(name).removesuffix(".weight"): item.shape[1]
        for name, item in stored.items()
        if name.endswith(".weight") and len(item.shape) > 1
    }
    return (
        f"it is {made_for(inputs) if inputs else 'no model'}; what draws here are Bonsai and FLUX.2 [klein], such as "
        f"those that `{command()} models` lists"
    )
