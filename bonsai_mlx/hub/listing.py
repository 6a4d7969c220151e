"""Ask the Hub what a checkpoint consists of, and hold the answer against the catalog.

Of everything that the Hub says, this is where it is believed or not: whatever follows is judged by the digests that
come from here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import httpx2
from huggingface_hub.errors import OIDCError

from ..errors import DownloadError
from ..runtime.environment import check_network, hub_constants
from ..wording import command
from .addresses import is_commit, is_digest
from .entry import CheckpointFile, Entry
from .transfer import NO_ANSWER, RETRY_WAITS_S, explain, is_temporary


class HubUnreachableError(DownloadError):
    """The Hub did not answer at all, so nothing is known about what it has."""


def list_files(entry: Entry, revision: str | None, token: str | None) -> tuple[str, tuple[CheckpointFile, ...]]:
    """The commit that `revision` stands for on the Hub and the files to have of it, small ones first.

    The catalog's own digests come first: unless another revision is asked for, the Hub must list the very same files.
    Tried again while the Hub is only briefly unwell. Raises DownloadError.
    """
    check_network()
    # The Hub's client would tell the Hub which libraries and programs run here, and first ask it what to look for.
    hub_constants().HF_HUB_DISABLE_TELEMETRY = True
    waits = iter(RETRY_WAITS_S[:3])
    while True:
        try:
            commit, files = _ask(entry, revision or entry.revision, token)
            break
        except httpx2.ConnectError as error:
            raise HubUnreachableError(f"{entry.repo}: {explain(error)}") from error
        except OIDCError as error:
            raise DownloadError(f"{entry.repo}: HF_OIDC_RESOURCE: {error}") from error
        except (httpx2.HTTPError, ConnectionError, ValueError) as error:
            wait = next(waits, None)
            if wait is None or not is_temporary(error):
                kind = HubUnreachableError if isinstance(error, NO_ANSWER) else DownloadError
                raise kind(f"{entry.repo}: {explain(error)}") from error
        time.sleep(wait)
    if not is_commit(commit) or not all(is_digest(file.digest) for file in files):
        raise DownloadError(f"{entry.repo}: the Hub's answer lacks the files' digests; is HF_ENDPOINT right?")
    if missing := entry.layout_of(file.path for file in files).missing(file.path for file in files):
        what = f"{entry.repo}: not a checkpoint in a layout that is read"
        raise DownloadError(f"{what}; for the published one it has no {missing[0]}")
    if revision in (None, entry.revision):
        _hold_against_catalog(entry, files)
    return commit, tuple(sorted(files, key=lambda file: (file.size, file.path)))


def _ask(entry: Entry, revision: str, token: str | None) -> tuple[str, list[CheckpointFile]]:
    from huggingface_hub import HfApi  # slow to import, and only a download needs it

    info = HfApi(endpoint=hub_constants().ENDPOINT).model_info(
        entry.repo or "",
        revision=revision,
        files_metadata=True,
        token=token,
        timeout=hub_constants().HF_HUB_ETAG_TIMEOUT,
    )
    files = [
        CheckpointFile(item.rfilename, item.size or 0, (item.lfs.sha256 if item.lfs else item.blob_id) or "")
        for item in info.siblings or ()
    ]
    layout = entry.layout_of(file.path for file in files)
    return info.sha or "", [file for file in files if layout.allows(file.path)]


def _hold_against_catalog(entry: Entry, files: Iterable[CheckpointFile]) -> None:
    listed = {file.path: file for file in files}
    for file in entry.files:
        if file.digest and listed.get(file.path) != file:
            raise DownloadError(
                f"{entry.repo}: the Hub lists another {file.path} than the one this version of bonsai-mlx knows; "
                f"update bonsai-mlx, or take the Hub's word for what is right: {command()} download {entry.name} "
                "--revision COMMIT"
            )
