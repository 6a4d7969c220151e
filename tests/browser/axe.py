"""What axe-core finds on a page, in both themes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.driver import missing
from tests.fetched import fetched

AXE = "4.14.1"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, fetched once by npm and checked."""
    source = (fetched(f"axe-core/{AXE}", _fetch_axe) / "axe.min.js").read_bytes()
    assert hashlib.sha256(source).hexdigest() == AXE_SHA256
    return source.decode()


def _fetch_axe(folder: Path) -> None:
    npm = shutil.which("npm") or missing("npm")
    command = [npm, "pack", "--silent", "--pack-destination", str(folder), f"axe-core@{AXE}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        (folder / "axe.min.js").write_bytes(member.read())


OF_COLOURS = ("color-contrast", "link-in-text-block")  # the rules that a theme can change
BACKGROUNDS = "[document.documentElement, document.body].map((one) => getComputedStyle(one).backgroundColor)"


def violations(page: Page, axe: str, within: str = "html") -> list[str]:
    """What axe-core finds in an element: of all its rules in the light theme, and of those of colours in the dark."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe)
    if page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches"):
        page.emulate_media(color_scheme="light")
    light = page.evaluate(BACKGROUNDS)
    found = _found(page, within, {})
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(BACKGROUNDS) != light, "the page has one theme only"
    found += _found(page, within, {"runOnly": list(OF_COLOURS)})
    page.emulate_media(color_scheme="light")
    return found


def _found(page: Page, within: str, options: dict[str, Any]) -> list[str]:
    only = {"resultTypes": ["violations"]} | options  # to describe what passes takes longer than to look at it
    run = "async ([within, options]) => (await axe.run(within, options)).violations"
    found: list[dict[str, Any]] = page.evaluate(run, [within, only])
    return [f"{v['id']}: {node['target']} {node['failureSummary']}" for v in found for node in v["nodes"]]
