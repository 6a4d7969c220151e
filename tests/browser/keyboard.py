"""The way of the Tab key through a page or an open dialog: what it has to reach, and what it does."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

# What can be used of the dialog that is open, or else of the page; of a group of radios, where the arrow keys begin.
_STOPS = """(within) => {
    const shown = (one) => one.checkVisibility({ visibilityProperty: true }) && !one.closest("[inert]");
    const native = "a[href], button, input, select, textarea, summary";
    const seen = ":not(.visually-hidden)"; // of what is seen, none may be left out by its tabindex
    const usable = (one) => shown(one) && !one.disabled && !one.ariaHidden;
    const tabbable = (one) => usable(one) && (one.tabIndex >= 0 || one.matches(`:is(${native})${seen}`));
    const groups = new Map();
    const inGroup = (one) => {
        if (one.type !== "radio") return true;
        const same = (radio) => tabbable(radio) && radio.form === one.form;
        const group = [...document.getElementsByName(one.name)].filter(same);
        return one === (group.find((radio) => radio.checked) ?? group[0]);
    };
    const first = (one) => one.tagName !== "SUMMARY" || one === one.parentElement.querySelector("summary");
    const scope = document.querySelector("dialog[open]") ?? document.querySelector(within);
    const all = scope.querySelectorAll(`${native}, [tabindex]`);
    return [...all].filter((one) => tabbable(one) && inGroup(one) && first(one));
}"""
# The focus is seen on the control, its label, or what stands beside it in its place.
_LISTEN = """(stops) => {
    const name = (one) => {
        const words = one.getAttribute("aria-label") ?? one.labels?.[0]?.textContent ?? one.textContent;
        return `${one.tagName} ${one.id} ${words.trim().replace(/\\s+/g, " ").slice(0, 60)}`;
    };
    const seen = (one) => [one, one.parentElement, one.nextElementSibling].some((part) =>
        part && getComputedStyle(part).outlineStyle !== "none" && parseFloat(getComputedStyle(part).outlineWidth) > 0);
    const tour = { stops, wanted: stops.map(name), reached: new Set(), unseen: [], outside: [] };
    const scope = document.querySelector("dialog[open]");
    document.addEventListener("focusin", ({ target }) => {
        if (scope?.open && !scope.contains(target)) tour.outside.push(name(target));
        tour.reached.add(stops.indexOf(target));
        if (stops.includes(target) && !seen(target)) tour.unseen.push(name(target));
    });
    window.tour = tour;
    return stops.length;
}"""
_FOUND = """() => ({
    // what was hidden on the way, as "More pictures" is once all are there, need not be reached
    missed: tour.wanted.filter((_, place) => !tour.reached.has(place) && tour.stops[place].checkVisibility()),
    unseen: tour.unseen, outside: tour.outside,
    wanted: tour.wanted.length,
})"""


_ROUNDS = 4  # a list that grows as it is gone along has the rest of the page behind more stops than there were at first
_MORE = 10  # what scrolls is a stop of its own in some browsers; and round the end of a dialog


def walked(page: Page, within: str) -> dict[str, Any]:
    """Press Tab from beginning to end: what was not reached, where the focus was not seen, what lies outside."""
    count = page.evaluate(f"(within) => ({_LISTEN})(({_STOPS})(within))", within)
    dialog = page.locator("dialog[open]").count()
    for presses in (count + _MORE if dialog else count, *[_MORE, count] * _ROUNDS):
        for _ in range(presses):
            page.keyboard.press("Tab")
        found: dict[str, Any] = page.evaluate(_FOUND)
        if not found["missed"]:
            break
    return found


def reaches_everything(page: Page, within: str = "body") -> int:
    """How many controls there are in a part of the page, behind where the focus is; all of them are reached, and the
    focus is seen on each.
    """
    found = walked(page, within)
    assert (found["missed"], found["unseen"], found["outside"]) == ([], [], []), (page.url, found)
    return int(found["wanted"])
