import contextlib
import json
import sqlite3
from pathlib import Path
from typing import get_args

import pytest
from huggingface_hub import constants

from bonsai_mlx.errors import (
    BonsaiError,
    CheckpointError,
    CheckpointInUse,
    DeviceError,
    DownloadError,
    OutOfMemory,
    RequestError,
)
from bonsai_mlx.hub.catalog import lookup
from bonsai_mlx.hub.store import cache_store
from server.compat.base import as_api_error
from server.errors import Code, ErrorDetail, error_response, from_bonsai, from_index
from server.store import NAME
from tests.server.conftest import LiveServer


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RequestError("width", "is odd"), 422, "bad_field"),
        (OutOfMemory("too large"), 507, "out_of_memory"),
        (CheckpointError("not here"), 409, "model_missing"),
        (DownloadError("no network"), 500, "failed"),
        (CheckpointInUse("/somewhere: wait for it"), 409, "conflict"),
        (DeviceError("it stopped the work"), 500, "failed"),
    ],
)
def test_the_engines_errors_become_answers(error: BonsaiError, status: int, code: str) -> None:
    mapped = from_bonsai(error)
    assert (mapped.status, mapped.detail.code) == (status, code)
    assert code in get_args(Code)


def sqlite_error(kind: type[sqlite3.Error], code: int) -> sqlite3.Error:
    error = kind("what SQLite says")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "status", "code", "words"),
    [
        (sqlite_error(sqlite3.OperationalError, sqlite3.SQLITE_BUSY_SNAPSHOT), 503, "conflict", "another program"),
        (sqlite_error(sqlite3.OperationalError, sqlite3.SQLITE_FULL), 507, "disk_full", "disk is full"),
        (sqlite_error(sqlite3.OperationalError, sqlite3.SQLITE_IOERR_WRITE), 507, "disk_full", "disk is full"),
        (sqlite_error(sqlite3.DatabaseError, sqlite3.SQLITE_CORRUPT_INDEX), 500, "failed", "is damaged"),
    ],
)
def test_failures_of_the_index_have_one_reason_everywhere(
    error: sqlite3.Error, status: int, code: str, words: str
) -> None:
    for mapped in (from_index(error), as_api_error(error)):
        assert mapped is not None
        assert (mapped.status, mapped.detail.code) == (status, code)
        assert words in mapped.detail.message
        assert mapped.detail.remedy


def test_our_own_mistakes_with_the_index_go_to_the_log() -> None:
    error = sqlite3.ProgrammingError("Cannot operate on a closed database.")
    assert from_index(error) is None
    assert as_api_error(error).detail.code == "failed"


def test_an_index_that_another_program_holds(live: LiveServer) -> None:
    with contextlib.closing(sqlite3.connect(live.settings.output / NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for path in ("/jobs", "/v1/images/generations", "/sdapi/v1/txt2img", "/api/generate"):
            response = live.client.post(path, json={"prompt": "a"})
            assert response.status_code == 503, path
            assert "another program" in response.text
        assert live.client.get("/health").status_code == 200
        other.execute("ROLLBACK")
    assert live.client.post("/jobs", json={"prompt": "a"}).status_code == 202


def test_retry_after_is_at_least_a_second() -> None:
    for wait, header in [(0.01, "1"), (1.2, "2"), (60, "60")]:
        response = error_response(429, ErrorDetail(code="queue_full", message="Full.", retry_after_s=wait))
        assert response.headers["retry-after"] == header
    plain = error_response(404, ErrorDetail(code="not_found", message="No."))
    assert "retry-after" not in plain.headers
    assert json.loads(bytes(plain.body)) == {
        "error": {"code": "not_found", "message": "No.", "field": None, "remedy": None, "retry_after_s": None}
    }


def test_a_wrong_method_is_told_the_right_ones(shared: LiveServer) -> None:
    for path, methods in {
        "/jobs": "DELETE, GET, POST",
        f"/images/{'0' * 32}": "DELETE, GET, PATCH",
        f"/images/{'0' * 32}.png": "GET",
        "/gallery": "GET, HEAD",
    }.items():
        response = shared.client.request("PUT", path)
        assert (response.status_code, response.headers["allow"]) == (405, methods)
        assert response.json()["error"]["code"] == "bad_request"


@pytest.mark.parametrize("path", ["/generate", "/jobs"])
@pytest.mark.parametrize("sent_as", ["application/x-www-form-urlencoded", "Text/Plain; charset=utf-8", ""])
def test_json_that_is_sent_as_something_else_is_told_so(shared: LiveServer, path: str, sent_as: str) -> None:
    """As curl does with `-d` alone."""
    response = shared.client.post(path, content=b'{"prompt": "x"}', headers={"Content-Type": sent_as})
    assert response.status_code == 422
    error = response.json()["error"]
    assert error["field"] == "Content-Type"
    assert sent_as.partition(";")[0].lower() in error["message"]
    assert "-H 'Content-Type: application/json'" in error["remedy"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "There is no body."),
        (b"null", "The body has to be a JSON object."),
        (b"[]", "The body has to be a JSON object."),
        (b'"x"', "The body has to be a JSON object."),
        (b"{", "The body is not valid JSON."),
    ],
)
@pytest.mark.parametrize("sent_as", ["application/json", "Application/JSON; charset=utf-8", "application/ld+json"])
def test_bodies_that_are_no_object_are_told_so(shared: LiveServer, content: bytes, message: str, sent_as: str) -> None:
    response = shared.client.post("/jobs", content=content, headers={"Content-Type": sent_as})
    assert (response.status_code, response.json()["error"]["message"]) == (422, message)


def test_a_checkpoint_that_another_program_downloads_is_not_deleted(
    shared: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    entry = lookup("ternary")
    store = cache_store(entry.repo or "", entry.revision)
    store.root.mkdir(parents=True)
    with store.lock():
        response = shared.client.delete("/models/ternary")
    assert response.status_code == 409
    error = response.json()["error"]
    assert (error["code"], error["remedy"]) == ("conflict", "Wait until it has finished, then try again.")
    assert str(tmp_path) not in response.text
    assert shared.client.delete("/models/ternary").status_code == 200
