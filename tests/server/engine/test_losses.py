"""What an engine that is gone is told to have ended of: its signal, and what is known of the machine's memory."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from server.engine.losses import AGAIN, DOCTOR, SMALLER, Free, MemoryWitness, Shortage, explain_exit

FREE = Free(5_200_000_000, 8_000_000_000)


@pytest.mark.parametrize(
    ("code", "device", "shortage", "words", "remedy"),
    [
        (-signal.SIGKILL, "cpu", "told", "was ended by the system, because memory ran out.", SMALLER),
        (-signal.SIGKILL, "metal", "likely", "most likely because memory ran out: 5.20 GB of 8.00 GB of the", SMALLER),
        (-signal.SIGKILL, "metal", "none", "was ended from outside (SIGKILL), though 5.20 GB of 8.00 GB of", AGAIN),
        (-signal.SIGTERM, "cpu", "none", "was ended by a person or another program (SIGTERM).", AGAIN),
        (-signal.SIGHUP, "cpu", "likely", "was ended by a person or another program (SIGHUP).", AGAIN),
        (-signal.SIGABRT, "metal", "none", "crashed, as happens when the memory of the graphics device", SMALLER),
        (-signal.SIGABRT, "cuda", "none", "crashed, as happens when the memory of the graphics device", SMALLER),
        (-signal.SIGABRT, None, "none", "crashed, as happens when the memory of the graphics device", SMALLER),
        (-signal.SIGABRT, "cpu", "likely", "crashed, as happens when memory runs out.", SMALLER),
        (-signal.SIGABRT, "cpu", "none", "crashed (SIGABRT).", DOCTOR),
        (-signal.SIGSEGV, "metal", "likely", "crashed (SIGSEGV).", DOCTOR),
        (-signal.SIGBUS, "cpu", "none", "crashed (SIGBUS).", DOCTOR),
        (-signal.SIGILL, "cpu", "none", "crashed (SIGILL).", DOCTOR),
        (-60, "cpu", "none", "crashed (signal 60).", DOCTOR),
        (7, "cpu", "told", "ended unexpectedly with status 7.", DOCTOR),
        (0, "cpu", "none", "ended unexpectedly with status 0.", DOCTOR),
    ],
)
def test_an_end_is_told_by_what_is_known_of_it(
    code: int, device: str | None, shortage: Shortage, words: str, remedy: str
) -> None:
    loss = explain_exit(code, device, shortage, FREE)
    assert words in str(loss)
    assert str(loss).endswith("The next picture starts a fresh one.")
    assert loss.remedy == remedy
    assert loss.code == ("out_of_memory" if remedy == SMALLER else "failed")


def test_what_the_system_counts_is_known(tmp_path: Path) -> None:
    """Of the machine or of the container; what is not there, or cannot be read, counts nothing."""
    machine, container = tmp_path / "vmstat", tmp_path / "memory.events"
    machine.write_text("pgpgin 3\noom_kill 4\ndrop_pagecache 0\n")
    container.write_text("low 0\noom 1\noom_kill 0\n")
    witness = MemoryWitness((machine, container, tmp_path / "nowhere", tmp_path))
    assert witness.shortage == "none"
    container.write_text("low 0\noom 1\noom_kill 1\n")
    assert witness.shortage == "told"
    witness.begin()
    assert witness.shortage == "none", "it was another run's"
    machine.write_text("oom_kill 5\n")
    assert witness.shortage == "told"


def test_the_least_that_was_free_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    free = [0.5]
    svmem = type(psutil.virtual_memory())

    def memory() -> object:
        if not free:
            raise OSError("for a moment")
        return svmem(**dict.fromkeys(svmem._fields, 0) | {"total": 1000, "available": int(1000 * free.pop())})

    monkeypatch.setattr(psutil, "virtual_memory", memory)
    witness = MemoryWitness(())
    free.append(0.1)
    witness.look()
    assert witness.shortage == "none"
    free.append(0.099)
    witness.look()
    free.append(0.8)
    witness.look()
    witness.look()
    assert (witness.shortage, witness.least) == ("likely", Free(99, 1000))
    free.append(0.8)
    witness.begin()
    assert (witness.shortage, witness.least) == ("none", Free(800, 1000))
