"""A crowd is worked on a few at a time, and only while nobody has to be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from server.edge.concurrency import ConcurrencyLimit

AT_ONCE = 2


class Works:
    """An application that reads the body, works for some turns of the loop, and counts who is in it meanwhile."""

    def __init__(self, fail: bool = False) -> None:
        self.inside = self.most = self.done = 0
        self.fail = fail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        self.inside += 1
        self.most = max(self.most, self.inside)
        for _ in range(3):
            await asyncio.sleep(0)
        self.inside -= 1
        self.done += 1
        if self.fail:
            raise RuntimeError("the application is broken")


async def ready() -> Message:
    return {"type": "http.request", "body": b"{}", "more_body": False}


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def broken() -> Message:
    raise ConnectionError("the caller has gone")


async def discard(message: Message) -> None:
    pass


def ask(app: Any, receive: Receive = ready, method: str = "POST", path: str = "/jobs") -> Awaitable[None]:
    call: Awaitable[None] = app({"type": "http", "method": method, "path": path}, receive, discard)
    return call


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 5))


def test_a_crowd_goes_in_a_few_at_a_time() -> None:
    async def test() -> None:
        works = Works()
        limit = ConcurrencyLimit(works, {"/jobs"}, AT_ONCE)
        await asyncio.gather(*(ask(limit) for _ in range(50)))
        assert (works.done, works.most) == (50, AT_ONCE)

    run(test)


@pytest.mark.parametrize(("method", "path"), [("GET", "/jobs"), ("POST", "/generate"), ("GET", "/")])
def test_others_pass_by(method: str, path: str) -> None:
    async def test() -> None:
        works = Works()
        limit = ConcurrencyLimit(works, {"/jobs"}, AT_ONCE)
        await asyncio.gather(*(ask(limit, method=method, path=path) for _ in range(20)))
        assert works.most == 20

    run(test)


def test_who_sends_slowly_takes_no_place() -> None:
    async def test() -> None:
        works = Works()
        limit = ConcurrencyLimit(works, {"/jobs"}, AT_ONCE)
        slow = [asyncio.ensure_future(ask(limit, never)) for _ in range(10)]
        await asyncio.sleep(0)
        await asyncio.gather(*(ask(limit) for _ in range(10)))
        assert works.done == 10
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        await asyncio.gather(*(ask(limit) for _ in range(10)))
        assert (works.done, works.most) == (20, AT_ONCE)

    run(test)


@pytest.mark.parametrize("receive", [broken, ready])
def test_a_failure_gives_the_place_back_once(receive: Receive) -> None:
    async def test() -> None:
        failing = Works(fail=True)
        limit = ConcurrencyLimit(failing, {"/jobs"}, AT_ONCE)
        await asyncio.gather(*(ask(limit, receive) for _ in range(10)), return_exceptions=True)
        limit.app = works = Works()
        await asyncio.gather(*(ask(limit) for _ in range(20)))
        assert (works.done, works.most) == (20, AT_ONCE)

    run(test)


def test_a_caller_that_leaves_while_waiting_takes_no_place_along() -> None:
    async def test() -> None:
        works = Works()
        limit = ConcurrencyLimit(works, {"/jobs"}, 1)
        crowd = [asyncio.ensure_future(ask(limit)) for _ in range(10)]
        await asyncio.sleep(0)
        for task in crowd[1::2]:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        await ask(limit)
        assert (works.done, works.most) == (6, 1)

    run(test)
