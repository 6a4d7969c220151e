"""Training batches: pictures for the VAE, and latents with tokenised captions for the transformer.

On a GPU everything lives in its memory; on a CPU the files are mapped.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from ..draw import rendering
from ..options import Options
from .networks import device, from_uint8
from .run import Run
from .text import PromptTokenizer

HELD_BACK_PICTURES = 64


class Batch(NamedTuple):
    """Clean latents [batch, tokens, channels] float32, and their captions' ids [batch, text] and lengths [batch]."""

    latents: Tensor
    ids: Tensor
    lengths: Tensor


class Pictures:
    """The drawn pictures, uint8 [count, size, size, 3]."""

    def __init__(self, run: Run, stream: int = rendering.TRAINING) -> None:
        count = run.options.images if stream == rendering.TRAINING else HELD_BACK_PICTURES
        rendering.render(run.cache, run.options, count, stream)
        self.pixels = torch.from_numpy(rendering.pictures(run.cache, stream))
        if device().type == "cuda":
            self.pixels = self.pixels.to(device())

    def crops(self, batch: int, side: int, generator: torch.Generator) -> Tensor:
        """Random crops [batch, 3, side, side] in -1..1, one place for the whole batch."""
        room = self.pixels.shape[1] - side + 1
        top, left = (int(torch.randint(room, (1,), generator=generator)) for _ in "yx")
        chosen = torch.randint(len(self.pixels), (batch,), generator=generator).to(self.pixels.device)
        return from_uint8(self.pixels[chosen, top : top + side, left : left + side])

    def take(self, chosen: Tensor) -> Tensor:
        """Whole pictures [len(chosen), 3, size, size] in -1..1."""
        return from_uint8(self.pixels[chosen.to(self.pixels.device)])


class Corpus:
    """Latents and captions, as the flow stages see them."""

    def __init__(self, run: Run) -> None:
        """Reads what the stages "tokenizer" and "latents" wrote."""
        self._read_captions(run)
        vae = load_file(run.weights("vae"))
        mean, variance = (vae[f"bn.running_{name}"].float().to(device()) for name in ("mean", "var"))
        self._mean, self._std = mean, torch.sqrt(variance + run.options.vae_config()["batch_norm_eps"])
        files = ("latents.npy", "latents-half.npy")
        self._full, self._half = (self._settled(np.load(run.cache / name, mmap_mode="r+")) for name in files)

    def _read_captions(self, run: Run) -> None:
        self.options: Options = run.options
        self.tokenizer = PromptTokenizer(run.folder / "tokenizer", run.options.text_tokens)
        ids, lengths = _tokens(run, self.tokenizer)
        self.phrasings = ids.shape[1]
        self._ids, self._lengths = self._settled(ids), self._settled(lengths)
        self.empty = tuple(self._settled(part)[0] for part in self.tokenizer([""]))

    def clean(self, latents: Tensor) -> Tensor:
        """Stored latents as the transformer sees them."""
        return (latents.float() - self._mean) / self._std

    def batch(self, size: int, generator: torch.Generator, unconditional: float = 0.0, *, half: bool = False) -> Batch:
        """A random batch; `unconditional` is the part of captions left empty, `half` asks for pictures half as wide."""
        latents = self._half if half else self._full
        chosen = torch.randint(len(latents), (size,), generator=generator).to(latents.device)
        phrasing = torch.randint(self.phrasings, (size,), generator=generator).to(latents.device)
        dropped = (torch.rand(size, generator=generator) < unconditional).to(latents.device)
        ids = torch.where(dropped[:, None], self.empty[0], self._ids[chosen, phrasing])
        lengths = torch.where(dropped, self.empty[1], self._lengths[chosen, phrasing])
        return Batch(self.clean(latents[chosen]), ids.long(), lengths.long())

    def without_text(self, size: int) -> tuple[Tensor, Tensor]:
        """Ids and lengths of `size` empty prompts."""
        return self.empty[0].long().expand(size, -1), self.empty[1].long().expand(size)

    def _settled(self, array: Any) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor.to(device()) if device().type == "cuda" else tensor


def _tokens(run: Run, tokenizer: PromptTokenizer) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Ids [pictures, phrasings, tokens] and lengths [pictures, phrasings] of all captions, kept in the cache."""
    path = run.cache / "tokens.npz"
    if not path.is_file():
        texts = rendering.captions(run.cache)
        phrasings = min(len(options) for options in texts)
        ids, lengths = tokenizer([text for options in texts for text in options[:phrasings]])
        np.savez(path, ids=ids.reshape(len(texts), phrasings, -1), lengths=lengths.reshape(len(texts), phrasings))
    with np.load(path) as kept:
        return kept["ids"], kept["lengths"]
