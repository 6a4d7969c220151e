"""Prompts are counted in a child process, which comes and goes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bonsai_mlx.hub.catalog import lookup
from bonsai_mlx.request import MAX_PROMPT_CHARS
from server.checkpoints import prompts_child
from server.checkpoints.prompts import Prompts
from server.engine.child_process import environment

SEEDLING = lookup("seedling-ternary").embedded_folder
WORD = "snow "


@pytest.mark.slow
def test_what_is_read_of_short_long_and_broken_prompts_by_a_child_that_may_be_lost(tmp_path: Path) -> None:
    assert SEEDLING is not None

    async def ask() -> None:
        prompts = Prompts()
        short, longer = [await prompts.length(SEEDLING, text) for text in ("a fox", "a fox and a fox")]
        assert short.tokens is not None
        assert longer.tokens is not None
        assert short.limit is not None
        assert short.tokens < longer.tokens < short.limit
        assert (short.read_chars, longer.read_chars) == (5, 15)
        long = await prompts.length(SEEDLING, WORD * (MAX_PROMPT_CHARS // len(WORD)))
        assert long.tokens is not None
        assert long.read_chars is not None
        assert long.tokens > short.limit
        assert len(WORD) < long.read_chars <= short.limit * len(WORD)
        assert (await prompts.length(tmp_path, "a fox")).tokens is None  # no checkpoint
        assert (await prompts.length(SEEDLING, "half of \ud800")).tokens is None
        child = prompts._child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        assert await prompts.length(SEEDLING, "a fox") == short
        await prompts.close()
        assert prompts._child is None
        asked = asyncio.create_task(prompts.length(SEEDLING, "a fox"))
        while prompts._child is None:
            await asyncio.sleep(0.01)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        assert await prompts.length(SEEDLING, "a fox and a fox") == longer  # not the answer to what was given up
        await prompts.close()

    asyncio.run(ask())


@pytest.mark.slow
def test_a_child_ends_with_the_server_and_when_nothing_is_asked() -> None:
    code = "from server.checkpoints import prompts_child as child; child.IDLE_S = 0.05; child.main()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment(BONSAI_BLAS="none")) as idle:
        assert idle.wait(60) == 0
    gone = [sys.executable, "-m", prompts_child.__name__]
    question = json.dumps({"folder": str(SEEDLING), "prompt": "a fox"}).encode() + b"\n"
    done = subprocess.run(gone, input=question, capture_output=True, env=environment(BONSAI_BLAS="none"), check=True)
    assert json.loads(done.stdout)["read_chars"] == 5
