"""A prompt becomes the token ids that the text encoder reads.

Owns the chat template and the padding: one user turn, the generation prompt, no thinking, always `max_length`
positions. Knows nothing of MLX, and nothing of `transformers` either, whose import costs seconds; the ids are the same
(tests/flux2/test_tokenizer.py compares them).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import tokenizers
from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..errors import CheckpointError, RequestError

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"


@dataclass(frozen=True, slots=True)
class TokenizedPrompt:
    """Token ids, padded on the right; the first `length` are real, the rest are the padding token."""

    ids: list[int]
    length: int
    truncated: bool  # the prompt was longer than the ids can hold, and its end is missing


class Tokenizer:
    """The tokenizer of one checkpoint. Belongs to one thread: encoding sets the length on the shared backend."""

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        template: Template,
        template_file: Path,
        special_tokens: Mapping[str, str],
        pad_id: int,
    ) -> None:
        self._backend = backend
        self._template = template
        self._template_file = template_file  # for messages
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
        template_file, text = _read_template(folder, config)
        template = _compile_template(text, template_file)
        return cls(backend, template, template_file, special_tokens, pad_id)

    def encode_prompt(self, prompt: str, max_length: int) -> TokenizedPrompt:
        """`prompt` as one user turn: exactly `max_length` ids, cut off or padded on the right."""
        text = self._chat(prompt)
        self._backend.enable_truncation(max_length)
        self._backend.enable_padding(
            length=max_length, pad_id=self.pad_id, pad_token=self._special_tokens["pad_token"], direction="right"
        )
        try:
            encoding = self._backend.encode(text)
        except (TypeError, UnicodeEncodeError) as error:  # the library takes no half of a surrogate pair
            raise RequestError("prompt", "contains a broken character (half of a surrogate pair)") from error
        return TokenizedPrompt(encoding.ids, sum(encoding.attention_mask), bool(encoding.overflowing))

    def _chat(self, prompt: str) -> str:
        try:
            return self._template.render(
                messages=[{"role": "user", "content": prompt}],
                add_generation_prompt=True,
                enable_thinking=False,
                **self._special_tokens,
            )
        except Exception as error:  # a template is foreign code: it can raise anything
            raise CheckpointError(f"{self._template_file}: the chat template fails ({error}); {_REPAIR}") from error


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
        return tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the library raises plain Exception, whatever is wrong
        raise CheckpointError(f"{path} is not a tokenizer ({error}); {_REPAIR}") from error


def _read_template(folder: Path, config: Mapping[str, Any]) -> tuple[Path, str]:
    """The file the chat template comes from, and the template: its own file, else the entry in the config."""
    path = folder / TEMPLATE_FILE
    if path.is_file():
        return path, _read_text(path)
    template = config.get("chat_template")
    if isinstance(template, str):
        return folder / CONFIG_FILE, template
    raise CheckpointError(f"{path} is missing and {folder / CONFIG_FILE} has no chat_template; {_REPAIR}")


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing; {_REPAIR}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); {_REPAIR}") from error


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """{"pad_token": "<|endoftext|>", ...}: tokens are stored as text or as an object with their `content`."""
    tokens = {}
    for name, value in config.items():
        content = value.get("content") if isinstance(value, dict) else value
        if name.endswith("_token") and isinstance(content, str):
            tokens[name] = content
    return tokens


def _compile_template(text: str, path: Path) -> Template:
    """A template is code from a download, so it runs in a sandbox; options and helpers are those of `transformers`."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json  # Jinja's own escapes HTML
    environment.globals["raise_exception"] = _raise_template_error
    try:
        return environment.from_string(text)
    except TemplateError as error:
        raise CheckpointError(f"{path}: the chat template is damaged ({error}); {_REPAIR}") from error


def _to_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise_template_error(message: str) -> NoReturn:
    raise TemplateError(message)
