"""What a child process prints, a line at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


async def lines_of(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a child's output; one that is longer than the stream's limit is passed over, in parts."""
    while True:
        try:
            line = await stream.readuntil(b"\n")
        except asyncio.LimitOverrunError as overrun:
            await stream.readexactly(max(1, overrun.consumed))
            continue
        except asyncio.IncompleteReadError as rest:
            if rest.partial:
                yield rest.partial
            return
        yield line
