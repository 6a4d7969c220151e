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
NETWORK = {  # who may call other computers: the downloads, their library's settings, and the MCP server's own client
    "bonsai_mlx/runtime/environment.py",
    "bonsai_mlx/hub/delete.py",
    "bonsai_mlx/hub/session.py",
    "bonsai_mlx/hub/transfer.py",
    "server/mcp.py",
}
LOADERS = {"bonsai_mlx/flux2/checkpoint.py"}  # who may open weights with MLX, after its own checks
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


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_the_sources(path: Path) -> None:
    source = path.read_text()
    tree = ast.parse(source)
    modules, called = {*imports(tree)}, {*calls(tree)}
    roots = {module.split(".")[0] for module in modules}
    network = {root for root in roots & CLIENTS if root != "http"} | {*modules} & {"urllib.request", "http.client"}
    assert not network or name_of(path) in NETWORK
    assert not roots & CODE_MODULES
    assert not called & CODE
    assert not called & CODE_CALLS - ({"mx.load"} if name_of(path) in LOADERS else set())
    assert "trust_remote_code" not in source
    assert "shell=True" not in source
    assert not [word for word in MARKUP if word in source]
    assert "from_string(" not in source or "ImmutableSandboxedEnvironment(" in source  # a checkpoint's chat template


def test_only_the_engine_imports_by_name_and_never_what_a_client_says() -> None:
    """`importlib.import_module` takes the entry point of an option, in the child process alone."""
    users = [name_of(path) for path in SOURCES if "import_module" in path.read_text()]
    assert users == ["server/engine/child.py"]
    schemas = (ROOT / "server/schemas.py").read_text()
    assert not re.search(r"\bengine\b\s*:", schemas)


def test_pages_load_nothing_from_elsewhere() -> None:
    for path in (*(ROOT / "static").rglob("*.css"), *(ROOT / "templates").rglob("*.html")):
        text = path.read_text().replace("http://www.w3.org/", "")
        assert not re.search(r"https?://|@import|url\(\s*['\"]?//", text), path


TIMED = re.compile(r"assert.*(perf_counter|process_time|monotonic|performance\.now|time\.time\(\) *-)")


def test_no_test_asserts_how_fast_the_machine_is() -> None:
    """Times and ratios of times are measured by scripts/bench_*.py and scripts/stress.py."""
    tests = [
        path for kind in ("py", "mjs") for path in (ROOT / "tests").rglob(f"*.{kind}") if "stress" not in path.parts
    ]
    asserted = [f"{path}: {line}" for path in tests for line in path.read_text().splitlines() if TIMED.search(line)]
    assert [line for line in asserted if "TIMED" not in line] == []
