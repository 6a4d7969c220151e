"""The application put together: which interface a path belongs to, what is cached, what starts and ends with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from server.app import create_app
from server.assets.files import version_of
from server.errors import ErrorDetail, interface_of
from server.gallery.files import FolderInUseError, lock_folder
from server.interfaces.on_demand import INTERFACES
from server.interfaces.routers import RENDERED, ROUTERS
from server.settings import Settings
from tests.server.conftest import QUICK, LiveServer
from tests.server.walk import walk


def test_unsafe_options_are_refused_before_anything_is_served() -> None:
    with pytest.raises(ValueError, match="set a token"):
        create_app(Settings(host="0.0.0.0"))  # noqa: S104


def test_every_path_of_another_program_belongs_to_its_interface() -> None:
    app = create_app(Settings())
    modules = {f"{prefix}{router.prefix}" for prefix, router in ROUTERS}
    for _, path in walk(app):
        foreign = any(path.startswith(f"{prefix}/") for prefix in modules)
        found = interface_of({"type": "http", "app": app, "path": path})
        assert (found is not None) == foreign, path
    renders = {one.prefix: RENDERED[one.prefix] for one in INTERFACES}
    assert renders["/v1"] is renders["/api/v1"]
    assert len(set(renders.values())) == 3
    for prefix, render in renders.items():
        found = interface_of({"app": app, "path": f"{prefix}/x"})
        assert found is not None
        detail = ErrorDetail(code="bad_field", message="No.")
        assert found.render(422, detail).body == render(422, detail).body


@pytest.mark.slow
def test_a_start_imports_what_the_first_page_asks_for_alone(tmp_path: Path) -> None:
    late = ("server.compat.openai", "server.compat.sdapi", "server.routes.pipelines", "server.routes.codes", "filelock")
    script = (
        "import sys; from server.app import create_app; from server.settings import Settings; create_app(Settings());"
        f"print([name for name in sys.modules if name.startswith({late})])"
    )
    environment = os.environ | {"BONSAI_OUTPUT": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_path_that_no_early_router_has_is_answered_at_the_first_request(tmp_path: Path) -> None:
    for number, (method, path, status) in enumerate(
        [("GET", "/styles", 200), ("POST", "/images/favourite", 422), ("GET", "/nowhere", 404), ("PUT", "/jobs", 405)]
    ):
        with LiveServer(Settings(**(QUICK | {"output": tmp_path / str(number)}))) as live:
            assert live.client.request(method, path).status_code == status, path


@pytest.mark.parametrize(
    ("path", "prefix"),
    [("/v1", "/v1"), ("/v1/x", "/v1"), ("/v1x", None), ("/api/v1/x", "/api/v1"), ("/api/v12", "/api"), ("/", None)],
)
def test_a_prefix_ends_at_a_slash(path: str, prefix: str | None) -> None:
    found = interface_of({"app": create_app(Settings()), "path": path})
    assert (found.prefix if found else None) == prefix


def test_a_shipped_file_is_kept_for_ever_under_the_address_of_its_content(shared: LiveServer) -> None:
    name = "favicon.svg"
    current = shared.client.get(f"/static/{name}?v={version_of(name)}")
    assert current.headers["cache-control"] == "public, max-age=31536000, immutable"
    for query in ("", "?v=", "?v=older", "?v=..%2f"):
        assert shared.client.get(f"/static/{name}{query}").headers["cache-control"] == "no-cache", query


def test_a_shipped_text_travels_packed_where_that_is_understood(shared: LiveServer) -> None:
    plain = shared.client.get("/static/js/lib/dom.js", headers={"Accept-Encoding": "identity"})
    packed = shared.client.get("/static/js/lib/dom.js", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert packed.content == plain.content
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    again = {"Accept-Encoding": "gzip", "If-None-Match": packed.headers["etag"]}
    assert shared.client.get("/static/js/lib/dom.js", headers=again).status_code == 304
    assert "content-encoding" not in shared.client.get("/static/favicon.png").headers


def test_the_parts_start_and_end_with_the_application(tmp_path: Path) -> None:
    with LiveServer(Settings(**(QUICK | {"output": tmp_path / "out"}))) as live:
        assert live.client.get("/health").status_code == 200
        with pytest.raises(FolderInUseError):
            lock_folder(tmp_path / "out")
    os.close(lock_folder(tmp_path / "out"))
    assert live.studio.engines.pids == []
