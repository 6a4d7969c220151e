"""A prompt becomes the token ids that the text encoder reads.

Owns the chat template and the padding: one user turn, the generation prompt, no thinking, always `max_length`
positions. Knows nothing of MLX, and nothing of `transformers` either, whose import costs seconds; the ids are the same
(tests/test_tokenizer.py compares them).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from ..errors import CheckpointError, RequestError
from ..fileio import read_bounded
from .backend import tokenizer_of
from .chat_template import ChatTemplate

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"
# Several times what the published checkpoints have: 11 MB, 5 KB and 4 KB.
_MAX_BYTES = {TOKENIZER_FILE: 64 << 20, CONFIG_FILE: 256 << 10, TEMPLATE_FILE: 64 << 10}


@dataclass(frozen=True, slots=True)
class TokenizedPrompt:
    """Token ids, padded on the right; the first `length` are real, the rest are the padding token."""

    ids: list[int]
    length: int
    truncated: bool  # the prompt was longer than the ids can hold, and its end is missing


@dataclass(frozen=True, slots=True)
class PromptLength:
    """Tokens of a prompt with what the template puts around it, and how many of its characters are read."""

    tokens: int
    read_chars: int


class Tokenizer:
    """The tokenizer of one checkpoint. Belongs to one thread: encoding sets the length on the shared backend."""

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        template: ChatTemplate,
        special_tokens: Mapping[str, str],
        pad_id: int,
    ) -> None:
        self._backend = backend
        self._template = template
        self._special_tokens = special_tokens
        self.pad_id = pad_id

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """Open a checkpoint's tokenizer folder; CheckpointError names the file that is missing or damaged."""
        config = _read_config(folder / CONFIG_FILE)
        backend = _read_backend(folder / TOKENIZER_FILE)
        special_tokens = _special_tokens(config)
        if "pad_token" not in special_tokens:
            raise CheckpointError(f"{folder / CONFIG_FILE} names no pad_token; {_REPAIR}")
        pad_id = backend.token_to_id(special_tokens["pad_token"])
        if pad_id is None:
            raise CheckpointError(
                f"{folder / TOKENIZER_FILE} lacks {special_tokens['pad_token']!r} to pad with; {_REPAIR}"
            )
        return cls(backend, _read_template(folder, config), special_tokens, pad_id)

    def measure(self, prompt: str, max_length: int) -> PromptLength:
        """How much of `prompt` is read where `max_length` ids are."""
        text = self._template.render(prompt, self._special_tokens)
        self._backend.no_truncation()
        self._backend.no_padding()
        encoding = self._encode(text)
        start, read = text.find(prompt), len(prompt)
        if len(encoding.ids) > max_length and start >= 0:
            read = max(0, min(read, encoding.offsets[max_length - 1][1] - start))
        return PromptLength(len(encoding.ids), read)

    def encode_prompt(self, prompt: str, max_length: int) -> TokenizedPrompt:
        """`prompt` as one user turn: exactly `max_length` ids, cut off or padded on the right."""
        text = self._template.render(prompt, self._special_tokens)
        self._backend.enable_truncation(max_length)
        self._backend.enable_padding(
            length=max_length, pad_id=self.pad_id, pad_token=self._special_tokens["pad_token"], direction="right"
        )
        encoding = self._encode(text)
        return TokenizedPrompt(encoding.ids, sum(encoding.attention_mask), bool(encoding.overflowing))

    def _encode(self, text: str) -> tokenizers.Encoding:
        try:
            return self._backend.encode(text)
        except (TypeError, UnicodeEncodeError) as error:  # the library takes no half of a surrogate pair
            raise RequestError("prompt", "contains a broken character (half of a surrogate pair)") from error

    def chat_ids(self, prompt: str, max_length: int) -> list[int]:
        """`prompt` as one user turn, without padding. RequestError for more than `max_length` ids."""
        text = self._template.render(prompt, self._special_tokens)
        self._backend.no_truncation()
        self._backend.no_padding()
        ids: list[int] = self._backend.encode(text).ids
        if len(ids) > max_length:
            raise RequestError("prompt", f"is {len(ids)} tokens long; at most {max_length} are read here")
        return ids

    def text_of(self, ids: list[int]) -> str:
        """What the ids say; "\ufffd" where a character is not whole."""
        return str(self._backend.decode(ids, skip_special_tokens=True))

    @property
    def size(self) -> int:
        return int(self._backend.get_vocab_size())

    def id_of(self, token: str) -> int | None:
        found: int | None = self._backend.token_to_id(token)
        return found


_REPAIR = "download the checkpoint again"


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}); {_REPAIR}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} does not hold a JSON object; {_REPAIR}")
    return config


def _read_backend(path: Path) -> tokenizers.Tokenizer:
    text = _read_text(path)
    try:
        return tokenizer_of(text)
    except Exception as error:  # the library raises plain Exception, whatever is wrong
        raise CheckpointError(f"{path} is not a tokenizer ({error}); {_REPAIR}") from error


def _read_template(folder: Path, config: Mapping[str, Any]) -> ChatTemplate:
    path = folder / TEMPLATE_FILE
    if path.exists():
        return ChatTemplate(_read_text(path), path)
    template = config.get("chat_template")
    if isinstance(template, str):
        return ChatTemplate(template, folder / CONFIG_FILE)
    raise CheckpointError(f"{path} is missing and {folder / CONFIG_FILE} has no chat_template; {_REPAIR}")


def _read_text(path: Path) -> str:
    try:
        return read_bounded(path, _MAX_BYTES[path.name], follow_symlinks=True).decode()
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing; {_REPAIR}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error}); {_REPAIR}") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} cannot be read ({error}); {_REPAIR}") from error


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """{"pad_token": "<|endoftext|>", ...}: tokens are stored as text or as an object with their `content`."""
    tokens = {}
    for name, value in config.items():
        content = value.get("content") if isinstance(value, dict) else value
        if name.endswith("_token") and isinstance(content, str):
            tokens[name] = content
    return tokens
