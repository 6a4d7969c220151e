import json
from typing import get_args

import pytest

from bonsai_mlx.errors import BonsaiError, CheckpointError, DownloadError, OutOfMemory, RequestError
from server.errors import Code, ErrorDetail, error_response, from_bonsai


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RequestError("width", "is odd"), 422, "bad_field"),
        (OutOfMemory("too large"), 507, "out_of_memory"),
        (CheckpointError("not here"), 409, "model_missing"),
        (DownloadError("no network"), 500, "failed"),
    ],
)
def test_the_engines_errors_become_answers(error: BonsaiError, status: int, code: str) -> None:
    mapped = from_bonsai(error)
    assert (mapped.status, mapped.detail.code) == (status, code)
    assert code in get_args(Code)


def test_retry_after_is_at_least_a_second() -> None:
    for wait, header in [(0.01, "1"), (1.2, "2"), (60, "60")]:
        response = error_response(429, ErrorDetail(code="queue_full", message="Full.", retry_after_s=wait))
        assert response.headers["retry-after"] == header
    plain = error_response(404, ErrorDetail(code="not_found", message="No."))
    assert "retry-after" not in plain.headers
    assert json.loads(bytes(plain.body)) == {
        "error": {"code": "not_found", "message": "No.", "field": None, "remedy": None, "retry_after_s": None}
    }
