"""Whether a longer text keeps what a person said: each of their nouns and numbers.

Nouns are not told from other words, which would need a dictionary: every word counts that is more than grammar, or the
politeness of asking. A word has survived if the text has it, in singular or plural; a number also in words or digits.
Prompts in other languages cannot be compared with an English text, and are said to be unchecked.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_DIGITS = {word: str(value) for value, word in enumerate(_NUMBERS)}
_SMALL_WORDS = """
a an the and or of in on at to by with without from for into onto over under as is are was were be been being it
its this that these those there some any very just also so but not no if then than up down out off about near i
me my we us our you your he she they them his her their do does can could would should will please like want see
draw paint show make create give picture pictures photo photograph image drawing painting illustration scene
"""
_GRAMMAR = frozenset(re.findall("[a-z]+", _SMALL_WORDS))
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’-][^\W\d_]+)*")


@dataclass(frozen=True, slots=True)
class Survival:
    """What a text has kept of a prompt."""

    missing: tuple[str, ...]  # as they were typed
    checked: bool  # False: the prompt seems to be in another language, and only its numbers are compared

    @property
    def sentence(self) -> str | None:
        if self.missing:
            return f"Left out: {', '.join(self.missing)}."
        if self.checked:
            return None
        return "Compare it with your words yourself: they are in another language, or none of them is in it."


def survival(prompt: str, text: str) -> Survival:
    wanted = _content(prompt)
    there = {form for word in _words(text) for form in _forms(word)}
    missing = [word for word in wanted if not _forms(word) & there]
    if _foreign(prompt, wanted, missing):
        return Survival(tuple(word for word in missing if word[0].isdigit()), checked=False)
    return Survival(tuple(missing), checked=True)


def _foreign(prompt: str, wanted: list[str], missing: list[str]) -> bool:
    """No word survived and none of the grammar is English, or the letters are not Latin."""
    if any(ord(character) > 0x24F and character.isalpha() for character in prompt):
        return True
    words = [word for word in wanted if not word[0].isdigit()]
    lost = [word for word in missing if not word[0].isdigit()]
    return len(words) > 1 and lost == words and not any(word in _GRAMMAR for word in _words(prompt))


def _words(text: str) -> list[str]:
    return [match[0] for match in _WORD.finditer(unicodedata.normalize("NFKC", text).casefold())]


def _content(prompt: str) -> list[str]:
    return list(dict.fromkeys(word for word in _words(prompt) if word not in _GRAMMAR))


def _forms(word: str) -> set[str]:
    forms = {word, _DIGITS.get(word, word)}
    for ending, instead in (("ies", "y"), ("ves", "f"), ("es", ""), ("s", ""), ("'s", ""), ("’s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            forms.add(word.removesuffix(ending) + instead)
    return forms | {part for part in re.split(r"[-'’]", word) if len(part) > 2 and "-" in word}
