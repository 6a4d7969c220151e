"""Which addresses are pages for people, and so may be reached by a link from anywhere."""

import re

PAGES = frozenset({"/", "/gallery", "/model-manager", "/connect", "/preferences", "/docs"})
IMAGE_PAGE = re.compile(r"/i/[0-9a-f]{32}")


def is_page(path: str) -> bool:
    """Whether a link from another site may lead to this path."""
    return path in PAGES or IMAGE_PAGE.fullmatch(path) is not None
