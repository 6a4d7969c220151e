"""The text side: a byte-level BPE tokenizer of Qwen3's form, trained on the captions, and a small Qwen3 encoder.

The tokenizer's files and the encoder's parameter names are those of the published layout. Knows nothing of pictures.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
from numpy.typing import NDArray
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional

from ..options import OUT_LAYERS

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL = (PAD, START, END, "<think>", "</think>")
TEMPLATE = (
    "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' + '\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{%- endif %}"
)
# How Qwen cuts text before merging: contractions, words with the space before them, digits one by one, marks, spaces.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def chat(prompt: str) -> str:
    """The text that the template makes of one user turn."""
    return f"{START}user\n{prompt}{END}\n{START}assistant\n<think>\n\n</think>\n\n"


def train_tokenizer(captions: Iterable[str], vocabulary: int, folder: Path) -> None:
    """Learn a vocabulary of at most `vocabulary` ids from the captions and write the tokenizer's folder."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=2,
        show_progress=False,
    )
    backend.train_from_iterator((f"user\n{caption}\nassistant\n\n" for caption in captions), trainer)
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL])
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(_tokenizer_config(), indent=2) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")


def _tokenizer_config() -> dict[str, Any]:
    return {
        "additional_special_tokens": list(SPECIAL[1:]),
        "chat_template": TEMPLATE,
        "eos_token": END,
        "model_max_length": 512,
        "pad_token": PAD,
        "padding_side": "right",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


class PromptTokenizer:
    """Prompts as padded ids, many at a time; the ids are those of `bonsai_mlx.text.tokenizer`."""

    def __init__(self, folder: Path, length: int) -> None:
        self._backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._backend.enable_truncation(length)
        self._backend.enable_padding(length=length, pad_id=self._backend.token_to_id(PAD), pad_token=PAD)
        self.vocabulary = self._backend.get_vocab_size()
        self.length = length

    def __call__(self, prompts: Sequence[str]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """Ids [prompts, length], and how many of each row are real."""
        encodings = self._backend.encode_batch_fast([chat(prompt) for prompt in prompts])
        ids = np.array([encoding.ids for encoding in encodings], dtype=np.int16)
        masks = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int8)
        return ids, masks.sum(1, dtype=np.int16)


class TextEncoder(nn.Module):
    """Qwen3 up to the last layer whose output is read. Module names are those of `mlx-lm` below `model.`."""

    def __init__(self, config: dict[str, Any], length: int) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config["vocab_size"], config["hidden_size"])
        nn.init.normal_(self.embed_tokens.weight, std=0.2)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(max(OUT_LAYERS)))
        width = config["head_dim"]
        frequencies = config["rope_theta"] ** -(torch.arange(0, width, 2).float() / width)
        angles = torch.outer(torch.arange(length).float(), frequencies).repeat(1, 2)
        self.register_buffer("cosines", angles.cos(), persistent=False)
        self.register_buffer("sines", angles.sin(), persistent=False)
        self.register_buffer("causal", torch.ones(length, length, dtype=torch.bool).tril(), persistent=False)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Ids [batch, tokens] and how many of each row are real -> embeddings [batch, tokens, 3 * hidden].

        Padding is masked as attention keys only; its positions are part of the result, as in the published model.
        """
        valid = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        mask = self.causal & valid[:, None, None]
        x = self.embed_tokens(ids)
        kept = []
        for number, layer in enumerate(self.layers, start=1):
            x = layer(x, self.cosines, self.sines, mask)
            if number in OUT_LAYERS:
                kept.append(x)
        return torch.cat(kept, -1)


class _Layer(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config["rms_norm_eps"]
        self.self_attn = _Attention(config)
        self.mlp = _Mlp(width, config["intermediate_size"])
        self.input_layernorm = nn.RMSNorm(width, eps=eps)
        self.post_attention_layernorm = nn.RMSNorm(width, eps=eps)

    def forward(self, x: Tensor, cosines: Tensor, sines: Tensor, mask: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cosines, sines, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class _Attention(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, head, eps = config["hidden_size"], config["head_dim"], config["rms_norm_eps"]
        self.heads, self.kv_heads, self.head = config["num_attention_heads"], config["num_key_value_heads"], head
        self.q_proj = nn.Linear(width, self.heads * head, bias=False)
        self.k_proj = nn.Linear(width, self.kv_heads * head, bias=False)
        self.v_proj = nn.Linear(width, self.kv_heads * head, bias=False)
        self.o_proj = nn.Linear(self.heads * head, width, bias=False)
        self.q_norm, self.k_norm = nn.RMSNorm(head, eps=eps), nn.RMSNorm(head, eps=eps)

    def forward(self, x: Tensor, cosines: Tensor, sines: Tensor, mask: Tensor) -> Tensor:
        q = _rotate(self.q_norm(self._split(self.q_proj(x))), cosines, sines)
        k = _rotate(self.k_norm(self._split(self.k_proj(x))), cosines, sines)
        v = self._split(self.v_proj(x))
        repeats = self.heads // self.kv_heads
        k, v = k.to(v.dtype).repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
        # By plain products: the backward pass of a CPU's fused attention takes longer than all else in this layer.
        scores = (q.to(v.dtype) @ k.mT).float() * self.head**-0.5
        out = scores.masked_fill(~mask, -torch.inf).softmax(-1).to(v.dtype) @ v
        return self.o_proj(out.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head)).transpose(1, 2)


class _Mlp(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


def _rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate channel i against channel i + half, as Qwen does (the transformer rotates neighbours instead)."""
    first, second = x.chunk(2, -1)
    return x * cosines + torch.cat([-second, first], -1) * sines
