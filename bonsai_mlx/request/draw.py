"""A picture that is drawn, from words and from pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self, cast

from ..bounds import Lora, bounds_by_name
from ..errors import RequestError
from .fields import (
    Amount,
    Digest,
    Digests,
    Feather,
    Flag,
    Guidance,
    Loras,
    Margin,
    Margins,
    MaskContent,
    NegativePrompt,
    Prompt,
    ReferenceDetail,
    Seed,
    Side,
    Steps,
    Strength,
    StrengthRule,
    StyleNames,
    Temperature,
)
from .seeds import random_seed


@dataclass(frozen=True, slots=True)
class Draw:
    """A picture from words and, if any are given, from pictures, which are named by digest.

    `None` stands for the checkpoint's own recommendation, for a seed, for a random one, and with pictures, for what
    suits them. Pictures are independent of each other: a mask goes with references, an extension with a reference.
    """

    prompt: Prompt
    seed: Seed | None = None
    steps: Steps | None = None
    width: Side | None = None  # pixels that are drawn; a picture that is kept in part may be larger
    height: Side | None = None
    guidance: Guidance | None = None  # how much the prompt counts, of a model that is not distilled; 1: one pass a step
    negative_prompt: NegativePrompt = ""  # what guidance leads away from
    variation_amount: Amount = 0.0  # how far from the seed's noise to that of `variation_seed`, on the sphere
    variation_seed: Seed | None = None
    references: Digests = ()  # pictures that the model looks at while it draws
    reference_detail: ReferenceDetail | None = None
    init: Digest | None = None  # the picture that is changed: redrawn, repainted in the mask, or extended
    strength: Strength = 1.0  # how much of it is noise at the start
    strength_rule: StrengthRule = "sigma"  # or "steps", diffusers' own; see flux2.scheduler.from_strength
    mask: Digest | None = None  # white is repainted
    mask_content: MaskContent = "original"  # what the masked place starts from; or what lies around it
    feather_px: Feather = 16  # in which the repainted part fades into what is kept
    restore_unmasked: Flag = True  # put the picture's own pixels back where nothing was to change
    source_as_reference: Flag | None = None  # `init` is a reference too
    only_masked: Flag | None = None  # draw the mask's surroundings alone, enlarged, and put them back
    margin_px: Margin | None = None  # of those surroundings; a quarter of the mask's longer side, 32 at least
    extend: Margins | None = None
    morph: Digest | None = None  # another picture, of whose bits some replace those of `init` before it is redrawn
    morph_weight: Amount = 0.5  # how many
    styles: StyleNames = ()  # see pipelines.styles; they are in the prompt already where `typed` is given
    typed: Prompt | None = None  # the prompt before styles, or the writer, made this one of it
    loras: Loras = ()  # adapters by name, each with a strength; see `adapters`
    temperature: Temperature | None = None  # of a model that draws in bits: the lower, the surer of what is likely
    unconditional: Flag = False  # of such a model: whatever comes; the prompt is no more than the picture's name

    def resolved(self, *, steps: int, size: tuple[int, int], guidance: float = 1.0, bits: bool = False) -> ResolvedDraw:
        """The request with nothing left open, or RequestError for the first field that is out of bounds.

        `steps`, `size`, (width, height) in pixels, and `guidance` are the checkpoint's recommendations. A guidance of 1
        is that of a distilled model, which takes no other and no negative prompt. `bits` says that it draws in bits.
        """
        if guidance == 1:
            self._check_unguided()
        if bits:
            self._check_coins()
        else:
            self.check_numbers()
        recommended = {"seed": random_seed(), "steps": steps, "width": size[0], "height": size[1], "guidance": guidance}
        recommended |= {"temperature": 1.0} if bits else {}
        if self.variation_amount:
            recommended["variation_seed"] = random_seed()
        values: dict[str, Any] = {
            name: recommended.get(name, value) if value is None else value for name, value in parameters(self).items()
        }
        return ResolvedDraw(**values).validated()

    def _check_unguided(self) -> None:
        if self.guidance not in (None, 1):
            raise RequestError("guidance", "the model is distilled and has no guidance to set; leave it out")
        if self.negative_prompt.strip():
            message = "the model is distilled and follows no negative prompt; leave it out, and say what is to be seen"
            raise RequestError("negative_prompt", message)

    def check_numbers(self) -> None:
        """RequestError for what only a model that draws in bits can do."""
        if self.morph:
            lack = "pictures are morphed by models that draw in bits, and this one does not; name one that does"
            raise RequestError("morph", lack)
        for name in ("temperature", "unconditional"):
            if getattr(self, name):
                raise RequestError(name, "is for models that draw in bits, and this one does not; leave it out")

    def _check_coins(self) -> None:
        """RequestError for what a model that draws in bits cannot do."""
        if self.references or self.source_as_reference:
            name = "references" if self.references else "source_as_reference"
            raise RequestError(name, "this model looks at no pictures; give one to change as the init picture")
        if self.variation_amount:
            message = "this model draws from coins, which have nothing between them; change a picture by its strength"
            raise RequestError("variation_amount", message)

    @property
    def words(self) -> str:
        """What the model reads."""
        return "" if self.unconditional else self.prompt

    def validated(self) -> Self:
        """The request with numbers as Python's own, or RequestError for the first field that is out of bounds."""
        checked: dict[str, Any] = {
            name: bounds.checked(name, getattr(self, name))
            for name, bounds in bounds_by_name(cast(Any, type(self))).items()
        }
        for name in ("mask", "extend", "morph"):
            if checked[name] is not None and checked["init"] is None:
                raise RequestError(name, "belongs to a picture that is changed; give that as the init picture")
        if checked["morph"] is not None and (checked["mask"] or checked["extend"]):
            raise RequestError("morph", "is of whole pictures; leave the mask and what is to be added out")
        check_once(checked["loras"])
        if checked["extend"] is not None and not any(checked["extend"]):
            checked["extend"] = None
        if checked["guidance"] == 1 and checked["negative_prompt"].strip():
            raise RequestError(
                "negative_prompt", "changes nothing at a guidance of 1; give more guidance, or leave it out"
            )
        if not checked["variation_amount"]:
            checked["variation_seed"] = None
        return replace(self, **checked)

    @property
    def pictures(self) -> tuple[str, ...]:
        named = (*self.references, self.init, self.mask, self.morph)
        return tuple(dict.fromkeys(digest for digest in named if digest is not None))


@dataclass(frozen=True, slots=True)
class ResolvedDraw(Draw):
    """A picture with nothing left open: the same one on the same machine, every time."""

    seed: Seed
    steps: Steps
    width: Side
    height: Side
    guidance: Guidance = 1.0


def check_once(loras: Sequence[Lora]) -> None:
    names = [one.name.casefold() for one in loras]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RequestError("loras", f"{twice} is named twice; name it once, with one strength")


def parameters(request: Any) -> dict[str, Any]:
    """The fields of an operation, of any kind."""
    return {item.name: getattr(request, item.name) for item in fields(request)}
