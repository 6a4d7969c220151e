"""Bring one file from the Hub, resuming where an earlier attempt stopped.

Owns HTTP: ranges, time-outs, retries, and which failures are worth a retry. Knows nothing of checkpoints. The Hub's own
client starts every file anew, which is why this exists; its session, headers and error types are used. The token goes
to the Hub alone: the HTTP client drops it when a redirect leads to another origin, such as a content network.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path

import httpx2  # what huggingface_hub itself is built on
from huggingface_hub import get_session, hf_raise_for_status
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, but untyped there

from ..errors import DownloadError
from ..runtime.environment import hidden, hub_constants, proxy_in_use

RETRY_WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0)
_PROGRESS_BYTES = 1 << 20  # an attempt that brought this much starts the count of retries anew
_PULSE_S = 0.25  # how often a waiting transfer yields, so that it can be cancelled
_OK, _PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE = 200, 206, 416
_BAD_CREDENTIALS = "Invalid credentials in Authorization header"  # what the Hub says even of a public repository
_UNKNOWN_CERTIFICATE = (
    "the certificate that answers is not known here; where a network has certificates of its own, name the file that "
    "holds them with SSL_CERT_FILE (REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE are not read)"
)
NO_ANSWER = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)
_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}
_MAX_RETRY_AFTER_S = 60.0


def transfer(url: str, target: Path, size: int, token: str | None = None) -> Generator[int, None, None]:
    """Append to `target` until it has `size` bytes; yields its length while it grows and while waiting to retry.

    Whatever has arrived stays in `target`, so closing the generator or killing the process loses nothing. Raises
    DownloadError after several fruitless retries, or at once when a retry cannot help.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch()
    failures = 0
    while (before := _length(target)) != size:
        try:
            yield from _receive(url, target, before, size, token)
            error: Exception = DownloadError("the connection was closed early")
        except (httpx2.HTTPError, OfflineModeIsEnabled) as raised:
            if not is_temporary(raised):
                raise DownloadError(explain(raised)) from raised
            error = raised
        after = _length(target)
        if after == size:
            return
        failures = 0 if after - before >= _PROGRESS_BYTES else failures + 1
        if failures > len(RETRY_WAITS_S):
            raise DownloadError(f"{explain(error)} ({failures} attempts)") from error
        yield from _wait(RETRY_WAITS_S[max(failures, 1) - 1], error, after)


def _receive(url: str, target: Path, start: int, size: int, token: str | None) -> Generator[int, None, None]:
    if start > size:
        target.write_bytes(b"")
        start = 0
    headers = {**build_hf_headers(token=token), "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    timeout = hub_constants().HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
        if start and not _continues(response, start):
            target.write_bytes(b"")
            if response.status_code != _OK:
                return  # the next attempt starts from the beginning
            start = 0
        hf_raise_for_status(response)
        with target.open("ab") as file:
            for chunk in response.iter_raw():  # as it arrives: nothing that was received is held back
                start += len(chunk)
                if start > size:
                    raise DownloadError(f"the server sends more than the {size} bytes that the file should have")
                file.write(chunk)
                file.flush()
                yield start


def _continues(response: httpx2.Response, start: int) -> bool:
    """False if the answer to a range request is the whole file, another part of it, or a refusal of the range."""
    if response.status_code == _PARTIAL_CONTENT:
        return response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
    return response.status_code not in (_OK, _RANGE_NOT_SATISFIABLE)


def _wait(seconds: float, error: Exception, length: int) -> Generator[int, None, None]:
    """Pause before a retry, for as long as the server asks within reason; yields so that it can be cancelled."""
    if isinstance(error, HfHubHTTPError):
        asked = error.response.headers.get("Retry-After", "")
        seconds = max(seconds, min(float(asked), _MAX_RETRY_AFTER_S)) if asked.isdigit() else seconds
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _PULSE_S))
        yield length


def _length(path: Path) -> int:
    return path.stat().st_size


def is_temporary(error: Exception) -> bool:
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _TEMPORARY
    return isinstance(error, NO_ANSWER)


def explain(error: Exception) -> str:
    """A failed request in one plain sentence, without the URL, which may carry a signature."""
    if isinstance(error, OfflineModeIsEnabled):
        return "offline mode is on (HF_HUB_OFFLINE); unset it to download"
    if isinstance(error, HfHubHTTPError) and error.response.headers.get("X-Error-Message") == _BAD_CREDENTIALS:
        return (
            "the Hub does not accept the token: it is wrong or has expired; a public repository needs none, so go "
            "without (hf auth logout, unset HF_TOKEN), or give another one (--token)"
        )
    if isinstance(error, GatedRepoError):
        return "the repository asks for its terms to be accepted on the Hub, and for a token (HF_TOKEN or --token)"
    if isinstance(error, RevisionNotFoundError):
        return "the repository has no such revision"
    if isinstance(error, RepositoryNotFoundError):
        return "there is no such repository on the Hub, or it is private and needs a token (HF_TOKEN or --token)"
    if isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403):
        return "the Hub refuses access; the repository or the network needs a token (HF_TOKEN or --token)"
    if isinstance(error, HfHubHTTPError):
        return f"the Hub answered {error.response.status_code} {error.response.reason_phrase}".rstrip()
    if isinstance(error, httpx2.TimeoutException):
        return "the Hub did not answer in time"
    if isinstance(error, httpx2.ConnectError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return _UNKNOWN_CERTIFICATE
    if isinstance(error, httpx2.ConnectError | httpx2.ProxyError):
        endpoint = hidden(hub_constants().ENDPOINT)
        if proxy := proxy_in_use(endpoint):
            return (
                f"the Hub cannot be reached at {endpoint} through the proxy {proxy}; is that proxy there and willing?"
            )
        return f"the Hub cannot be reached at {endpoint}; is there a network connection?"
    if isinstance(error, httpx2.HTTPError):
        return "the connection broke"
    if isinstance(error, ValueError):
        return "what answers is not the Hub; is HF_ENDPOINT right, or does the network ask for a login?"
    return str(error)
