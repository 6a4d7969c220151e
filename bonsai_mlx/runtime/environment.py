"""The environment as people have it: the one place where this program reads variables and takes its standard streams.

An empty variable is one that is not set, as in files of `docker compose`, and blanks around a value mean nothing. What
cannot be used becomes one sentence that names the variable, and only where it matters: nobody needs a proxy to draw.
`tidy` is for programs; importing this changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

from ..errors import DownloadError

_PREFIXES = ("BONSAI_", "HF_", "HUGGINGFACE_", "HUGGING_FACE_")
_PROXIES = tuple(name for kind in ("http", "https", "all") for name in (f"{kind}_proxy", f"{kind.upper()}_PROXY"))
_PROXY_KINDS = ("http", "https", "socks5", "socks5h")
_NO_PROXY = ("no_proxy", "NO_PROXY")
_OTHERS = ("HOME", "XDG_CACHE_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "TRANSFORMERS_OFFLINE", "MLX_CONV_WINOGRAD")
_SECONDS = ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT")
_FOLDERS = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")  # each decides before the next
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def text(name: str) -> str | None:
    return os.environ.get(name, "").strip() or None


def tidy() -> None:
    """The first thing that each of our programs does: streams that exist, variables that mean what they say."""
    _open_standard_streams()
    _change(os.environ, _tidied(os.environ))


def _tidied(variables: Mapping[str, str]) -> dict[str, str | None]:
    """What is to change in `variables` for other libraries to read them as `text` does; None: to be removed."""
    ours = (name for name in variables if name.startswith(_PREFIXES) or name in (*_OTHERS, *_PROXIES, *_NO_PROXY))
    return {
        name: variables[name].strip() or None
        for name in ours
        if variables[name] != variables[name].strip() or not variables[name]
    }


def _change(variables: os._Environ[str], changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            variables.pop(name, None)
        else:
            variables[name] = value


def _open_standard_streams() -> None:
    """A stream that was closed (`2>&-`) leads nowhere; else the next file that is opened would be written to by it."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))


def as_typed(word: str) -> str:
    """A word of the command line as UTF-8, where the language settings made Python take it for something else."""
    with contextlib.suppress(UnicodeError):
        return os.fsencode(word).decode()
    return word


def is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and text("TERM") != "dumb"


def hub_constants() -> Any:
    """The module `huggingface_hub.constants`, which reads its variables at its import and fails on odd ones."""
    loaded = sys.modules.get("huggingface_hub.constants")
    if loaded is not None:
        return loaded
    bad = [name for name in _SECONDS if _seconds_fault(name)] + ["HF_ENDPOINT"] * bool(_endpoint_fault())
    with _changed(_tidied(os.environ) | dict.fromkeys(bad)):
        from huggingface_hub import constants
    return constants


@contextlib.contextmanager
def _changed(changes: Mapping[str, str | None]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    _change(os.environ, changes)
    try:
        yield
    finally:
        _change(os.environ, before)


def _seconds_fault(name: str) -> str:
    value = text(name)
    if value is None or (value.isascii() and value.isdigit() and 0 < int(value) <= 86_400):
        return ""
    return f"{name}={value}: no number of seconds; write it like 30, or unset it"


def check_network() -> None:
    """Raise DownloadError, one sentence, for the first variable that the client of the Hub cannot work with."""
    for fault in _faults():
        if fault:
            raise DownloadError(fault)


def _faults() -> Iterator[str]:
    yield from map(_seconds_fault, _SECONDS)
    yield _folder_fault()
    yield from map(_token_fault, _TOKENS)
    yield _endpoint_fault()
    yield _certificates_fault()
    if "*" not in (text("no_proxy") or text("NO_PROXY") or "").split(","):
        yield from map(_proxy_fault, _PROXIES)


def _folder_fault() -> str:
    name = next((name for name in _FOLDERS if text(name)), None)
    folder = Path(hub_constants().HF_HUB_CACHE)
    there = next((parent for parent in (folder, *folder.absolute().parents) if os.path.lexists(parent)), folder)
    if name is None or there.is_dir():
        return ""
    return f"{name}={text(name)}: {there} is no folder; name one where checkpoints can be kept, or unset it"


def _token_fault(name: str) -> str:
    token = text(name)
    return token_fault(name, token) if token else ""


def token_fault(name: str, token: str) -> str:
    """Why `token`, from the option or variable of that name, cannot be one; empty if it can. Never shows it."""
    if re.fullmatch(r"[!-~]+", token):
        return ""
    return f"{name}: the token has a blank or another character that no token has; copy it again"


def _endpoint_fault() -> str:
    endpoint = text("HF_ENDPOINT")
    if endpoint is None:
        return ""
    with contextlib.suppress(ValueError):
        parts = urlsplit(endpoint)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return ""
    return f"HF_ENDPOINT={hidden(endpoint)}: no address of a Hub; write it like https://huggingface.co, or unset it"


def _certificates_fault() -> str:
    """Of SSL_CERT_FILE, or of SSL_CERT_DIR, which the client looks at only without the former."""
    import ssl  # brings OpenSSL, which only a download needs

    file, folder = text("SSL_CERT_FILE"), text("SSL_CERT_DIR")
    if file:
        try:
            ssl.create_default_context(cafile=file)
        except OSError as error:  # SSLError is one
            reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror or str(error)
            return f"SSL_CERT_FILE={file}: {reason}; name a file of certificates, or unset it"
    elif folder and not Path(folder).is_dir():
        return f"SSL_CERT_DIR={folder}: there is no such folder; name one with certificates, or unset it"
    return ""


def _proxy_fault(name: str) -> str:
    value = text(name)
    if value is None:
        return ""
    with contextlib.suppress(ValueError):
        parts = urlsplit(value if "://" in value else f"http://{value}")
        if parts.scheme in _PROXY_KINDS and parts.hostname and parts.port != 0:
            return ""
    return (
        f"{name}={hidden(value)} is no proxy that can be used; write it like http://127.0.0.1:8080 or "
        "socks5://127.0.0.1:1080, or unset it"
    )


def proxy_in_use(url: str) -> str:
    """`HTTPS_PROXY=...`, the variable that sends requests for `url` to a proxy; empty if none does."""
    scheme = urlsplit(url).scheme
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    return next((f"{name}={hidden(value)}" for name in names if (value := text(name))), "")


def hidden(value: str) -> str:
    """An address without the name and the password that it may carry."""
    scheme, separator, rest = value.rpartition("://")
    authority, slash, path = rest.partition("/")
    credentials, at, host = authority.rpartition("@")
    return f"{scheme}{separator}{'***' if credentials or at else ''}{at}{host}{slash}{path}"
