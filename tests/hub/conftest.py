"""A Hub on loopback for each test, and this process set up to use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import close_session, constants

from bonsai_mlx import hub_download, hub_transfer

from ..fake_hub import FakeHub, fake_hub
from .world import BINARY, TERNARY, checkpoint_files


@pytest.fixture(scope="session")
def connections() -> Iterator[None]:
    """One HTTP client for all tests: making one loads the system's certificates, which takes longer than a download."""
    yield
    close_session()


@pytest.fixture
def server(connections: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub with both variants, and this process set up to use it and a cache of its own."""
    with fake_hub() as running:
        running.repos = {repo: checkpoint_files(repo) for repo in (TERNARY, BINARY)}
        monkeypatch.setattr(constants, "ENDPOINT", running.endpoint)
        template = f"{running.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(hub_transfer, "RETRY_WAITS_S", (0.0, 0.0))
        monkeypatch.setattr(hub_download, "RETRY_WAITS_S", (0.0, 0.0))
        yield running
