"""A Hub on loopback for each test, and this process set up to use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import close_session

from ..fake_hub import FakeHub
from .world import hub_with_checkpoints


@pytest.fixture(scope="session")
def connections() -> Iterator[None]:
    """One HTTP client for all tests: making one loads the system's certificates, which takes longer than a download."""
    yield
    close_session()


@pytest.fixture
def server(connections: None, tmp_path: Path) -> Iterator[FakeHub]:
    """A Hub with both variants, and this process set up to use it and a cache of its own."""
    with hub_with_checkpoints(tmp_path) as running:
        yield running
