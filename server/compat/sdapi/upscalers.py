"""What A1111's clients choose an upscaler by: Lanczos, and the files in the user's folder by their names."""

from pathlib import Path

from ...settings import upscaler_files
from ...studio import Studio
from ..body import bad_field

NONE, LANCZOS = "None", "Lanczos"  # both enlarge exactly


def names(studio: Studio) -> list[str]:
    """In the order that a script's number of an upscaler counts."""
    return [NONE, LANCZOS, *(Path(file).stem for file in upscaler_files(studio.settings))]


def file_of(studio: Studio, name: str, notes: list[str]) -> str | None:
    """The file of an upscaler that is called so, with or without its suffix; None for Lanczos, which unknown names mean
    too, with a note."""
    wanted = name.strip().casefold()
    for file in upscaler_files(studio.settings):
        if wanted in (file.casefold(), Path(file).stem.casefold()):
            return file
    if wanted not in ("", NONE.casefold(), LANCZOS.casefold()):
        notes.append(f"There is no upscaler called {name.strip()[:80]!r} here; Lanczos enlarges.")
    return None


def name_at(studio: Studio, place: int, field: str) -> str:
    known = names(studio)
    if not 0 <= place < len(known):
        raise bad_field(
            field, f"There is no upscaler {place}.", f"There are 0 to {len(known) - 1}: {', '.join(known)}."
        )
    return known[place]


def shown(name: str | None) -> str:
    return Path(name).stem if name else LANCZOS
