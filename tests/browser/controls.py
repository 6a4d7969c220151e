"""Every control of a page by a name of its own, found in the page itself: what is new there is missing in a table."""

from __future__ import annotations

from playwright.sync_api import Page

# What can be pressed, chosen, typed into or followed, also while it is hidden. Header, banner, memory and help, which
# every page has, are asked for by themselves.
_LOOKS = 100  # of a tenth of a second: a busy machine imports late
_FIND = """([frame, editor, root]) => {
    const kinds = [["[data-copy]", "copy"], ["#collections a", "collection"],
                   [".style-chip", "style"], [".proposal", "proposal"], [".kept", "kept prompt"],
                   [".choice", "choice"], [".chip:not([aria-label], [id])", "example"],
                   [".guide summary", "guide"],
                   [".queue-prompt", "queue prompt"], [".queue [aria-label^=Cancel]", "queue cancel"],
                   [".queue [aria-label^=Earlier]", "queue earlier"], [".queue [aria-label^=Later]", "queue later"]];
    const tile = (element) => `tile ${element.getAttribute("aria-label").split(",")[0]}`;
    const name = (element) => {
        const kind = kinds.find(([selector]) => element.matches(selector));
        if (kind) return kind[1];
        if (element.matches(".frame-tools *")) return tile(element);
        if (element.type === "radio") return `${element.name}=${element.value}`;
        if (element.id) return `#${element.id}`;
        const place = element.closest("[id]:not(main, dialog, .settings-body *)")?.id ?? "";
        if (element.matches("summary")) return `${place} summary`.trim();
        if (element.querySelector("img")) return `${place} picture`;
        const label = element.labels?.[0]?.querySelector(".label")?.textContent;
        const words = element.getAttribute("aria-label") ?? label ?? element.textContent.trim();
        return `${place} ${words.replace(/ “.*”/, "")}`.trim();
    };
    const kinds_of = "a[href], button, input, select, textarea, summary";
    if (root) return [...new Set([...document.querySelectorAll(`${root} :is(${kinds_of})`)].map(name))];
    const all = [...document.querySelectorAll(kinds_of)];
    const inFrame = (element) => Boolean(element.closest(".header, .banner, #machine, #help-dialog, .skip"));
    const inEditor = (element) => Boolean(element.closest("#editor, #editor-fields, #workbench"));
    const wanted = all.filter((element) =>
        inFrame(element) === frame && inEditor(element) === editor && !element.closest(".toasts"));
    return [...new Set(wanted.map(name))];
}"""


def controls_of(page: Page, *, frame: bool = False, editor: bool = False) -> set[str]:
    """Names of the controls of what the page shows now; with `frame`, of its header, banner and help instead, and with
    `editor`, of what edits a picture.
    """
    return set(page.evaluate(_FIND, [frame, editor, None]))


def expect_controls(page: Page, root: str, names: set[str]) -> None:
    """One part of the page, a panel or a dialog, has these controls once its script is there and has filled it."""
    for _ in range(_LOOKS):
        found = set(page.evaluate(_FIND, [False, False, root]))
        if found == names:
            return
        page.wait_for_timeout(100)
    assert found == names
