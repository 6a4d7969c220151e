"""A tokenizer.json as the library's own tokenizer, made in parts.

The library reads a file in one go, and holds Python's lock for as long: two thirds of a second for Qwen3's 11 MB, in
which nothing else of the process runs, so that it can neither be stopped nor say that it is alive. In parts it is none
longer than a fifth, and a third faster. What is not of the usual kind is read by the library as it is.
"""

from __future__ import annotations

from typing import Any

import msgspec
import tokenizers
from tokenizers import AddedToken, Tokenizer

_OPTIONS = {
    *("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"),
    *("fuse_unk", "byte_fallback", "ignore_merges"),
}
_AROUND = ("normalizer", "pre_tokenizer", "post_processor", "decoder")


def tokenizer_of(text: str) -> Tokenizer:
    """What the library makes of the text; it raises plain Exception, whatever is wrong."""
    try:
        found = _in_parts(text)
    except Exception:  # of any kind, as the values may be; the library then says what is wrong
        found = None
    return found or Tokenizer.from_str(text)


def _in_parts(text: str) -> Tokenizer | None:
    """None for what is not byte pairs with added tokens behind them."""
    values: dict[str, Any] = msgspec.json.decode(text)
    model = values.pop("model")
    if model.pop("type") != "BPE" or values["truncation"] or values["padding"]:
        return None
    vocabulary, pairs = model.pop("vocab"), [(first, second) for first, second in model.pop("merges")]
    if model.keys() - _OPTIONS or not all(isinstance(one, str) for pair in pairs[:1] for one in pair):
        return None
    added = sorted(values.pop("added_tokens"), key=lambda one: int(one["id"]))
    options = {name: value for name, value in model.items() if value is not None}
    made = Tokenizer(tokenizers.models.BPE(vocabulary, pairs, **options))
    around = Tokenizer.from_str(
        msgspec.json.encode(values | {"added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}}).decode()
    )
    for name in _AROUND:
        if (part := getattr(around, name)) is not None:
            setattr(made, name, part)
    for one in added:
        how = {name: value for name, value in one.items() if name not in ("id", "content", "special")}
        token = AddedToken(one["content"], special=one["special"], **how)
        (made.add_special_tokens if one["special"] else made.add_tokens)([token])
    return made if all(made.token_to_id(one["content"]) == one["id"] for one in added) else None
