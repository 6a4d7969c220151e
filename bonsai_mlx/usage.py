"""Mistakes on a command line: what is wrong, by the option's name, and where help is instead of all of it."""

from __future__ import annotations

import argparse
import difflib
import itertools
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from .printable import printable

_OPTION = re.compile(r"--[a-z]|-[a-zA-Z]")
_CHOICE = re.compile(r"(.+?): invalid choice: (.+) \(choose from (.+)\)", re.DOTALL)
_WORDS = (  # what argparse says, and what is said instead
    (
        re.compile(r"unrecognized arguments: (.{,200}).*", re.DOTALL),
        "{0!r} is too much here; quote what belongs together",
    ),
    (re.compile(r"the following arguments are required: (.+)", re.DOTALL), "{0} must be given"),
    (re.compile(r"one of the arguments (.+) is required"), "one of {0} must be given"),
    (re.compile(r"(.+): expected .*argument.*"), "{0} needs a value"),
    (re.compile(r"(.+): ignored explicit argument .+", re.DOTALL), "{0} takes no value"),
    (re.compile(r"(.+): not allowed with argument (.+)"), "{0} does not go with {1}; leave one of them out"),
    (re.compile(r"ambiguous option: (\S+) could match (.+)"), "{0} may stand for each of {1}; write it out"),
)


class Parser(argparse.ArgumentParser):
    """Ends with status 2, one line that says what is wrong, and one that says where the options are listed."""

    _unknown: str | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = sys.argv[1:] if args is None else args
        if self._subparsers is not None:  # what follows a command, its own parser knows
            words = list(itertools.takewhile(lambda word: word.startswith("-"), words))
        self._unknown = self._first_unknown(words)
        return super().parse_known_args(args, namespace)

    def _first_unknown(self, words: Sequence[str]) -> str | None:
        """The first option that there is not: its value is taken for a word, and then that is told as the mistake."""
        for word in words:
            name = word.partition("=")[0]
            if word == "--":
                return None
            if _OPTION.match(name) and " " not in name and not self._knows(name):
                return name
        return None

    def _knows(self, name: str) -> bool:
        if name.startswith("--"):
            return any(option.startswith(name) for option in self._option_string_actions)
        return name[:2] in self._option_string_actions

    def error(self, message: str) -> NoReturn:
        told = self._no_option(self._unknown) if self._unknown else _reworded(message.removeprefix("argument "))
        self.exit(2, f"{self.prog}: error: {printable(told)}\nSee {self.prog} --help\n")

    def _no_option(self, name: str) -> str:
        known = [option for option in self._option_string_actions if option.startswith("--")]
        return f"there is no option {name[:60]}{_meant(name, known)}"


def _reworded(message: str) -> str:
    if found := _CHOICE.fullmatch(message):
        given, known = found[2].strip("'"), [one.strip("' ") for one in found[3].split(",")]
        remedy = _meant(given, known) or f"; choose one of {', '.join(known)}"
        return f"{found[1]}: there is no {given[:60]!r}{remedy}"
    for pattern, words in _WORDS:
        if found := pattern.fullmatch(message):
            return words.format(*found.groups())
    return message


def _meant(given: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else ""
