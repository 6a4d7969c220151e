"""A page's scripts in one request do what they do one by one."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from server.assets import files, scripts
from server.assets.files import STATIC, content, version_of

PAGES = sorted(path.stem for path in (STATIC / "js/pages").glob("*.js"))

# In the order in which a browser runs them: what is imported first, each once, the late one when it is asked for.
MODULES = {
    "js/pages/page.js": """\
import "../lib/first.js";
import { double as twice, Box } from "../lib/words.js";
import * as all from "../lib/words.js";
import {
  log,
} from "../lib/log.js";

/** @type {import("../lib/late.js").Late} of it nothing is run */
const late = /** @type {unknown} */ (1);
log(`page ${twice(21)} ${new Box(late).what} ${Object.keys(all).sort()} ${all.LIST}`);
export async function more() {
  const { said } = await import("../lib/late.js");
  log(said);
}
setTimeout(() => more().then(more));
""",
    "js/lib/first.js": 'import { log } from "./log.js";\nlog("first");\nconst log2 = 1;\n',
    "js/lib/words.js": """\
import { log } from "./log.js";

export const LIST = [1, 2];
export class Box {
  constructor(what) {
    this.what = what;
  }
}
export function double(number) {
  return number * unit();
}
const unit = () => 2;
export const half = (number) => number / unit();
log("words");
""",
    "js/lib/late.js": 'import { log } from "./log.js";\nlog("late");\nexport const said = "more";\n',
    "js/lib/log.js": "export const log = (words) => console.log(words);\n",
}
SAID = ["first", "words", "page 42 1 Box,LIST,double,half 1,2", "late", "more", "more"]
BROWSER = "globalThis.document = { hidden: true, documentElement: { dataset: {} } };\n"


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in MODULES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    monkeypatch.setattr(files, "STATIC", tmp_path)
    monkeypatch.setattr(files, "_second", itertools.count().__next__)  # time passes from look to look
    return tmp_path


def said_by(script: Path) -> list[str]:
    node = shutil.which("node")
    if node is None:
        if os.environ.get("CI") == "true":
            pytest.fail("node is needed to run a page's scripts")
        pytest.skip("no node here")
    done = subprocess.run([node, script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_together_they_run_as_they_do_one_by_one(shipped: Path) -> None:
    (shipped / "package.json").write_text('{"type": "module"}')
    assert said_by(shipped / "js/pages/page.js") == SAID
    together = shipped / "together.mjs"
    together.write_text(BROWSER + content("js/pages/page+.js").decode())
    assert said_by(together) == SAID


def test_the_address_names_the_content_of_all_of_them(shipped: Path) -> None:
    before = version_of("js/pages/page+.js")
    late = shipped / "js/lib/late.js"
    late.write_text(late.read_text().replace("more", "another"))
    assert version_of("js/pages/page+.js") != before
    assert '"another"' in content("js/pages/page+.js").decode()
    late.unlink()
    assert version_of("js/pages/page+.js") is None


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_left_to_be_fetched(page: str) -> None:
    text = content(f"js/pages/{page}+.js").decode()
    assert re.findall(r"^(?:import|export)\b.*|\bimport\(.*", text, re.MULTILINE) == []
    parts = re.findall(r"^// (js/.*)$", text, re.MULTILINE)
    assert len(parts) == len(set(parts)) == len(scripts.needed_by(STATIC / f"js/pages/{page}.js"))
    assert "js/pages/shell.js" in parts


def test_the_modules_are_written_as_they_are_read() -> None:
    for path in (STATIC / "js").rglob("*.js"):
        text = path.read_text("utf-8")
        assert not re.search(r"export (?:let|var|default|\*|\{(?!\};))|import\.meta|^await ", text, re.MULTILINE), path
        for note in re.finditer(r".?/\*\*", text):
            assert note[0][0] in "\n /([", f"{path}: a comment or a part of a text?"


def test_no_two_modules_need_each_other() -> None:
    needed = {path: scripts._IMPORT.findall(path.read_text("utf-8")) for path in (STATIC / "js").rglob("*.js")}
    graph = {path: {(path.parent / name).resolve() for _, name in names} for path, names in needed.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph)
