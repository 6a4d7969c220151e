from __future__ import annotations

import pytest

from server.errors import ApiError
from server.jobs.rate import Allowance, Undrawn


def test_so_much_at_once_and_more_every_second() -> None:
    now = 100.0
    allowance = Allowance(10, 2, clock=lambda: now)
    assert allowance.wait_s(10) == 0
    allowance.take(10)
    assert (allowance.wait_s(1), allowance.wait_s(4)) == (0.5, 2.0)
    now += 2
    assert allowance.wait_s(4) == 0
    now += 1_000
    allowance.take(1)
    assert allowance.wait_s(10) == 0.0, "full again, since nothing was asked of it meanwhile"


def test_it_never_holds_more_than_a_burst() -> None:
    now = 0.0
    allowance = Allowance(10, 2, clock=lambda: now)
    now += 1_000
    assert allowance.wait_s(10) == 0
    allowance.give_back(5)
    allowance.take(10)
    assert allowance.wait_s(1) == 0.5


def test_more_than_a_burst_is_taken_from_a_full_bucket() -> None:
    now = 0.0
    allowance = Allowance(10, 2, clock=lambda: now)
    assert allowance.wait_s(25) == 0
    allowance.take(25)
    assert allowance.wait_s(10) == 12.5


def test_what_is_drawn_does_not_count() -> None:
    undrawn = Undrawn(32)
    for _ in range(10_000):
        undrawn.take(1, 120_000)
        undrawn.drawn(120_000)


@pytest.mark.parametrize(("jobs", "size", "times"), [(8, 1_000, 33), (1, 1 << 20, 16)])
def test_what_is_given_up_counts_in_number_and_bytes(jobs: int, size: int, times: int) -> None:
    undrawn = Undrawn(32)

    def take(times: int) -> None:
        for _ in range(times):
            undrawn.take(jobs, size)

    take(times)
    with pytest.raises(ApiError) as refused:
        take(20)  # the clock runs meanwhile
    assert (refused.value.status, refused.value.detail.code) == (429, "queue_full")
    assert refused.value.detail.retry_after_s is not None
