"""Waiting for what a page shows, without a description of the whole page each time that it is not there yet.

Playwright's assertions make one for their message whenever they look in vain, though only the last is ever read. In the
studio each takes the browser 25 ms.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

from playwright.sync_api import Error, LocatorAssertions, expect

PATIENCE_MS = 10_000
_State = Literal["attached", "hidden", "visible"]
_AWAITED: dict[str, _State] = {  # assertion: what has to be so first
    "to_be_visible": "visible",
    "to_be_hidden": "hidden",
    "to_be_attached": "attached",
    "to_be_checked": "attached",
    "to_be_disabled": "attached",
    "to_be_enabled": "attached",
    "to_be_focused": "attached",
    "to_contain_text": "attached",
    "to_have_attribute": "attached",
    "to_have_text": "attached",
    "to_have_value": "attached",
}


def be_patient() -> None:
    expect.set_options(timeout=PATIENCE_MS)
    for name, state in _AWAITED.items():
        setattr(LocatorAssertions, name, _after_waiting(getattr(LocatorAssertions, name), state))


def _after_waiting(assertion: Callable[..., None], state: _State) -> Callable[..., None]:
    @functools.wraps(assertion)
    def wait_and_assert(self: LocatorAssertions, *arguments: Any, timeout: float | None = None, **options: Any) -> None:
        within = PATIENCE_MS if timeout is None else timeout
        if not (options or any(isinstance(argument, list) for argument in arguments)):  # a list may be an empty one
            try:
                self._sync(self._impl_obj._actual_locator.wait_for(state=state, timeout=within))
            except Error:
                within = 1  # the assertion says it in its own words
        assertion(self, *arguments, timeout=within, **options)

    return wait_and_assert
