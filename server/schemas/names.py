"""Words of states, and ids."""

from typing import Annotated, Literal

from pydantic import (
    StringConstraints,
)

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
JobStatus = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
JobPhase = Literal["enlarge", "load", "encode", "encode image", "denoise", "decode"]
GroupKind = Literal["batch", "compare", "grid", "pipeline"]
WorkerState = Literal["stopped", "starting", "idle", "busy", "unresponsive"]
ModelContent = Literal["pinned", "listed", "unchecked", "unknown"]  # how far its files are known: bonsai_mlx/hub/api.py
ModelState = Literal["ready", "absent", "partial", "downloading", "paused", "verifying", "damaged", "failed"]
Way = Literal["write", "draw", "redraw", "repaint", "extend", "change", "enlarge"]
