"""Showing a file in the file manager of the computer that the server runs on."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

from ..errors import ApiError
from ..settings import Settings

_PATIENCE_S = 10.0


def file_manager(settings: Settings) -> str | None:
    """What people call it; None where whoever asks may sit at another computer, or there is none."""
    if not settings.loopback:
        return None
    if sys.platform == "darwin":
        return "Finder"
    return "the file manager" if shutil.which("xdg-open") else None


async def reveal(settings: Settings, path: Path) -> None:
    """Show a file selected in its folder, or a folder. ApiError: 403 over a network, 409 without a file manager."""
    if not settings.loopback:
        message = "Files are shown on the server's own computer, which is asked over a network here."
        raise ApiError(403, "forbidden", message, remedy="Download the picture instead.")
    if file_manager(settings) is None:
        raise ApiError(409, "conflict", "This computer has no file manager that can be asked.", remedy=f"Open {path}.")
    # an absolute path is never taken for an option
    command = ["/usr/bin/open", *(["-R"] if path.is_file() else []), str(path.absolute())]
    if sys.platform != "darwin":
        command = ["xdg-open", str(path.absolute() if path.is_dir() else path.absolute().parent)]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            status = await process.wait()
    except TimeoutError:  # some file managers are the very process that was started, and stay
        return
    if status:
        raise ApiError(409, "conflict", "The file manager could not be opened.", remedy=f"Open {path}.")
