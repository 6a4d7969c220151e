"""The fixtures of the browser tests; without Playwright there is nothing to collect, except where all must run."""

import os
from importlib.util import find_spec

if find_spec("playwright") is None and os.environ.get("CI") != "true":
    collect_ignore_glob = ["test_*.py"]
else:
    from tests.browser.axe import axe  # noqa: F401
    from tests.browser.driver import chromium, large_site, left_idle, open_page, site, studio, tabs, watch  # noqa: F401
