"""The prompt writer: a few words become a scene, word by word, by the language model that a checkpoint has anyway.

mlx-lm runs it, and is imported when a text is asked for and not before. What was loaded is let go of with the writer.
The same seed gives the same text. MLX arrays belong to the thread that made them, and so does a writer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ..errors import CheckpointError, OutOfMemory, RequestError
from ..request import MAX_SEED, random_seed
from ..text.tokenizer import Tokenizer
from ..wording import format_bytes
from .files import SMALLER, WriterFiles, require_library
from .limits import MAX_PROMPT_CHARS, MAX_TOKENS, PROPOSALS
from .survival import Survival, survival

_MAX_INPUT_TOKENS = 768
_READ_AT_ONCE = 64  # tokens of what is asked, between which it can be stopped
_TEMPERATURE, _TOP_P, _TOP_K = 0.7, 0.8, 20  # as Qwen3's authors advise without thinking
_LOOK_S = 0.05  # between two looks whether to stop while the library is imported
_ENDS = ("<|im_end|>", "<|endoftext|>")
INSTRUCTION = (
    "Describe a picture for an image generator. Use everything that these words say, unchanged: every thing, number, "
    "colour and place. Add what they leave open: what happens, the surroundings, the light, the lens or the medium, "
    "the mood. Write one paragraph of 30 to 80 words in English, without a title, a list or quotation marks.\n\n"
    "The words: {prompt}"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of proposal number `proposal`; the last one of each has the whole text, and what it has kept."""

    proposal: int
    text: str
    kept: Survival | None = None


def checked_prompt(prompt: str) -> str:
    """RequestError for one that is empty or too long to be written on."""
    if not prompt.strip():
        raise RequestError("prompt", "is empty; say in a few words what is to be seen")
    if len(prompt) > MAX_PROMPT_CHARS:
        raise RequestError("prompt", f"has {len(prompt)} characters; at most {MAX_PROMPT_CHARS} are written on")
    return prompt.strip()


def _import_library() -> None:
    import mlx_lm.models.cache
    import mlx_lm.models.qwen3  # noqa: F401


def _beside(work: Callable[[], None]) -> Iterator[None]:
    """Work that takes seconds, in a thread, so that one may leave meanwhile; it goes on there."""
    failed: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_LOOK_S)
        yield
    if failed:
        raise failed[0]


class Writer:
    """A loaded language model. `close` lets go of it."""

    def __init__(self, files: WriterFiles, memory_limit_bytes: int | None = None) -> None:
        """NoWriterError, CheckpointError; OutOfMemory where it does not fit into the limit."""
        require_library()
        needed = files.peak_bytes()
        if memory_limit_bytes is not None and needed > memory_limit_bytes:
            limit, needs = format_bytes(memory_limit_bytes), format_bytes(needed)
            raise OutOfMemory(f"the writer needs {needs}, the limit is {limit}; smaller ones are {SMALLER}")
        self._files = files
        self._tokenizer: Tokenizer
        self._ends: set[int | None] = set()
        self._model: Any = None

    def load(self) -> Iterator[None]:
        """Import the library and read tokenizer and weights, in parts, so that it can be stopped. CheckpointError."""
        yield from _beside(_import_library)
        yield from _beside(self._read_tokenizer)
        import mlx.core as mx
        import mlx.nn as nn
        from mlx_lm.models import qwen3

        config = self._files.config()
        tensors: dict[str, Any] = {}
        for path in self._files.checked_shards():
            tensors |= mx.load(str(path), format="safetensors")  # type: ignore[arg-type]
        try:
            model: Any = qwen3.Model(qwen3.ModelArgs.from_dict(config))
            if packing := config.get("quantization"):
                packed = {name.removesuffix(".scales") for name in tensors if name.endswith(".scales")}
                nn.quantize(
                    model, packing["group_size"], packing["bits"], class_predicate=lambda path, _module: path in packed
                )
            model.load_weights(list(model.sanitize(tensors).items()), strict=True)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self._files.weights}: its tensors are not those of its config ({error})"
            ) from error
        model.eval()
        for part in (*model.model.layers, model):
            mx.eval(part.parameters())
            yield
        self._model = model

    def _read_tokenizer(self) -> None:
        folder = self._files.tokenizer
        self._tokenizer = Tokenizer.from_folder(folder)
        if self._tokenizer.size > self._files.config()["vocab_size"]:  # MLX reads what lies behind a table
            raise CheckpointError(f"{folder}: the tokenizer has more tokens than the model knows")
        self._ends = {self._tokenizer.id_of(end) for end in _ENDS} - {None}

    def write(self, prompt: str, *, seed: int | None = None, count: int = PROPOSALS) -> Generator[Piece, None, None]:
        """`count` texts from consecutive seeds, a piece at a time; closing the generator stops."""
        prompt = checked_prompt(prompt)
        first = random_seed() if seed is None else seed
        if self._model is None:
            for _ in self.load():
                yield Piece(0, "")
        for proposal in range(count):
            text = ""
            yield Piece(proposal, "")
            with closing(self._pieces(prompt, (first + proposal) % (MAX_SEED + 1))) as pieces:
                for piece in pieces:
                    text += piece
                    yield Piece(proposal, piece)
            text = _tidied(text)
            yield Piece(proposal, text, survival(prompt, text))

    def _pieces(self, prompt: str, seed: int) -> Generator[str, None, None]:
        """What is written, as it becomes readable; "" while what is asked is read."""
        ids: list[int] = []
        told = ""
        with closing(self._tokens(self._asked(prompt), seed)) as tokens:
            for token in tokens:
                if token is None:
                    yield ""
                    continue
                ids.append(token)
                text = self._tokenizer.text_of(ids)
                if not text.endswith("\ufffd"):  # the first bytes of a character
                    yield text[len(told) :]
                    told = text

    def _tokens(self, asked: list[int], seed: int) -> Generator[int | None, None, None]:
        """Up to the end of the text; None for each part of what is asked that was read.

        Random numbers come from a key of its own, so that nobody else's change.
        """
        import mlx.core as mx
        from mlx_lm.models.cache import make_prompt_cache

        cache: Any = make_prompt_cache(self._model)
        hidden: Any = None
        for start in range(0, len(asked), _READ_AT_ONCE):
            hidden = self._model.model(mx.array(asked[start : start + _READ_AT_ONCE])[None], cache=cache)
            mx.eval(hidden, [layer.state for layer in cache])
            yield None
        logits = self._logits(hidden[:, -1:])  # of the last token alone: a vocabulary for each would take seconds
        key = mx.random.key(seed)
        for _ in range(MAX_TOKENS):
            key, own = mx.random.split(key)
            token = _drawn(logits[0, -1], own)
            if token in self._ends:
                return
            yield token
            logits = self._model(mx.array([[token]]), cache=cache)

    def _logits(self, hidden: Any) -> Any:
        """As the model's own last step, which takes every position [1, tokens, width] that is given."""
        if self._model.args.tie_word_embeddings:
            return self._model.model.embed_tokens.as_linear(hidden)
        return self._model.lm_head(hidden)

    def _asked(self, prompt: str) -> list[int]:
        plain = prompt.replace("<|", "< |")  # nothing that was typed is a sign of the template
        asked = INSTRUCTION.format(prompt=plain) if self._files.instructed else plain
        return self._tokenizer.chat_ids(asked, _MAX_INPUT_TOKENS)

    def close(self) -> None:
        import mlx.core as mx

        self._model = None
        mx.clear_cache()


def _drawn(logits: Any, key: Any) -> int:
    """A token at random: of the likeliest, and of those no more than make up most of the whole."""
    import mlx.core as mx

    scaled = logits.astype(mx.float32) / _TEMPERATURE
    order = mx.argsort(-scaled)[:_TOP_K]
    values = scaled[order]
    likely = mx.softmax(values)
    values = mx.where(mx.cumsum(likely) - likely < _TOP_P, values, -mx.inf)
    return int(order[mx.random.categorical(values, key=key)].item())  # type: ignore[arg-type]


def _tidied(text: str) -> str:
    line = " ".join(text.split())
    return line[1:-1].strip() if len(line) > 1 and line[0] in "\"'“" and line[-1] in "\"'”" else line
