"""Chains in files: the steps that pictures say they came about by, and the pictures that steps make and need."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..editing.normalise import laid_on_white, mask_of, normalised
from ..editing.pictures import digest_of
from ..errors import BonsaiError, PictureError, RequestError
from ..fileio import open_regular
from ..images.mask import read_mask
from ..images.metadata import read
from ..images.recipe import Recipe
from ..images.scan import MAX_FILE_BYTES
from ..request import Operation
from .chains import PREVIOUS, Step, Write, merged, steps_in, steps_of, with_pictures, worded

if TYPE_CHECKING:
    from PIL.Image import Image

_DIGEST = re.compile(r"[0-9a-f]{64}")


def steps_of_recipe(recipe: Recipe) -> list[Step]:
    """All steps that lead to a picture, its own last. RequestError."""
    return steps_of([*recipe.parameters.get("chain", ()), _described(recipe)])


def has_chain(recipe: Recipe) -> bool:
    return bool(recipe.parameters.get("chain"))


def chain_of(sources: Iterable[Path]) -> list[dict[str, Any]]:
    """The steps that the pictures in these files came about by; none for those that say nothing of it."""
    return merged(map(steps_to, sources))


def steps_to(source: Path | bytes) -> list[dict[str, Any]]:
    """The steps that the picture in a file came about by, its own last; none where the file says nothing of it."""
    try:
        found = read(source)
        if found is None or found.recipe is None:
            return []
        taken = normalised(source)
        made = digest_of(taken.whole or taken.picture)
        mask = read_mask(source)
    except (OSError, ValueError, PictureError):
        return []
    return [*found.recipe.parameters.get("chain", ()), described(found.recipe, made, mask)]


def described(recipe: Recipe, made: str, mask: Image | None) -> dict[str, Any]:
    """A picture's own step, as a later picture's recipe has it; `made` is the picture's digest."""
    own = _described(recipe) | {"id": made}
    if mask is not None:
        own["pictures"] = {digest_of(mask): base64.b64encode(_png(mask)).decode()}
    return own


def _described(recipe: Recipe) -> dict[str, Any]:
    own = {name: getattr(recipe, name) for name in ("prompt", "seed", "steps", "width", "height", "model")}
    further = {name: value for name, value in recipe.parameters.items() if name != "chain" and value is not None}
    return {"operation": "draw"} | own | further


def _png(picture: Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def read_chain(path: Path) -> list[Step]:
    """The steps in a JSON file, or those that lead to a picture. BonsaiError; OSError."""
    with open_regular(path, follow_symlinks=True) as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if data.lstrip()[:1] == b"{":
        try:
            found = steps_in(data)
        except ValueError as error:
            raise BonsaiError(f"{path} {error}") from None
        return steps_of(found)
    try:
        told = read(data)
    except ValueError:
        told = None
    if told is None or told.recipe is None:
        raise BonsaiError(f"{path} is neither a pipeline nor a picture with a recipe of this program")
    return worded(steps_of_recipe(told.recipe))


class Pictures:
    """What a chain's steps have made and need, by digest; steps are known by their ids."""

    def __init__(self, given: Mapping[str, Image]) -> None:
        self.by_digest: dict[str, Image] = dict(given)
        self._made: dict[str, str] = {}

    def made(self, step: Step, picture: Image) -> str:
        """The digest of a step's picture, which later steps may name."""
        digest, opaque = digest_of(picture), laid_on_white(picture)
        self.by_digest |= {digest: picture, digest_of(opaque): opaque}
        self._made |= {PREVIOUS: digest} | ({step.id: digest} if step.id else {})
        return digest

    def request(self, step: Step, place: int) -> Operation:
        """The step's request with the digests of its pictures. RequestError for one that is not there."""
        for digest, data in (step.pictures or {}).items():
            try:
                mask = mask_of(data)
            except PictureError as error:
                raise RequestError(f"steps[{place}].pictures", f"cannot be used: {error}") from error
            if digest_of(mask) == digest:
                self.by_digest[digest] = mask
        assert not isinstance(step.request, Write)  # noqa: S101  which makes no picture
        return with_pictures(step.request, {name: self._found(name, place) for name in step.named})

    def _found(self, name: str, place: int) -> str:
        found = self._made.get(name, name)
        if found not in self.by_digest:
            raise _unknown(name, place)
        return found


def check_names(steps: Sequence[Step]) -> None:
    """RequestError for the first step that names one that is not before it. What has a digest for a name is looked for
    once it is needed: an earlier step may make it."""
    known = {PREVIOUS}
    for place, step in enumerate(steps):
        known |= set(step.pictures or ())
        for name in step.named:
            if name not in known and not _DIGEST.fullmatch(name):
                raise _unknown(name, place)
        known |= {step.id} if step.id else set()


def _unknown(name: str, place: int) -> RequestError:
    lack = f"the picture {name[:16]} is neither an earlier step nor given; give its file with --input"
    return RequestError(f"steps[{place}]", lack)
