"""The OpenAPI document taken at its word: requests that follow it and requests that break it, to every operation.

Schemathesis makes the requests and compares each answer with what is documented: status, content type, body, headers.
The interfaces of other programs ignore on purpose what they do not understand, so there alone a request that breaks
the document may be accepted.
"""

from __future__ import annotations

import logging
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import schemathesis
from schemathesis.core.transport import Response
from schemathesis.engine import events, from_schema

from bonsai_mlx.hub.location import cache_folder
from tests.server.conftest import ROOT

from ._live import live_server
from .case import Case, Figures

log = logging.getLogger(__name__)

_LENIENT = ["openai", "ollama", "sdapi"]
_LEAK = re.compile(rb"Traceback|/Users/|/home/|site-packages|\b0x[0-9a-f]{6,}")
# what is told on purpose: where a checkpoint lies, and how this program is called from a shell that does not find it
_TOLD = re.compile(b"|".join(re.escape(str(path).encode()) for path in (ROOT, Path(sys.prefix), cache_folder())))
_ACCEPTED = ["2XX", "3XX", "401", "403", "404", "409", "429", "5XX"]  # of valid requests, as by default
_WITH_INPUT = 50  # operations, about, that take any
_THOROUGH = 1_000
_TAKE_PICTURES = [
    "/inputs",
    "/metadata",
    "/v1/images/edits",
    "/v1/images/variations",
    "/api/v1/images/edits",
    "/api/v1/images/variations",
    "/api/v1/images/upscale",
    "/api/generate",
    "/sdapi/v1/img2img",
    "/sdapi/v1/extra-single-image",
    "/sdapi/v1/extra-batch-images",
]
_NAME_PICTURES = [
    *("/edit", "/generate", "/generate/compare", "/jobs", "/enlarge", "/jobs/enlarge"),
    *("/grids", "/grids/plan", "/pipelines", "/pipelines/run", "/pipelines/{name}"),
    *("/encode", "/decode", "/models/{name}/download"),  # what a model can be made from
    *("/images", "/styles"),  # a place in the list that is a time, the name of a style that is there
]
_TWINS = [  # of addresses with the same body: the ordinary test run leaves them out
    *("/edit", "/generate/compare", "/grids/plan", "/jobs/enlarge", "/pipelines/{name}"),
    *("/api/v1/images/generations", "/api/v1/images/edits", "/api/v1/images/variations", "/sdapi/v1/img2img"),
]
_ALIKE = ["/generate", "/prompts/length", "/grids", "/pipelines/run"]  # /jobs has what theirs hold, and is broken too
_OF_A_KIND = 3  # in the ordinary test run: so many of those that differ in a value alone
_SERVER_FAILURES = {500, 501, 502, 504}  # 503 and 507 are documented: shutting down, no space or memory left


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """At least `rounds` requests: the document's edges first; when many are wanted, random ones and sequences too."""
    seen: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    examples = max(1, rounds // _WITH_INPUT)
    with live_server(folder) as server, _no_proxies():
        while seen["requests"] < rounds and not seen["errors"]:
            schema = schemathesis.openapi.from_url(
                f"{server.url}/openapi.json",
                config=_config(rng.randrange(2**31), examples, thorough=rounds >= _THOROUGH),
            )
            if rounds < _THOROUGH:
                schema.hook(_few_of_a_kind())
            for event in from_schema(schema).execute():
                _note(event, seen, problems)
        health = server.client.get("/health").status_code
    for problem, count in problems.most_common(20):
        log.warning("%d times: %s", count, problem)
    return {
        **{name: seen[name] for name in ("requests", "server_errors", "violations", "cors_headers", "leaks", "errors")},
        "operations": sum(name.startswith("operation ") for name in seen),
        "alive": float(health == 200),
    }


@contextmanager
def _no_proxies() -> Iterator[None]:
    """Without the search for a proxy, and for a password, before each request: a sixth of the time."""
    with (
        patch("requests.sessions.get_environ_proxies", return_value={}),
        patch("requests.sessions.get_netrc_auth", return_value=None),
    ):
        yield


def _few_of_a_kind() -> Callable[[schemathesis.HookContext, schemathesis.Case[Any]], bool]:
    """Whether a request is among the first that keep, or break, a word of the document for a field of an operation."""
    taken: Counter[tuple[object, ...]] = Counter()

    def filter_case(_context: schemathesis.HookContext, case: schemathesis.Case[Any]) -> bool:
        assert case.meta is not None
        about: Any = case.meta.phase.data
        field = (about.parameter_location, about.parameter, about.location)
        kind = (case.operation.label, case.meta.generation.mode, about.scenario, *field)
        taken[kind] += 1
        return taken[kind] <= (_OF_A_KIND if about.location is None else 1)

    return filter_case


def _config(seed: int, examples: int, *, thorough: bool) -> schemathesis.Config:
    lenient = {"include-tag": _LENIENT, "checks": {"negative_data_rejection": {"enabled": False}}}
    # that base64 is a picture, or that two numbers have a bounded product, is nothing that a schema can say
    unsayable = {
        "include-path": ["/sdapi/v1/png-info", "/sdapi/v1/txt2img", *_TAKE_PICTURES],
        "checks": {
            "negative_data_rejection": {"enabled": False},
            "positive_data_acceptance": {"expected-statuses": [*_ACCEPTED, "400", "422"]},
        },
    }
    # nor that an id is one of a picture that is there, and can be changed so, or that braces, steps, codes are whole
    named = {
        "include-path": _NAME_PICTURES,
        "checks": {"positive_data_acceptance": {"expected-statuses": [*_ACCEPTED, "422"]}},
    }
    # of the words of a request that is still being written the rest says nothing
    unfinished = {"include-path": "/prompts/length", "checks": {"negative_data_rejection": {"enabled": False}}}
    # a job is there before its first preview is
    preview = {"include-path": "/jobs/{job_id}/preview", "checks": {"ensure_resource_availability": {"enabled": False}}}
    twins = {"include-path": _TWINS, "enabled": thorough}
    alike = {"include-path": _ALIKE, "generation": {"mode": "all" if thorough else "positive"}}
    return schemathesis.Config.from_dict(
        {
            "seed": seed,
            "max-stream-events": 1,
            "request-timeout": 30,
            "continue-on-failure": True,
            "warnings": False,
            "generation": {"mode": "all", "max-examples": examples, "no-shrink": True},
            "operations": [unsayable, lenient, named, unfinished, preview, twins, alike],
            "phases": {
                "examples": {"enabled": thorough},
                "fuzzing": {"enabled": thorough},
                "stateful": {"enabled": thorough},
                "coverage": {} if thorough else {"unexpected-methods": []},
            },
        }
    )


def _note(event: events.EngineEvent, seen: Counter[str], problems: Counter[str]) -> None:
    if isinstance(event, events.NonFatalError | events.FatalError):
        seen["errors"] += 1
        problems[f"{event!r:.300}"] += 1
    if not isinstance(event, events.ScenarioFinished):
        return
    seen[f"operation {event.label}"] += event.label is not None
    for interaction in event.recorder.interactions.values():
        seen["requests"] += 1
        for name in _wrongs(interaction.response):
            seen[name] += 1
            problems[f"{name}: {event.label}"] += 1
    for failure in _failures(event):
        seen["violations"] += 1
        problems[failure] += 1


def _wrongs(response: Response | None) -> Iterator[str]:
    """What no answer may be, whatever is documented."""
    if response is None or response.status_code in _SERVER_FAILURES:
        yield "server_errors"
    if response is None:
        return
    if any(name.startswith("access-control-") for name in response.headers):
        yield "cors_headers"
    if response.content and _LEAK.search(_TOLD.sub(b"", response.content)) and not _is_picture(response):
        yield "leaks"


def _is_picture(response: Response) -> bool:
    return any(value.startswith("image/") for value in response.headers.get("content-type", []))


def _failures(event: events.ScenarioFinished) -> Iterator[str]:
    checks: list[Any] = [check for found in event.recorder.checks.values() for check in found]
    for check in checks:
        if check.failure_info is not None:
            failure = check.failure_info.failure
            yield f"{event.label}: {check.name}: {failure.message[:200]} <- {check.failure_info.code_sample[:200]}"


CASE = Case(
    name="schema",
    what="requests that follow and break the OpenAPI document, every answer compared with it",
    rounds=5_000,
    reduced=100,
    bars={
        "server_errors": "== 0",
        "violations": "== 0",
        "cors_headers": "== 0",
        "leaks": "== 0",
        "errors": "== 0",
        "operations": ">= 75",
        "alive": "== 1",
    },
    run=run,
)
