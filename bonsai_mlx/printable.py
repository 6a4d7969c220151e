"""Text that somebody else wrote, on its way to a terminal, a log or an answer.

File names, chat templates, what a Hub answers: any of them can hold what a terminal obeys (ESC), what pretends to be
the next line of a log, or what turns the order of letters around. Whoever shows such text sends it through `printable`.
"""

from __future__ import annotations

import logging
import re

# Control characters of both sets, marks and overrides of direction, separators of lines and paragraphs, what is
# invisible at the start of a file or in tags, and halves of surrogate pairs, which no terminal can be sent.
_HARMFUL = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)


def printable(text: object) -> str:
    r"""`text` on one line, with every character that a terminal would obey written as \x1b, \n or \u202e."""
    return _HARMFUL.sub(lambda match: match[0].encode("unicode_escape", "backslashreplace").decode(), str(text))


def printable_lines(text: str) -> str:
    """As `printable`, for a text whose line breaks are ours."""
    return "\n".join(map(printable, text.split("\n")))


def log_to_stderr(level: int) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_PrintableFormatter("%(asctime)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


class _PrintableFormatter(logging.Formatter):
    """A line of a log for each message; a traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the library's name
        return printable(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802
        return printable_lines(super().formatException(ei))  # type: ignore[arg-type]
