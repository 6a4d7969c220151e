"""The server itself, and what the page shows beside pictures."""

from typing import Literal

from pydantic import (
    Field,
)

from ..validation import Answer
from .names import JobPhase, WorkerState


class StyleShown(Answer):
    name: str
    text: str = Field(description="`{prompt}` is where the prompt goes; without it, the text follows behind a comma")
    steps: int | None = None
    width: int | None = None
    height: int | None = None
    ours: bool = Field(description="exactly as the program brings it")


class PromptLength(Answer):
    tokens: int | None = Field(None, description="null where the model's tokenizer is not to be had")
    limit: int | None = Field(None, description="how many of these are read; what comes after is left out")
    read_chars: int | None = Field(None, description="how many characters of the prompt these are, its styles included")


class StyleList(Answer):
    styles: list[StyleShown]


class Memory(Answer):
    mlx_active_bytes: int = 0
    mlx_peak_bytes: int = 0
    mlx_cache_bytes: int = 0
    process_bytes: int = 0
    server_bytes: int
    system_total_bytes: int
    system_available_bytes: int
    swap_used_bytes: int
    swap_growth_bytes: int
    worker: WorkerState
    model: str | None
    phase: JobPhase | None
    t: float


class Health(Answer):
    status: Literal["ok"] = "ok"
    version: str
    worker: WorkerState
    uptime_s: float
