"""The pages of the tests are watched: else no test of them could fail by an error that a page alone knows of."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.browser.driver import Site, Watch

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("fresh", [False, True])
def test_what_a_page_says_is_noted(site: Site, open_page: Callable[..., Page], watch: Watch, fresh: bool) -> None:
    watch.expected = ["by a script", "of a script"]
    page = open_page(site.url, fresh=fresh)
    page.evaluate("() => { console.error('by a script'); setTimeout(() => { throw new Error('of a script'); }); }")
    page.evaluate("() => new Promise((seen) => setTimeout(seen, 20))")
    assert sorted(watch.seen) == ["console: by a script ()", "error: of a script"]  # the first is of no file
