"""Every option and limit of the server, with its `BONSAI_*` variable. Owns no behaviour."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.hub import api as hub
from bonsai_mlx.hub import catalog, published
from bonsai_mlx.request import MAX_PROMPT_CHARS
from bonsai_mlx.runtime.extras import checkout
from bonsai_mlx.wording import parse_bytes, user_path

from .hosts import is_loopback, plain_host


class NoHomeError(Exception):
    """This user has no folder in which images could be kept."""


def default_output() -> Path:
    """`outputs` beside the sources in a checkout, a folder in the home of the user when installed as a package."""
    if sources := checkout():
        return sources / "outputs"
    try:
        return Path.home() / "bonsai-images"
    except RuntimeError:
        raise NoHomeError from None


def _bytes(value: object) -> object:
    """`6000000000`, `"6GB"` or `"5.5 GiB"` in bytes; anything else is left for the type check to refuse."""
    return parse_bytes(value) if isinstance(value, str) else value


def _names(value: object) -> object:
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def _published(name: str) -> str:
    if name not in catalog.published_names():
        expected = " or ".join(map(repr, catalog.published_names()))
        raise PydanticCustomError("enum", "no such checkpoint", {"expected": expected})
    return name


def _text_encoder(name: str, others: ValidationInfo) -> str:
    return _part(name, "text encoder", others)


def _decoder(name: str, others: ValidationInfo) -> str:
    return _part(name, "decoder", others)


def _preview_decoder(name: str, others: ValidationInfo) -> str:
    return _part(name, "preview decoder", others)


def _part(name: str, kind: hub.PartKind, others: ValidationInfo) -> str:
    try:
        if downloaded_part(name, kind, others.data.get("models_dir")) is None:
            place = hub.find_part(name, kind)
            if catalog.part(name) is None:  # a file or a folder of one's own
                from bonsai_mlx.flux2.parts import elsewhere  # here: it brings numpy, which an idle server does without

                elsewhere.check(kind, place)
    except CheckpointError as error:
        raise PydanticCustomError("refused", "{message}", {"message": str(error)}) from None
    return name


Bytes = Annotated[int, BeforeValidator(_bytes)]
UserPath = Annotated[Path, AfterValidator(user_path)]
Host = Annotated[str, AfterValidator(plain_host)]
Names = Annotated[tuple[Host, ...], NoDecode, BeforeValidator(_names)]  # NoDecode: a variable of it is not JSON


class Settings(BaseSettings):
    """Options first, in the order of `--help`, then the limits that bound every request."""

    model_config = SettingsConfigDict(env_prefix="BONSAI_", env_ignore_empty=True, extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    output: UserPath = Field(default_factory=default_output)
    models_dir: UserPath | None = None
    loras: UserPath | None = None  # the folder of adapters; None: the user's own
    variant: Annotated[str, AfterValidator(_published)] = catalog.published_names()[0]  # the default model
    text_encoder: Annotated[str, AfterValidator(_text_encoder)] | None = None  # of downloaded models; None: their own
    decoder: Annotated[str, AfterValidator(_decoder)] | None = None
    preview_decoder: Annotated[str, AfterValidator(_preview_decoder)] | None = None  # None: TAEF2 if it is here
    upscalers_dir: UserPath | None = None  # of .safetensors files of the ESRGAN family
    keep_alive: float = Field(default=10.0, ge=0, le=10_080)  # minutes an idle engine stays loaded; 0: until unloaded
    memory_limit: Bytes | None = Field(default=None, ge=10**8)
    token: str | None = Field(default=None, min_length=16, max_length=256)
    private: bool | None = None  # pictures, prompts and index for their owner's eyes alone; None: if there is a token
    allowed_host: Names = ()
    queue_size: int = Field(default=32, ge=1, le=1_000)
    preview: bool = True
    browser: bool = True

    max_prompt_chars: int = MAX_PROMPT_CHARS
    max_batch: int = 8
    max_body_bytes: int = 400 * 1024  # the longest prompt in the widest script, escaped: 12 bytes a character
    body_timeout_s: float = 15.0
    max_listeners: int = 16
    max_log_lines: int = 200  # recent requests kept in memory
    event_history: int = 2_048
    event_history_bytes: int = 4 << 20  # of the events that are kept for pages that come back
    min_free_bytes: int = 500_000_000
    trash_days: float = 7.0
    tidy_s: float = 3_600.0  # how often what is past its time is deleted: images in the trash, jobs long ended
    compat_max_steps: int | None = Field(default=None, ge=1, le=100)  # other programs' interfaces; None: recommended
    compat_wait_s: float = 240.0  # a longer queue is refused there at once: common clients give up after 300 s
    max_upload_bytes: int = 20 << 20  # a picture in base64, for reading its settings

    engine: str = "server.engine.backend:mlx_backend"  # importable callable that makes the engine, in the child process
    start_s: float = 60.0  # until that process must be ready; the first start after an update compiles the modules
    memory_busy_s: float = 0.4
    memory_idle_s: float = Field(default=5.0, le=5)  # the page takes 15 s of silence for a lost connection
    heartbeat_warn_s: float = 3.0  # silence of the child after which the page says "unresponsive"
    heartbeat_kill_s: float = 15.0  # and after which it is ended
    progress_floor_s: float = 60.0  # the watchdog never acts on less silence between two steps than this
    progress_unknown_s: float = 900.0  # allowed silence while nothing has been learned about a size
    # The same two once a run is cancelled: nothing but the loaded model is lost then, and the next picture waits.
    cancel_floor_s: float = 10.0
    cancel_unknown_s: float = 60.0  # a first picture's step on a slow CPU, nearly twice

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, values: dict[str, object]) -> dict[str, object]:
        trimmed = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
        return {name: value for name, value in trimmed.items() if value != ""}

    @property
    def keep_private(self) -> bool:
        """Whether other users of this computer may not read what is made: files 0600, folders 0700."""
        return self.token is not None if self.private is None else self.private

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)


def downloaded_part(name: str, kind: hub.PartKind, models_dir: Path | None) -> Path | None:
    """Where a part of the catalog's is that was downloaded into the folder of models; the cache is not looked at."""
    entry = catalog.part(name)
    if models_dir is None or entry is None or entry not in published.parts(kind):
        return None
    local = hub.status(entry, models_dir / entry.name)
    return local.path if local.state == "ready" else None


def upscaler_files(settings: Settings) -> dict[str, Path]:
    """The files in the folder of upscalers, by their names; none where there is no such folder."""
    if settings.upscalers_dir is None or not settings.upscalers_dir.is_dir():
        return {}
    return {file.name: file for file in sorted(settings.upscalers_dir.glob("*.safetensors")) if file.is_file()}
