"""Train the writer, write it as mlx-lm has it, and measure it.

The writer is a small Qwen3 with tied embeddings that speaks the seedling's own vocabulary: one user turn in the chat
template, the long caption as the answer. Made with torch; what is written needs neither torch nor transformers.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from ..model.optimizers import Optimizers
from ..model.text import END, chat
from .pairs import pair

STATE = "writer.pt"
GROUP = 64
ROPE_THETA = 10_000.0
_SEQUENCE = 80  # tokens of the longest pair, more than ever occur
WARM_UP = 100  # steps
COPIED = 0.15  # share of questions that say all of the answer: copying is learnt from them first

_WRITTEN = (
    *("head_dim", "hidden_size", "intermediate_size", "max_position_embeddings", "model_type", "num_attention_heads"),
    *("num_hidden_layers", "num_key_value_heads", "rms_norm_eps", "vocab_size"),
)


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """Of a run; `minutes` of the processor's time."""

    seed: int = 0
    minutes: float = 20.0
    wall_minutes: float = 60.0  # whichever is over first
    batch: int = 64
    muon_rate: float = 2e-3
    adam_rate: float = 3e-3
    hidden: int = 128
    inner: int = 384
    layers: int = 4
    heads: int = 4


def config(options: WriterOptions) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=1024,
        hidden_size=options.hidden,
        intermediate_size=options.inner,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        num_key_value_heads=options.heads // 2,
        head_dim=32,
        max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        attention_dropout=0.0,
    )


def batches(tokenizer: Tokenizer, options: WriterOptions) -> Iterator[tuple[Tensor, Tensor]]:
    """Ids and labels [batch, tokens] without end; labels are -100 where nothing is to be learned."""
    rng = random.Random(options.seed)
    pad = int(tokenizer.token_to_id("<|endoftext|>") or 0)
    while True:
        rows = [encoded(tokenizer, *_asked(rng)) for _ in range(options.batch)]
        longest = max(len(ids) for ids, _ in rows)
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row, _ in rows])
        labels = torch.tensor([[-100] * n + row[n:] + [-100] * (longest - len(row)) for row, n in rows])
        yield ids, labels


def _asked(rng: random.Random) -> tuple[str, str]:
    short, long = pair(rng)
    return (long if rng.random() < COPIED else short), long


def encoded(tokenizer: Tokenizer, short: str, long: str) -> tuple[list[int], int]:
    """All ids of a pair, and how many of them are the question."""
    asked = tokenizer.encode(chat(short), add_special_tokens=False).ids
    answer = tokenizer.encode(f"{long}{END}", add_special_tokens=False).ids
    return [*asked, *answer][:_SEQUENCE], len(asked)


def train(folder: Path, tokenizer_folder: Path, options: WriterOptions) -> None:
    """Train until the time is over, into `folder`, from what is there. Progress goes to its log."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    model = Qwen3ForCausalLM(config(options)).train()
    if (folder / STATE).is_file():  # of a run that was stopped; its schedule begins anew
        model.load_state_dict(torch.load(folder / STATE, weights_only=True))
    optimizers = Optimizers(model.named_parameters(), options.muon_rate, options.adam_rate)
    began, wall = time.process_time(), time.monotonic()
    with (folder / "log.txt").open("a") as log:
        for step, (ids, labels) in enumerate(batches(tokenizer, options)):
            cpu_s, wall_s = time.process_time() - began, time.monotonic() - wall
            share = max(cpu_s / (60 * options.minutes), wall_s / (60 * options.wall_minutes))
            loss = model(input_ids=ids, labels=labels).loss
            loss.backward()
            optimizers.step(min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * min(1, share))))
            if step % 50 == 0 or share >= 1:
                log.write(f"step {step}  loss {loss.item():.4f}  cpu {cpu_s:.0f} s  wall {wall_s:.0f} s\n")
                log.flush()
                torch.save(model.state_dict(), folder / STATE)
            if share >= 1:
                return


def export(folder: Path, target: Path, options: WriterOptions, bits: int) -> None:
    """The trained weights in mlx-lm's layout: config.json and model.safetensors; the tokenizer is the seedlings'."""
    import mlx.core as mx

    state = torch.load(folder / STATE, weights_only=True)
    tensors: dict[str, Any] = {}
    for name, value in state.items():
        if name == "lm_head.weight":
            continue
        array = mx.array(value.float().numpy())
        if value.ndim == 2:
            packed, scales, biases = mx.quantize(array, group_size=GROUP, bits=bits)
            base = name.removesuffix(".weight")
            tensors |= {f"{base}.weight": packed}
            tensors |= {f"{base}.scales": scales.astype(mx.bfloat16), f"{base}.biases": biases.astype(mx.bfloat16)}
        else:
            tensors[name] = array.astype(mx.bfloat16)
    target.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(target / "model.safetensors"), tensors, metadata={"format": "mlx"})
    values = config(options).to_dict()
    written = {name: values[name] for name in _WRITTEN} | {
        "architectures": ["Qwen3ForCausalLM"],
        "quantization": {"bits": bits, "group_size": GROUP},
        "rope_theta": ROPE_THETA,
        "tie_word_embeddings": True,
    }
    (target / "config.json").write_text(json.dumps(written, indent=2, sort_keys=True) + "\n", encoding="utf-8")
