"""What names a repository on the Hub, a revision of it and the content of its files: what may pass, and what may not.

These become parts of paths and of addresses, so what is not known to be harmless is none.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from ..weights.layout import SAFE_NAME as _NAME

_REPOSITORY = re.compile(rf"{_NAME}/{_NAME}")
# What a browser's address bar, or another program, has of a repository: with or without a scheme, a place in it, and
# what follows "?" or "#".
_ADDRESS = re.compile(
    rf"(?:(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/|hf://)(?:models/)?({_NAME}/{_NAME})"
    r"(?:/(?:tree|blob|resolve|raw|commit)/([^/?#]+)[^?#]*|/(?:discussions|commits)[^?#]*)?/?(?:[?#].*)?",
    re.IGNORECASE,
)
_REVISION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?")
_NO_OWNERS = frozenset({"datasets", "spaces", "collections", "papers", "docs", "api", "blog"})


def from_address(text: str) -> tuple[str, str | None]:
    """The repository, and the revision if one is named, of a pasted address of the Hub; other text as it is.

    "https://huggingface.co/acme/fox/tree/v2" -> "acme/fox", "v2". What is no model there stays an address.
    """
    match = _ADDRESS.fullmatch(text.strip())
    if match is None or match[1].partition("/")[0].lower() in _NO_OWNERS:
        return text, None
    revision = unquote(match[2]) if match[2] else None
    return (match[1], revision) if revision is None or is_revision(revision) else (text, None)


def is_repository(name: str) -> bool:
    return _REPOSITORY.fullmatch(name) is not None and "--" not in name and ".." not in name


def is_revision(text: str) -> bool:
    """True if `text` can be a branch, a tag or a commit; revisions become parts of paths, so nothing else may pass."""
    return _REVISION.fullmatch(text) is not None and ".." not in text


def is_commit(revision: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{40}", revision) is not None


def is_digest(text: object) -> bool:
    """True for a sha256 or a git blob id in hexadecimal; digests become file names, so nothing else may pass."""
    return isinstance(text, str) and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text) is not None
