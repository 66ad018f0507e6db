"""One pacer for each project of a process."""

from __future__ import annotations

import gc
import weakref

import pytest
from fakes import BASE_URL, TOKEN, FakeClock
from pacers import acquire

from siteassist_async.pacing import AdaptivePacer, pacer_for
from siteassist_async.pacing.adaptive import _PACERS  # pyright: ignore[reportPrivateUsage] # keys


class Unhashable:
    """A token's source that cannot be a key."""

    __hash__ = None  # type: ignore[assignment] # pyright: ignore[reportAssignmentType] # the point

    def __call__(self) -> str:
        """Give the token."""
        return TOKEN


def test_one_project_has_one_pacer(clock: FakeClock) -> None:
    """All who name the same base URL, token and clock share it."""
    first = pacer_for(BASE_URL, TOKEN, concurrency=1, clock=clock)
    same = "".join(["sk_", TOKEN.removeprefix("sk_")])
    assert pacer_for(BASE_URL, same, concurrency=1, clock=clock) is first


@pytest.mark.parametrize("other", ["url", "token", "clock"])
def test_another_project_has_another_pacer(clock: FakeClock, other: str) -> None:
    """One project's limit is not another's, and two clocks do not agree."""
    first = pacer_for(BASE_URL, TOKEN, concurrency=1, clock=clock)
    second = pacer_for(
        BASE_URL + "/x" * (other == "url"),
        TOKEN + "x" * (other == "token"),
        concurrency=1,
        clock=FakeClock() if other == "clock" else clock,
    )
    assert second is not first


def test_the_machine_s_clock_is_the_default() -> None:
    """Clients that name no clock share one pacer."""
    first = pacer_for(BASE_URL, TOKEN, concurrency=1)
    assert pacer_for(BASE_URL, TOKEN, concurrency=1) is first


@pytest.mark.parametrize("source", [lambda: TOKEN, Unhashable()])
def test_a_token_s_source_is_known_by_itself(source: Unhashable, clock: FakeClock) -> None:
    """A callable is not called for the key, and another one is another token."""
    first = pacer_for(BASE_URL, source, concurrency=1, clock=clock)
    assert pacer_for(BASE_URL, source, concurrency=1, clock=clock) is first
    assert pacer_for(BASE_URL, Unhashable(), concurrency=1, clock=clock) is not first
    assert pacer_for(BASE_URL, TOKEN, concurrency=1, clock=clock) is not first


def test_a_token_that_is_no_text_is_a_key_all_the_same(clock: FakeClock) -> None:
    """What is wrong with a token is told by the request, not here."""
    first = pacer_for(BASE_URL, "\ud800", concurrency=1, clock=clock)
    assert pacer_for(BASE_URL, "\ud800", concurrency=1, clock=clock) is first


def test_a_pacer_goes_with_its_last_holder(clock: FakeClock) -> None:
    """A process that sees many tokens keeps no pacer for each."""
    pacer = pacer_for(BASE_URL, TOKEN, concurrency=1, clock=clock)
    gone = weakref.ref(pacer)
    before = len(_PACERS)
    del pacer
    gc.collect()
    assert gone() is None
    assert len(_PACERS) < before


def test_no_token_stands_in_the_table(clock: FakeClock) -> None:
    """A dump of the process's pacers shows no secret."""
    pacer = pacer_for(BASE_URL, TOKEN, concurrency=1, clock=clock)
    assert any(held is pacer for held in _PACERS.values())
    assert TOKEN not in repr(list(_PACERS.items()))
    assert TOKEN not in repr(vars(pacer))


async def widest(pacer: AdaptivePacer, clock: FakeClock) -> int:
    """The requests that may be in flight after many grants."""
    for _ in range(100):
        (await acquire(pacer)).succeeded()
        clock.time += 10
    return pacer.snapshot().limit


async def test_the_largest_concurrency_holds(clock: FakeClock) -> None:
    """A small client narrows no large one's window, and a large one widens a small one's."""
    pacer = pacer_for(BASE_URL, TOKEN, concurrency=3, clock=clock)
    assert await widest(pacer, clock) == 3
    pacer_for(BASE_URL, TOKEN, concurrency=5, clock=clock)
    assert await widest(pacer, clock) == 5
    pacer_for(BASE_URL, TOKEN, concurrency=1, clock=clock)
    assert await widest(pacer, clock) == 5


async def test_the_last_max_rate_holds(clock: FakeClock) -> None:
    """A new limit replaces the one before; who names none changes nothing."""
    pacer = pacer_for(BASE_URL, TOKEN, concurrency=4, max_rate=10.0, clock=clock)
    for max_rate, rate in ((None, 10.0), (20.0, 20.0), (5.0, 5.0), (None, 5.0)):
        pacer_for(BASE_URL, TOKEN, concurrency=4, max_rate=max_rate, clock=clock)
        (await acquire(pacer)).succeeded()
        assert pacer.snapshot().rate == rate
