"""The settings of the interface, and the way in for a phone."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from bonsai_mlx.hub import published
from bonsai_mlx.hub.entry import Entry

from ..parameters import Fields, Flag, ModelName, whole
from ..validation import Answer


class Preferences(Answer):
    """What the page may change while the server runs, and what it needs to know of the options."""

    preview: bool
    default_model: str | None
    queue_size: int
    keep_alive_minutes: float
    memory_limit_bytes: int | None
    text_encoder: str | None = Field(None, description="in the place of a downloaded model's own, by name")
    decoder: str | None = Field(None, description="likewise")
    fixed: list[str] = Field([], description="those that an option of this start decides; they cannot be changed")


class PhoneLink(Answer):
    """`svg` is the link as a QR code."""

    url: str
    svg: str
    seconds: float = Field(description="for which it is good")


def _part_name(known: tuple[Entry, ...]) -> Any:
    """As with the names of models, the schema names what is known, and matching is kinder."""
    names = [name for entry in known for name in entry.names]
    return Annotated[str, Field(strict=True, min_length=1, max_length=200, json_schema_extra={"enum": [*names]})] | None


_TextEncoder, _Decoder = _part_name(published.TEXT_ENCODERS), _part_name(published.DECODERS)


class PreferencesPatch(Fields):
    """null returns to the default."""

    preview: Flag | None = None
    default_model: ModelName | None = None
    keep_alive_minutes: float | None = Field(None, strict=True, ge=0, le=10_080, allow_inf_nan=False)
    text_encoder: _TextEncoder = None  # type: ignore[valid-type]
    decoder: _Decoder = None  # type: ignore[valid-type]
    memory_limit_bytes: Annotated[int, Field(strict=True, ge=10**8, le=2**50), BeforeValidator(whole)] | None = None
