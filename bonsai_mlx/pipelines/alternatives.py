"""Alternatives in a prompt: "a {red|blue} house" is "a red house" and "a blue house".

Braces that hold no bar, or that are not closed, are ordinary text, and so is a brace or a bar behind a backslash. What
is chosen from may hold alternatives itself; an empty choice is nothing.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..errors import RequestError

MAX_PROMPTS = 1_000  # that one pair of braces, or one prompt, may stand for
MAX_DEPTH = 16
_TOKEN = re.compile(r"\\[{}|\\]|[{}|]|[^{}|\\]+|\\")
_SPACES = re.compile(r"[ \t]{2,}")

Choices: TypeAlias = tuple[str, ...]
_Branch: TypeAlias = "list[str | Choices]"  # texts, and what is chosen from


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt in pieces: `texts` has one more than `choices`, which stand between them."""

    texts: tuple[str, ...]
    choices: tuple[Choices, ...]

    def filled(self, chosen: Sequence[str]) -> str:
        """The prompt with one of each of the choices, without the double spaces that they leave."""
        text = self._with(chosen)
        return _SPACES.sub(" ", text).replace(" ,", ",").strip() if chosen else text

    def _with(self, chosen: Sequence[str]) -> str:
        return "".join(piece for pair in zip(self.texts, (*chosen, ""), strict=True) for piece in pair)

    def variants(self) -> list[str]:
        """As `prompts`, with all spaces: those at the ends may be all that separates two words."""
        _count(self.choices)
        return [self._with(chosen) for chosen in itertools.product(*self.choices)]

    def prompts(self) -> list[str]:
        """Every prompt that it stands for, the last choices changing first. RequestError: too many."""
        _count(self.choices)
        return [self.filled(chosen) for chosen in itertools.product(*self.choices)]


def parse(prompt: str) -> Template:
    """The outermost alternatives of a prompt, each with everything that it can be. RequestError: too many."""
    open_groups: list[list[_Branch]] = []  # of each brace that is not closed yet, its branches
    branch: _Branch = []
    outer: list[_Branch] = []  # what each of those stands in
    for part in _TOKEN.findall(prompt):
        if part == "{":
            if len(open_groups) == MAX_DEPTH:
                raise RequestError("prompt", f"has braces in braces, more than {MAX_DEPTH} deep; write them apart")
            outer.append(branch)
            branch = []
            open_groups.append([branch])
        elif part == "|" and open_groups:
            branch = []
            open_groups[-1].append(branch)
        elif part == "}" and open_groups:
            branches, branch = open_groups.pop(), outer.pop()
            branch += [_alternatives(branches)] if len(branches) > 1 else ["{", *branches[0], "}"]
        else:
            branch.append(part[-1] if part[0] == "\\" else part)
    while open_groups:  # never closed
        branches, branch = open_groups.pop(), outer.pop()
        branch += ["{", *_joined(branches)]
    return _template(branch)


def unclosed(prompt: str) -> str | None:
    """The prompt from the first brace on that is never closed; None where all are."""
    opened: list[int] = []
    for token in _TOKEN.finditer(prompt):
        if token[0] == "{":
            opened.append(token.start())
        elif token[0] == "}" and opened:
            opened.pop()
    return prompt[opened[0] :] if opened else None


def has_alternatives(prompt: str) -> bool:
    return bool(parse(prompt).choices)


def expand(prompt: str) -> list[str]:
    """Every prompt that it stands for; the last alternatives change first. RequestError: too many."""
    return parse(prompt).prompts()


def _alternatives(branches: Iterable[_Branch]) -> Choices:
    found = [text for branch in branches for text in _template(branch).variants()]
    _count([found])
    return tuple({text.strip(): text for text in reversed(found)}.values())[::-1]


def _template(branch: _Branch) -> Template:
    texts, choices = [""], []
    for piece in branch:
        if isinstance(piece, str):
            texts[-1] += piece
        else:
            choices.append(piece)
            texts.append("")
    return Template(tuple(texts), tuple(choices))


def _joined(branches: Sequence[_Branch]) -> _Branch:
    return [piece for place, branch in enumerate(branches) for piece in ([*"|"] * bool(place) + branch)]


def _count(choices: Sequence[Sequence[str]]) -> None:
    count = 1
    for one in choices:
        count *= len(one)
        if count > MAX_PROMPTS:
            raise RequestError("prompt", f"stands for more than {MAX_PROMPTS} prompts; give fewer alternatives")
