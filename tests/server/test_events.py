import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from server.errors import ApiError
from server.events import EventHub, Listener, encode


def drain(listener: Listener) -> list[dict[str, Any]]:
    """What waits in a listener's queue, parsed."""
    events = []
    while not listener.queue.empty():
        chunk = listener.queue.get_nowait()
        if chunk is None:
            events.append({"end": True})
            continue
        fields = dict(line.split(": ", 1) for line in chunk.decode().strip().split("\n"))
        events.append(fields | {"data": json.loads(fields["data"])})
    return events


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_a_new_listener_gets_hello_and_then_everything() -> None:
    async def test() -> None:
        hub = EventHub(history=10, max_listeners=2)
        listener = hub.subscribe({"jobs": []}, None)
        hub.publish("job", {"id": 1})
        hub.publish("memory", {"t": 2}, replay=False)
        events = drain(listener)
        assert [event["event"] for event in events] == ["hello", "job", "memory"]
        ids = [int(event["id"]) for event in events]
        assert ids == [ids[0], ids[0] + 1, ids[0] + 2]

    run(test)


def test_a_reconnecting_listener_gets_what_it_missed_but_not_stale_figures() -> None:
    async def test() -> None:
        hub = EventHub(history=10, max_listeners=2)
        hub.publish("job", {"n": 1})
        seen = hub.last_id
        hub.publish("memory", {"n": 2}, replay=False)
        hub.publish("job", {"n": 3})
        events = drain(hub.subscribe({}, seen))
        assert [(event["event"], event["data"]) for event in events] == [("hello", {}), ("job", {"n": 3})]
        assert "id" not in events[0]  # a break during the replay must not skip the rest of it

    run(test)


@pytest.mark.parametrize("offset", [-10_000_000, 50])
def test_an_id_of_another_life_or_too_long_ago_starts_over(offset: int) -> None:
    async def test() -> None:
        hub = EventHub(history=10, max_listeners=2)
        events = drain(hub.subscribe({}, hub.last_id + offset))
        assert [event["event"] for event in events] == ["hello", "reset"]

    run(test)


def test_a_full_history_forgets_the_oldest() -> None:
    async def test() -> None:
        hub = EventHub(history=3, max_listeners=4)
        first = hub.last_id
        for n in range(5):
            hub.publish("job", {"n": n})
        assert [e["event"] for e in drain(hub.subscribe({}, first))] == ["hello", "reset"]
        assert [e["event"] for e in drain(hub.subscribe({}, first + 1))] == ["hello", "reset"]
        assert [e["data"] for e in drain(hub.subscribe({}, first + 2))][1:] == [{"n": 2}, {"n": 3}, {"n": 4}]

    run(test)


def test_ids_grow_over_restarts() -> None:
    first = EventHub(1, 1).last_id
    time.sleep(0.002)
    assert EventHub(1, 1).last_id > first


def test_a_listener_that_does_not_read_is_dropped() -> None:
    async def test() -> None:
        hub = EventHub(history=10, max_listeners=2)
        slow = hub.subscribe({}, None)
        for n in range(2_000):
            hub.publish("job", {"n": n})
        assert hub.listeners == 0
        assert drain(slow) == [{"end": True}]

    run(test)


def test_listeners_are_bounded_and_closing_ends_them() -> None:
    async def test() -> None:
        hub = EventHub(history=10, max_listeners=2)
        listeners = [hub.subscribe({}, None) for _ in range(2)]
        with pytest.raises(ApiError) as refused:
            hub.subscribe({}, None)
        assert refused.value.status == 429
        hub.unsubscribe(listeners[0])
        listeners[0] = hub.subscribe({}, None)
        hub.close()
        for listener in listeners:
            assert [chunk async for chunk in listener.stream()] != []
        with pytest.raises(ApiError, match="shutting down"):
            hub.subscribe({}, None)

    run(test)


def test_the_wire_format_survives_line_breaks_in_data() -> None:
    chunk = encode("job", {"prompt": "one\ntwo\r\nthree\u2028four"}, 7).decode()
    assert chunk.startswith("event: job\ndata: ")
    assert chunk.endswith("\nid: 7\n\n")
    assert chunk.count("\n") == 4
    assert "\r" not in chunk


def test_the_history_is_bounded_in_bytes() -> None:
    async def test() -> None:
        hub = EventHub(history=1_000, max_listeners=2, history_bytes=10_000)
        before = hub.last_id
        for n in range(100):
            hub.publish("job", {"n": n, "prompt": "x" * 900})
        assert [event["event"] for event in drain(hub.subscribe({}, before))] == ["hello", "reset"]
        missed = drain(hub.subscribe({}, hub.last_id - 9))[1:]
        assert [event["data"]["n"] for event in missed] == list(range(91, 100))
        assert sum(len(chunk) for _, chunk in hub._history) <= 10_000

    run(test)


def test_an_event_larger_than_the_history_is_sent_and_not_kept() -> None:
    async def test() -> None:
        hub = EventHub(history=10, max_listeners=2, history_bytes=1_000)
        before, listener = hub.last_id, hub.subscribe({}, None)
        hub.publish("job", {"prompt": "x" * 5_000})
        assert [event["event"] for event in drain(listener)] == ["hello", "job"]
        assert [event["event"] for event in drain(hub.subscribe({}, before))] == ["hello", "reset"]

    run(test)


def test_a_listener_that_stops_reading_is_bounded_in_bytes() -> None:
    async def test() -> None:
        hub = EventHub(history=10, max_listeners=2)
        listener = hub.subscribe({"large": "x" * 10_000_000}, None)
        for _ in range(100):
            hub.publish("job", {"prompt": "x" * 400_000})
            assert listener.waiting_bytes <= 8 << 20
        assert hub.listeners == 0
        assert drain(listener) == [{"end": True}]

    run(test)


def test_a_listener_that_reads_is_sent_any_number_of_bytes() -> None:
    async def test() -> None:
        hub = EventHub(history=10, max_listeners=2)
        listener = hub.subscribe({}, None)
        stream = listener.stream()
        for _ in range(100):
            hub.publish("job", {"prompt": "x" * 400_000})
            assert await anext(stream)
        assert hub.listeners == 1

    run(test)
