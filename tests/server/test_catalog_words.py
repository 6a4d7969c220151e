"""The server asks the catalog which checkpoints there are: none of their names stands in its sources."""

import re
from pathlib import Path

import pytest

import server
from bonsai_mlx.hub.published import CATALOG
from server.assets.files import STATIC
from server.templating import TEMPLATES

PRECISIONS = sorted({entry.precision for entry in CATALOG if entry.precision})
SOURCES = sorted(Path(server.__file__).parent.rglob("*.py"))
OPENAPI_BYTES = '"format": "binary"'  # how OpenAPI says that a body is a file


PAGES = sorted((*STATIC.rglob("*.js"), *TEMPLATES.rglob("*.html")))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_no_page_and_no_script_names_a_checkpoint(precision: str) -> None:
    found = [str(path) for path in PAGES if re.search(rf"\b{precision}|{precision}\b", path.read_text("utf-8"), re.I)]
    assert len(PAGES) > 40
    assert found == []


@pytest.mark.parametrize("precision", PRECISIONS)
def test_no_source_of_the_server_names_a_checkpoint(precision: str) -> None:
    word = re.compile(rf"\b{precision}|{precision}\b", re.IGNORECASE)
    found = [
        f"{path}:{number}: {line}"
        for path in SOURCES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if word.search(line.replace(OPENAPI_BYTES, ""))
    ]
    assert len(SOURCES) > 50
    assert found == []
