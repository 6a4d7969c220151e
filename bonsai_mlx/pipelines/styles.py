"""Styles: named texts with a place for the prompt, and settings that go with them.

Ours are in the program; what a user adds, changes or removes is in one JSON file, as the difference: later versions of
the program may bring others. A style is applied once: what was typed is kept beside the prompt that it makes.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar, cast

from ..bounds import Words, bounds_by_name
from ..errors import BonsaiError, RequestError
from ..fileio import PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE, read_bounded, write_atomic
from ..request import Draw, Side, Steps, StyleName
from ..wording import fault_of, user_path

PLACE = "{prompt}"  # where a style's text has the prompt; without it, the text follows behind a comma
MAX_STYLES = 200
_MAX_BYTES = 1 << 20
_VARIABLE = "BONSAI_STYLES_FILE"
_RESTORE = "there is none at all; `bonsai-mlx styles --restore` brings the program's own back"
_MEND = "mend it, or delete it to begin anew"
_NOT_IN_NAMES = ",|{}\n\r"  # which separate names where several are written in one line

D = TypeVar("D", bound=Draw)
StyleText = Annotated[str, Words(2_000, remedy="give its words, with {prompt} where the prompt goes")]


@dataclass(frozen=True, slots=True)
class Style:
    """`text` has `{prompt}` where the prompt goes. Settings that are None are left to the request."""

    name: StyleName
    text: StyleText
    steps: Steps | None = None
    width: Side | None = None
    height: Side | None = None

    def validated(self) -> Self:
        checked = {name: bounds.checked(name, getattr(self, name)) for name, bounds in _bounds().items()}
        name = str(checked["name"])
        if any(character in name for character in _NOT_IN_NAMES):
            raise RequestError("name", f"{name!r} holds one of , | {{ }} or a line break; leave those out")
        return replace(self, **checked | {"name": name.strip()})

    def worded(self, prompt: str) -> str:
        return self.text.replace(PLACE, prompt) if PLACE in self.text else f"{prompt}, {self.text}"

    def as_json(self) -> dict[str, Any]:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


OURS = (
    Style("Photograph", "a photograph of {prompt}, natural light, 50mm lens, shallow depth of field, fine detail"),
    Style("Film still", "a film still of {prompt}, anamorphic wide shot, moody light, muted colours, 35mm grain"),
    Style("Watercolour", "a watercolour painting of {prompt}, soft washes, visible paper, gentle colours"),
    Style("Oil painting", "an oil painting of {prompt}, thick brush strokes, rich colours, canvas texture"),
    Style("Ink wash", "an ink wash painting of {prompt}, black ink on rice paper, few strokes, much empty space"),
    Style("Woodblock print", "a Japanese woodblock print of {prompt}, flat colours, bold outlines, fine patterns"),
    Style("Pencil sketch", "a pencil sketch of {prompt}, fine hatching, white paper"),
    Style("Comic", "a comic panel of {prompt}, clear ink lines, flat colours, halftone dots"),
    Style("Pixel art", "pixel art of {prompt}, 16-bit game, limited palette, crisp square pixels"),
    Style("Clay model", "a clay model of {prompt}, handmade, soft studio light, miniature"),
    Style("Paper cut", "a layered paper cut of {prompt}, soft shadows between the layers, few colours"),
    Style("Poster", "a travel poster of {prompt}, bold simple shapes, few colours, strong composition"),
    Style("Flat illustration", "an illustration of {prompt}, flat illustration, minimalist"),
    Style("At night", "{prompt} at night"),
)


class StylesError(BonsaiError):
    """The file of styles cannot be read or written."""


@dataclass(frozen=True, slots=True)
class StyleBook:
    """The user's styles over ours. Changes make a new book and write it."""

    path: Path
    own: Mapping[str, Style] = field(default_factory=dict)  # by folded name
    removed: frozenset[str] = frozenset()  # folded names of ours

    @classmethod
    def open(cls, path: Path | None = None) -> StyleBook:
        """The book at `path`, else at the user's own place. StylesError for a file that cannot be read."""
        path = path or styles_file()
        try:
            data = json.loads(read_bounded(path, _MAX_BYTES, follow_symlinks=True))
            own = [_style_of(one) for one in data.get("styles", ())]
            return cls(path, {_folded(one.name): one for one in own}, frozenset(map(_folded, data.get("removed", ()))))
        except FileNotFoundError:
            return cls(path)
        except OSError as error:
            raise StylesError(f"{path}: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:
            raise StylesError(f"{path} is no file of styles ({fault_of(error)}); {_MEND}") from error
        except RequestError as error:
            raise StylesError(f"{path} is no file of styles ({error}); {_MEND}") from error
        except (TypeError, AttributeError) as error:
            lack = 'it is {"styles": [...]}, and each has a name and a text'
            raise StylesError(f"{path} is no file of styles ({lack}); {_MEND}") from error

    @property
    def styles(self) -> list[Style]:
        ours = {_folded(one.name): one for one in OURS}
        kept = {key: self.own.get(key, one) for key, one in ours.items() if key not in self.removed}
        return [*kept.values(), *(one for key, one in self.own.items() if key not in kept)]

    def find(self, name: str) -> Style:
        """The style of that name, in any case. RequestError says which one was probably meant."""
        by_name = {_folded(one.name): one for one in self.styles}
        if _folded(name) in by_name:
            return by_name[_folded(name)]
        near = difflib.get_close_matches(_folded(name), by_name, n=1)
        known = ", ".join(one.name for one in by_name.values())
        remedy = f"did you mean {by_name[near[0]].name!r}?" if near else f"there are {known}" if known else _RESTORE
        raise RequestError("styles", f"there is no style called {name[:60]!r}; {remedy}")

    def is_ours(self, style: Style) -> bool:
        return style in OURS

    def save(self, style: Style) -> StyleBook:
        """With this style, in place of one of the same name. RequestError, StylesError."""
        style = style.validated()
        key = _folded(style.name)
        if key not in self.own and len(self.own) >= MAX_STYLES:
            raise RequestError("name", f"there are {MAX_STYLES} styles already; delete one first")
        own = {name: one for name, one in self.own.items() if name != key or style not in OURS}
        if style not in OURS:
            own[key] = style
        return replace(self, own=own, removed=self.removed - {key})._written()

    def delete(self, name: str) -> StyleBook:
        """Without this style, also where it is one of ours. RequestError, StylesError."""
        key = _folded(self.find(name).name)
        removed = self.removed | ({key} & {_folded(one.name) for one in OURS})
        return replace(self, own={one: it for one, it in self.own.items() if one != key}, removed=removed)._written()

    def restore(self) -> StyleBook:
        ours = {_folded(one.name) for one in OURS}
        own = {name: one for name, one in self.own.items() if name not in ours}
        return replace(self, own=own, removed=frozenset())._written()

    def _written(self) -> StyleBook:
        data = {"version": 1, "styles": [one.as_json() for one in self.own.values()], "removed": sorted(self.removed)}
        text = json.dumps(data, ensure_ascii=False, indent=2)
        try:
            self.path.parent.mkdir(mode=PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)
            write_atomic(self.path, f"{text}\n".encode(), mode=PRIVATE_FILE_MODE)
        except OSError as error:
            raise StylesError(f"{self.path} cannot be written: {error.strerror or error}") from error
        return self


def styles_file() -> Path:
    """Where the user's styles are: the variable BONSAI_STYLES_FILE, else a file in the home folder."""
    return user_path(os.environ.get(_VARIABLE) or "~/.bonsai-mlx/styles.json")


def styled(request: D, book: StyleBook | None = None) -> D:
    """The request with its styles in its prompt; as it is where there are none, or where that was done before.

    What the request says itself counts more than a style's settings, and an earlier style's more than a later one's.
    """
    if not request.styles or request.typed is not None:
        return request
    book = book or StyleBook.open()
    chosen = [book.find(name) for name in request.styles]
    settings = _settings(request, chosen)
    names = tuple(style.name for style in chosen)
    return replace(request, prompt=worded(request.prompt, chosen), typed=request.prompt, styles=names, **settings)


def worded(prompt: str, styles: Iterable[Style]) -> str:
    for style in styles:
        prompt = style.worded(prompt)
    return prompt


def _settings(request: Draw, styles: Sequence[Style]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for style in styles:
        for name in ("steps", "width", "height"):
            if getattr(request, name) is None and getattr(style, name) is not None:
                found.setdefault(name, getattr(style, name))
    return found


def _style_of(values: Mapping[str, Any]) -> Style:
    known = {item.name for item in fields(Style)}
    return Style(**{name: value for name, value in values.items() if name in known}).validated()


def _bounds() -> dict[str, Any]:
    return bounds_by_name(cast("Any", Style))


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()
