"""What the product's sources may not contain: code in data, the network outside its modules, markup from text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for folder in ("bonsai_mlx", "server") for path in (ROOT / folder).rglob("*.py"))
CLIENTS = {
    "requests",
    "httpx",
    "httpx2",
    "aiohttp",
    "urllib3",
    "http",
    "ftplib",
    "smtplib",
    "xmlrpc",
    "huggingface_hub",
}
FOLDERS = ("bonsai_mlx", "server", "scripts", "tests", "docs", "static")
NETWORK = {  # who may call other computers: the downloads, their library's settings, and the MCP server's own client
    "bonsai_mlx/runtime/environment.py",
    "bonsai_mlx/hub/removal.py",
    "bonsai_mlx/hub/life.py",
    "bonsai_mlx/hub/listing.py",
    "bonsai_mlx/hub/transfer.py",
    "server/mcp.py",
}
LOADERS = {
    "bonsai_mlx/upscaling/files.py",
    "bonsai_mlx/weights/source.py",
    "bonsai_mlx/writing/writer.py",
}  # who may open weights with MLX, after its own checks
CODE = {"eval", "exec", "compile", "__import__"}
CODE_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "torch", "yaml", "runpy", "code"}
CODE_CALLS = {"np.load", "numpy.load", "mx.load", "torch.load", "os.system", "os.popen"}
MARKUP = ("|safe", "| safe", "Markup(", "autoescape=False", "autoescape false")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST) -> Iterator[str]:
    """Every imported module, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def calls(tree: ast.AST) -> Iterator[str]:
    """Every called name, dotted as it is written."""
    return (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))


@pytest.mark.slow
def test_the_sources() -> None:
    assert len(SOURCES) > 80
    wrong = {name_of(path): found for path in SOURCES if (found := faults(path))}
    assert wrong == {}


def faults(path: Path) -> list[str]:
    """What a source may not contain and does."""
    source, name = path.read_text(), name_of(path)
    tree = ast.parse(source)
    modules, called = {*imports(tree)}, {*calls(tree)}
    roots = {module.split(".")[0] for module in modules}
    network = {root for root in roots & CLIENTS if root != "http"} | {*modules} & {"urllib.request", "http.client"}
    found = {
        *(network if name not in NETWORK else ()),
        *(roots & CODE_MODULES),
        *(called & CODE),
        *(called & CODE_CALLS - ({"mx.load"} if name in LOADERS else set())),
        *(word for word in (*MARKUP, "trust_remote_code", "shell=True") if word in source),
    }
    if "from_string(" in source and "ImmutableSandboxedEnvironment(" not in source:  # a checkpoint's chat template
        found.add("from_string")
    return sorted(found)


def test_only_the_engine_imports_by_name_and_never_what_a_client_says() -> None:
    """`importlib.import_module` takes the entry point of an option, in the child process alone."""
    users = [name_of(path) for path in SOURCES if "import_module" in path.read_text()]
    assert users == ["server/engine/child.py"]
    for path in (ROOT / "server/schemas").glob("*.py"):
        assert not re.search(r"\bengine\b\s*:", path.read_text()), path


def test_pages_load_nothing_from_elsewhere() -> None:
    for path in (*(ROOT / "static").rglob("*.css"), *(ROOT / "templates").rglob("*.html")):
        text = path.read_text().replace("http://www.w3.org/", "")
        assert not re.search(r"https?://|@import|url\(\s*['\"]?//", text), path


TIMED = re.compile(r"assert.*(perf_counter|process_time|thread_time|monotonic|performance\.now|time\.time\(\) *-)")


def test_no_test_asserts_how_fast_the_machine_is() -> None:
    """Times and ratios of times are measured by scripts/bench_*.py and scripts/stress.py."""
    tests = [
        path for kind in ("py", "mjs") for path in (ROOT / "tests").rglob(f"*.{kind}") if "stress" not in path.parts
    ]
    asserted = [f"{path}: {line}" for path in tests for line in path.read_text().splitlines() if TIMED.search(line)]
    assert [line for line in asserted if "TIMED" not in line] == []


def test_every_file_that_the_documents_name_is_there() -> None:
    """A path from the top, or the end of one: tables name a test by its file alone."""
    known = {f"/{name_of(path)}" for folder in FOLDERS for path in (ROOT / folder).rglob("*.*")}
    known |= {f"/{path.name}" for path in ROOT.iterdir()}
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    lost = {
        f"{document.name}: {name}"
        for document in documents
        for name in re.findall(r"(?<![\w./-])([\w./-]+\.(?:py|mjs|js|md))(?!\w)", document.read_text("utf-8"))
        if not any(path.endswith(f"/{name}") for path in known)
    }
    assert lost == set()
