"""Adapters in a prompt, as A1111 and what follows it write them: "a fox <lora:ink:0.8>". They are taken out of it.

The numbers are those of the text encoder and of the model that draws; adapters here are of the latter, so the second
counts where there are two. The form with names, <lora:ink:unet=0.8>, is known too.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TypeVar

from ..bounds import AdapterUse, Lora
from ..errors import RequestError
from ..request import Draw, Enlarge

R = TypeVar("R", Draw, Enlarge)

_TAG = re.compile(r"[ \t]{0,8}<(?:lora|lyco):([^<>]{0,300})>")


def with_prompt_adapters(request: R) -> R:
    """The request with the adapters of its prompt among its own, which have the last word on a strength.

    RequestError for one that cannot be read.
    """
    found = _TAG.findall(request.prompt)
    if not found:
        return request
    prompt = _TAG.sub("", request.prompt).strip()
    named = {lora.name.casefold() for lora in request.loras}
    others: list[Lora] = [lora for lora in map(_read, found) if lora.name.casefold() not in named]
    return replace(request, prompt=prompt, loras=(*request.loras, *others)).validated()


def tag(lora: Lora) -> str:
    return f"<lora:{lora.name}:{lora.strength:g}>"


def _read(text: str) -> Lora:
    name, *values = (part.strip() for part in text.split(":"))
    numbers = [value for value in values if "=" not in value][:2]
    by_name = dict(value.split("=", 1) for value in values if "=" in value)
    said = by_name.get("unet") or (numbers[-1] if numbers else by_name.get("te", "1"))
    try:
        return AdapterUse().checked("prompt", Lora(name, float(said)))
    except ValueError:
        raise RequestError(
            "prompt", f"<lora:{text[:80]}> has no strength that is a number; write <lora:name:0.8>"
        ) from None
