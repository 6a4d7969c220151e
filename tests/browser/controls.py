"""Every control of a page by a name of its own, found in the page itself: what is new there is missing in a table."""

from __future__ import annotations

from playwright.sync_api import Page

# What can be pressed, chosen, typed into or followed, also while it is hidden. Header, banner, memory and help, which
# every page has, are asked for by themselves.
_FIND = """([frame, editor]) => {
    const kinds = [["[data-copy]", "copy"], ["#collections a", "collection"],
                   [".style-chip", "style"], [".chip:not([aria-label], [id])", "example"],
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
        if (element.matches("summary")) return `${place} summary`;
        if (element.querySelector("img")) return `${place} picture`;
        const words = element.getAttribute("aria-label") ?? element.textContent.trim();
        return `${place} ${words.replace(/ “.*”/, "")}`.trim();
    };
    const all = [...document.querySelectorAll("a[href], button, input, select, textarea, summary")];
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
    return set(page.evaluate(_FIND, [frame, editor]))
