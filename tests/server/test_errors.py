import contextlib
import gzip
import json
import socket
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import httpx
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
from bonsai_mlx.hub.location import cached_location
from server.compat.failing import as_api_error
from server.errors import Code, ErrorDetail, error_response, from_bonsai, from_index
from server.store import NAME
from tests.server.conftest import LiveServer

GZIPPED = gzip.compress(b'{"prompt": "a"}', mtime=0)  # the same at every collection


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
        (sqlite_error(sqlite3.OperationalError, sqlite3.SQLITE_ERROR), 500, "failed", "is damaged"),
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_wrong_method_is_told_the_right_ones(shared: LiveServer) -> None:
    for path, methods in {
        "/jobs": "DELETE, GET, HEAD, POST",
        f"/images/{'0' * 32}": "DELETE, GET, HEAD, PATCH",
        f"/images/{'0' * 32}.png": "GET, HEAD",
        "/gallery": "GET, HEAD",
    }.items():
        response = shared.client.request("PUT", path)
        assert (response.status_code, response.headers["allow"]) == (405, methods)
        assert response.json()["error"]["code"] == "bad_request"
        assert response.json()["error"]["message"] == f"This address answers to {methods}."


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
    location = cached_location(entry.repo or "", entry.revision)
    location.root.mkdir(parents=True)
    with location.lock():
        response = shared.client.delete("/models/ternary")
    assert response.status_code == 409
    error = response.json()["error"]
    assert (error["code"], error["remedy"]) == ("conflict", "Wait until it has finished, then try again.")
    assert str(tmp_path) not in response.text
    assert shared.client.delete("/models/ternary").status_code == 200


# in the language of the caller


OPENAI, A1111, OLLAMA, NATIVE = "OpenAI", "A1111", "Ollama", "native"


def told(response: httpx.Response, language: str) -> str:
    """The words of an error, which has to have the shape of that interface."""
    body = response.json()
    if language == A1111:
        assert body.keys() == {"error", "detail", "body", "errors"}
        return str(body["detail"])
    if language == OLLAMA:
        assert [type(value) for value in body.values()] == [str]
        return str(body["error"])
    keys = {OPENAI: {"message", "type", "param", "code"}}.get(language, set(ErrorDetail.model_fields))
    assert body["error"].keys() == keys
    if language == OPENAI:
        assert response.headers["x-should-retry"] == "false"  # another attempt would only repeat it
    return str(body["error"]["message"])


@pytest.mark.parametrize(
    ("method", "path", "language", "words"),
    [
        ("POST", "/v1/chat/completions", OPENAI, "There is no chat here; this server draws pictures"),
        ("POST", "/v1/responses", OPENAI, "There is no chat here"),
        ("POST", "/v1/embeddings", OPENAI, "There is no embedding of texts here"),
        ("POST", "/v1/audio/speech", OPENAI, "There is no speech here"),
        ("GET", "/v1", OPENAI, "POST /v1/images/generations"),
        ("GET", "/v1/nothing", OPENAI, "There is nothing at this address"),
        ("POST", "/api/v1/chat/completions", OPENAI, "POST /api/v1/images/generations"),
        ("GET", "/v1/images/generations", OPENAI, "This address answers to OPTIONS, POST."),
        ("POST", "/api/chat", OLLAMA, "There is no chat here; this server draws pictures, with POST /api/generate."),
        ("POST", "/api/embed", OLLAMA, "There is no embedding of texts here"),
        ("POST", "/api/pull", OLLAMA, "`bonsai-mlx download`"),
        ("DELETE", "/api/delete", OLLAMA, "page Models"),
        ("GET", "/api/nothing", OLLAMA, "There is nothing at this address"),
        ("PUT", "/api/generate", OLLAMA, "This address answers to POST."),
        ("GET", "/sdapi/v1/nothing", A1111, "POST /sdapi/v1/txt2img"),
        ("GET", "/sdapi/v1/txt2img", A1111, "This address answers to POST."),
        ("POST", "/sdapi/v1/samplers", A1111, "This address answers to GET, HEAD."),
        ("GET", "/v1x/chat", NATIVE, "There is nothing at this address."),
        ("GET", "/nothing", NATIVE, "There is nothing at this address."),
    ],
)
def test_an_address_that_leads_nowhere_says_so_in_the_language_of_its_interface(
    shared: LiveServer, method: str, path: str, language: str, words: str
) -> None:
    response = shared.client.request(method, path, json={"model": "x"} if method == "POST" else None)
    assert response.status_code == (405 if "answers to" in words else 404)
    assert words in told(response, language)


BELOW = {
    "/v1/images/generations": OPENAI,
    "/v1/models/none": OPENAI,
    "/api/v1/chat/completions": OPENAI,
    "/sdapi/v1/txt2img": A1111,
    "/sdapi/nothing": A1111,
    "/api/generate": OLLAMA,
    "/api/nothing": OLLAMA,
    "/jobs": NATIVE,
}


def test_the_door_refuses_in_the_language_of_the_interface(serve: Callable[..., LiveServer]) -> None:
    live = serve(token="a-long-secret-of-16", max_body_bytes=1_000, body_timeout_s=0.2)  # noqa: S106
    own = {"Authorization": "Bearer a-long-secret-of-16"}
    for path, language in BELOW.items():
        bare = live.client.post(path, json={})
        assert (bare.status_code, bare.headers["www-authenticate"]) == (401, "Bearer"), path
        assert "token is needed" in told(bare, language)
        foreign = live.client.post(path, json={}, headers=own | {"Origin": "https://evil.example"})
        assert (foreign.status_code, "other websites" in told(foreign, language)) == (403, True), path
        if path == "/api/generate":  # where a body may hold pictures
            continue
        large = live.client.post(path, content=b"x" * 2_000, headers=own)
        assert (large.status_code, "1000 bytes" in told(large, language)) == (413, True), path


@pytest.mark.slow
def test_a_body_that_does_not_arrive_is_told_so_in_the_language_of_the_interface(
    serve: Callable[..., LiveServer],
) -> None:
    live = serve(body_timeout_s=0.2)
    for path, language in {**BELOW, "/generate": NATIVE}.items():
        if "nothing" in path or "chat" in path or "none" in path:
            continue  # whose bodies nobody waits for
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        with socket.create_connection(("127.0.0.1", live.port)) as connection:
            connection.sendall(head.encode())
            answer = b"".join(iter(lambda c=connection: c.recv(4_096), b""))
        top, _, body = answer.partition(b"\r\n\r\n")
        assert b" 408 " in top.splitlines()[0], path
        headers = {"x-should-retry": "false"} if b"x-should-retry: false" in top else {}
        assert "did not arrive" in told(httpx.Response(408, headers=headers, content=body), language)


def test_what_goes_wrong_inside_is_told_in_the_language_of_the_interface(
    serve: Callable[..., LiveServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    live = serve()

    def broken(*_arguments: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(live.studio.models, "default", broken)
    for path, language in {"/v1/models": OPENAI, "/sdapi/v1/options": A1111, "/api/tags": OLLAMA}.items():
        response = live.client.get(path)
        assert response.status_code == 500
        assert "inside the server" in told(response, language)
        assert "secret" not in response.text


FORM = b'--edge\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na fox\xff\r\n--edge--\r\n'
PARSERS = {"/v1/images/generations": OPENAI, "/sdapi/v1/txt2img": A1111, "/api/generate": OLLAMA, "/jobs": NATIVE}


@pytest.mark.parametrize(
    ("content", "headers", "status", "words"),
    [
        ('{"prompt": "café"}'.encode("latin-1"), {}, None, "The body is not UTF-8: byte 0xe9 at 15"),
        ('{"prompt": "café"}'.encode("latin-1"), {"Content-Type": "application/json; charset=latin-1"}, None, "UTF-8"),
        (GZIPPED, {"Content-Encoding": "gzip"}, 415, "The body is compressed (gzip)"),
        (GZIPPED, {}, 415, "The body is compressed (gzip)"),
        (GZIPPED, {"Content-Type": "text/plain"}, 415, "The body is compressed (gzip)"),
        (zlib.compress(b'{"prompt": "a"}'), {"Content-Encoding": "deflate"}, 415, "compressed (deflate)"),
        (b'{"prompt": }', {}, None, "The body is not valid JSON."),
        (b"[" * 100_000, {}, None, "The body is nested too deeply."),
        (FORM, {}, None, "The body is a form"),
        (FORM, {"Content-Type": "multipart/form-data; boundary=edge"}, None, "form"),
    ],
)
def test_bodies_that_cannot_be_read_are_told_why(
    shared: LiveServer, content: bytes, headers: dict[str, str], status: int | None, words: str
) -> None:
    for path, language in PARSERS.items():
        response = shared.client.post(path, content=content, headers={"Content-Type": "application/json"} | headers)
        assert response.status_code == status or (status is None and response.status_code in (400, 422))
        assert words in told(response, language)


# in our words


def test_what_is_wrong_with_an_address_is_told_in_our_words(shared: LiveServer) -> None:
    for query in ("limit=x", "limit=0", "limit=201", "status=odd", "cursor=!", "favourite=perhaps", "group=1"):
        answers = [shared.client.get(f"{path}?{query}") for path in ("/jobs", "/images")]
        errors = [answer.json()["error"] for answer in answers if answer.status_code == 422]
        assert errors, query
        for error in errors:
            assert error["field"] == query.partition("=")[0]
            assert error["message"].startswith((f"{error['field']} has to be", f"{error['field']} is not of the right"))


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "field", "message", "remedy"),
    [
        ({"seed": -1}, "seed", "seed has to be at least 0, not -1.", "Leave it out for a random one."),
        ({"prompt": ["a"]}, "prompt", "The prompt has to be text, not a list.", "Describe the picture"),
        ({"prompt": 7}, "prompt", "The prompt has to be text, not a number.", "Describe the picture"),
        ({"prompt": " "}, "prompt", "The prompt is empty.", "Describe the picture"),
        ({"prompt": ...}, "prompt", "The prompt is missing.", "Describe the picture"),
        ({"width": 100}, "width", "width 100 is not a multiple of 16; 96 and 112 are.", ""),
        ({"width": "64"}, "width", 'width has to be a whole number, not "64".', ""),
        ({"stpes": 4}, "stpes", 'There is no field "stpes" here.', "Did you mean steps?"),
        ({"Seed": 4}, "Seed", 'There is no field "Seed" here.', "Did you mean seed?"),
        ({"num_inference_steps": 4}, "num_inference_steps", "There is no field", "Did you mean steps?"),
        ({"n": 2}, "n", 'There is no field "n" here.', "Did you mean count?"),
        ({"negative_prompt": "x"}, "negative_prompt", "the model is distilled and follows no", ""),
        ({"size": "64x64"}, "size", "There is no field", "Use width and height."),
        ({"zzz": 1}, "zzz", "There is no field", "There are prompt, seed, steps, width"),
        ({"compare": True, "count": 2}, "count", "A comparison is one pair; leave count out.", ""),
    ],
)
def test_a_wrong_field_is_told_what_to_do_instead(
    shared: LiveServer, body: dict[str, Any], field: str, message: str, remedy: str
) -> None:
    sent = {name: value for name, value in ({"prompt": "a"} | body).items() if value is not ...}
    response = shared.client.post("/jobs", json=sent)
    error = response.json()["error"]
    assert (response.status_code, error["field"]) == (422, field)
    assert error["message"].startswith(message)
    assert (error["remedy"] or "").startswith(remedy)


def test_an_address_beside_ids_names_its_own_methods(shared: LiveServer) -> None:
    answer = shared.client.request("DELETE", "/images/ids")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
