"""What each field of a request may hold, as annotations; the bounds that other rooms name too are constants."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from ..bounds import YES_OR_NO, AdapterUse, Between, Choice, Lora, Part, PictureDigest, Several, Whole, Words

SIZE_MULTIPLE_PX = 16  # one token covers 16x16 pixels: 8 by the VAE, 2 by patching
MIN_SIZE_PX, MAX_SIZE_PX = 64, 2048
MAX_STEPS = 100
MAX_SEED = 2**32 - 1
MAX_CANVAS_AREA = 40_000_000  # pixels of a picture that is changed, with what is added to it
MAX_REFERENCES = 4
EXTEND_STRENGTH = 0.9  # suits a picture that is extended: what is added keeps the lines of what it continues
MORPH_STRENGTH = 0.3  # lets bits of two pictures come to terms
REFINE_STRENGTH = 0.3  # redraws the finest strokes and keeps what is there
MAX_FEATHER_PX = 256
MAX_EXTEND_PX = 2048  # on each side
MAX_MARGIN_PX = 1024
MAX_STYLES = 8  # of one picture
MAX_STYLE_NAME_CHARS = 60
MAX_GUIDANCE = 30
MAX_LORAS = 8
ANYTHING = "anything"  # what a picture is called that was drawn without words
MAX_PROMPT_CHARS = 32_000  # far beyond the 512 tokens that are read, and enough for any client

Prompt = Annotated[str, Words(MAX_PROMPT_CHARS)]
Seed = Annotated[int, Whole(0, MAX_SEED)]
Steps = Annotated[int, Whole(1, MAX_STEPS)]
Side = Annotated[int, Whole(MIN_SIZE_PX, MAX_SIZE_PX, SIZE_MULTIPLE_PX)]
Digest = Annotated[str, PictureDigest()]
Digests = Annotated[tuple[str, ...], Several(PictureDigest(), 0, MAX_REFERENCES)]
ReferenceDetail = Annotated[int, Choice((256, 512, 768, 1024))]  # references have at most this squared, in pixels
Strength = Annotated[float, Part()]
Guidance = Annotated[float, Between(1, MAX_GUIDANCE)]
Temperature = Annotated[float, Between(0.3, 1.2)]
NegativePrompt = Annotated[
    str, Words(MAX_PROMPT_CHARS, empty=True, remedy="say what is to be avoided, or leave it out")
]
Amount = Annotated[float, Part(zero=True)]
StrengthRule = Annotated[str, Choice(("sigma", "steps"))]
MaskContent: TypeAlias = Annotated[str, Choice(("original", "surroundings"))]
Feather = Annotated[int, Whole(0, MAX_FEATHER_PX)]
Margin = Annotated[int, Whole(0, MAX_MARGIN_PX)]
Loras = Annotated[tuple[Lora, ...], Several(AdapterUse(), 0, MAX_LORAS)]
Flag = Annotated[bool, YES_OR_NO]
_STYLE_NAME = Words(MAX_STYLE_NAME_CHARS, remedy="give the name of a style")
StyleName = Annotated[str, _STYLE_NAME]
StyleNames = Annotated[tuple[str, ...], Several(_STYLE_NAME, 0, MAX_STYLES)]
Factor = Annotated[int, Choice((2, 4))]
EnlargeMethod = Annotated[str, Choice(("exact", "refine", "learned"))]
UpscalerName = Annotated[str, Words(200, remedy="name the file of an upscaler, or leave it out")]
AnyWords = Annotated[str, Words(MAX_PROMPT_CHARS, empty=True)]
AnySteps = Annotated[int, Whole(0, MAX_STEPS)]
AnySide = Annotated[int, Whole(1, MAX_CANVAS_AREA)]
Margins = Annotated[tuple[int, ...], Several(Whole(0, MAX_EXTEND_PX), 4, 4)]  # pixels: left, top, right, bottom
