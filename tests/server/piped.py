"""A pipeline of three steps, and the end of its run."""

from __future__ import annotations

from typing import Any

from tests.server.conftest import LiveServer, eventually

SIZE = {"width": 64, "height": 64, "steps": 1}
DRAW: dict[str, Any] = {"operation": "draw", "prompt": "{prompt}", "seed": 3, "id": "sketch", **SIZE}
REDRAW: dict[str, Any] = {
    "operation": "draw",
    "prompt": "{prompt} at night",
    "init": "sketch",
    "strength": 0.5,
    "seed": 4,
    "steps": 1,
}
LARGE: dict[str, Any] = {"operation": "enlarge", "source": "previous"}
STEPS = [DRAW, REDRAW, LARGE]


def ended(live: LiveServer, group: str) -> dict[str, Any]:
    def over() -> dict[str, Any] | None:
        run = live.client.get(f"/pipelines/runs/{group}").raise_for_status().json()
        return run if run["status"] != "running" else None

    run: dict[str, Any] = eventually(over, 120)
    return run
