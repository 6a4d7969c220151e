"""How much of a prompt a checkpoint reads, counted in a child process (prompts_child.py)."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

from ..engine.child_process import command, environment
from ..schemas.system import PromptLength

_WAIT_S = 30.0  # for an answer, a start of the child on a busy machine included
UNKNOWN = PromptLength(tokens=None, limit=None, read_chars=None)
log = logging.getLogger("bonsai.prompts")


class Prompts:
    """Use from the event loop. The child is started when first asked, and ends by itself when nothing more is."""

    def __init__(self) -> None:
        self._child: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def length(self, folder: Path, prompt: str) -> PromptLength:
        """Without figures where the checkpoint's tokenizer cannot be read."""
        question = json.dumps({"folder": str(folder), "prompt": prompt}).encode() + b"\n"
        async with self._turn:
            try:
                async with asyncio.timeout(_WAIT_S):
                    return await self._ask(question)
            except (OSError, ValueError, TimeoutError) as error:
                log.info("a prompt cannot be counted: %r", error)
                await self.close()
                return UNKNOWN
            except asyncio.CancelledError:
                await self.close()  # its answer would be taken for that of the next question
                raise

    async def _ask(self, question: bytes) -> PromptLength:
        """ValueError: no answer. A child that has just ended because nothing was asked is replaced."""
        for _ in range(2):
            child = self._child = self._child or await self._start()
            try:
                child.stdin.write(question)  # type: ignore[union-attr]
                await child.stdin.drain()  # type: ignore[union-attr]
                answer = await child.stdout.readline()  # type: ignore[union-attr]
            except ConnectionError:
                answer = b""
            if answer:
                return PromptLength.model_validate(UNKNOWN.model_dump() | json.loads(answer))
            await self.close()
        raise ValueError("no answer")

    async def _start(self) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *command("server.checkpoints.prompts_child"),
            stdin=pipe,
            stdout=pipe,
            env=environment(BONSAI_BLAS="none"),
            start_new_session=True,
        )

    async def close(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            if child.returncode is None:
                child.kill()
            await child.wait()
