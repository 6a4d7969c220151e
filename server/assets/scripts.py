"""A page's script together with all that it imports, as one script.

Every module becomes a function that runs once, when the first of those that import it does, as a browser does with the
modules themselves. A late `import("./x.js")` waits no longer for the network, but still runs `x` no sooner. What is
written in the modules is bound to what is read here: imports and exports begin a line, nothing that is exported is
assigned to later, and no two modules need each other. `tests/server/assets/test_scripts.py` holds them to it.
"""

from __future__ import annotations

import re
from functools import cache
from os.path import normpath
from pathlib import Path

_NOTES = re.compile(r"/\*\*.*?\*/", re.DOTALL)  # types and the like, a fifth of all, which no browser reads
_IMPORT = re.compile(r'^import (?:(\{[^}]*\}|\* as \w+) from )?"(\.[^"]+)";$', re.MULTILINE)
_LATE = re.compile(r'\bimport\("(\.[^"]+)"\)')
_EXPORT = re.compile(r"^export ((?:async function|function|const|class) (\w+))", re.MULTILINE)
_ONCE = "const $once = (run, made) => () => (made ??= run());"
# Nobody waits for the page's first sight until it works: it comes first, where there is one and it is still to come.
_START = """\
const $start = () => $page() && (document.documentElement.dataset.started = "");
if (document.hidden || performance.getEntriesByName("first-paint").length) $start();
else {
  requestAnimationFrame(() => setTimeout($start));
  setTimeout($start, 250); // a window may be covered
}"""


@cache
def _read(path: Path, _modified_ns: int) -> str:
    return _NOTES.sub("", path.read_text("utf-8"))


def _text(path: Path) -> str:
    return _read(path, path.stat().st_mtime_ns)


@cache
def _imports(path: Path, _modified_ns: int) -> tuple[Path, ...]:
    text = _text(path)
    names = [name for _, name in _IMPORT.findall(text)] + _LATE.findall(text)
    return tuple(_path_of(name, path) for name in names)


def _path_of(name: str, importer: Path) -> Path:
    return Path(normpath(importer.parent / name))


def needed_by(page: Path) -> list[Path]:
    """The page's script and all scripts that it may come to need, each once."""
    found, waiting = {page: None}, [page]
    while waiting:
        path = waiting.pop()
        new = [one for one in _imports(path, path.stat().st_mtime_ns) if one not in found]
        found |= dict.fromkeys(new)
        waiting += new
    return list(found)


def joined(parts: list[Path], root: Path) -> str:
    """`parts` as `needed_by` has them; the first one is run."""
    names = {path: f"$module{number}" for number, path in enumerate(parts)}
    modules = [f"// {path.relative_to(root).as_posix()}\n{_module(path, names)}" for path in parts]
    return "\n".join([_ONCE, *modules, _START.replace("$page", names[parts[0]]), ""])


def _module(path: Path, names: dict[Path, str]) -> str:
    text = _text(path)
    exported = [name for _, name in _EXPORT.findall(text)]
    text = _IMPORT.sub(lambda found: _taken(found[1], f"{names[_path_of(found[2], path)]}()"), text)
    text = _LATE.sub(lambda found: f"Promise.resolve().then({names[_path_of(found[1], path)]})", text)
    text = _EXPORT.sub(r"\1", text)
    return f"const {names[path]} = $once(() => {{\n{text}\nreturn {{ {', '.join(exported)} }};\n}});"


def _taken(what: str | None, made: str) -> str:
    """`import {a, b as c} from "./x.js"` with `x` as an object."""
    if what is None:
        return f"{made};"
    bound = what.removeprefix("* as ") if what.startswith("*") else what.replace(" as ", ": ")
    return f"const {bound} = {made};"
