"""What the tests of the pace share: requests that are granted and refused at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siteassist_async.pacing import LearnedRate, Pace

if TYPE_CHECKING:
    from collections.abc import Hashable

    from siteassist_async.pacing import Permit

TODAY = 1.7e9
"""A Unix time."""


def new_pace(concurrency: int = 8, max_rate: float | None = None) -> Pace:
    """A pace whose jitter is always the same."""
    return Pace(concurrency=concurrency, max_rate=max_rate, random=lambda: 0.5)


def begin(pace: Pace, now: float, subject: Hashable = None, *, bulk: bool = False) -> Permit:
    """Start a request as soon as it may."""
    return pace.start(pace.start_at(now, bulk=bulk), subject, bulk=bulk)


def grant(pace: Pace, now: float, requests: int = 1, subject: Hashable = None) -> float:
    """Grant so many requests, one after another; the time after it."""
    for _ in range(requests):
        permit = begin(pace, now, subject)
        now = permit.sent + 0.08
        pace.succeeded(permit, now)
    return now


def refuse(
    pace: Pace,
    now: float,
    retry_after: float | None = 2.0,
    *,
    limited: bool = True,
    subject: Hashable = None,
) -> float:
    """Refuse one request; the time after it."""
    permit = begin(pace, now, subject)
    now = permit.sent + 0.02
    pace.throttled(permit, now, retry_after, limited=limited)
    return now


def outage(pace: Pace, now: float, retry_after: float | None = 2.0, requests: int = 5) -> float:
    """Answer so many requests, each for another id, by a 503; the time after it.

    Five show that it is no single id's, and close the gate.
    """
    permits = [begin(pace, now) for _ in range(requests)]
    now = permits[-1].sent + 0.02
    for permit in permits:
        pace.throttled(permit, now, retry_after, limited=False)
    return now


def fresh(rate: float, period: float) -> LearnedRate:
    """A rate that was learned just now, which is `TODAY`."""
    return LearnedRate(rate, period, TODAY)


def restore(pace: Pace, learned: LearnedRate, now: float = 0.0) -> None:
    """Begin at it."""
    pace.restore(learned, now, epoch=TODAY)


def rate_of(pace: Pace, now: float = 0.0) -> float:
    """The rate, which is known."""
    rate = pace.snapshot(now).rate
    assert rate is not None
    return rate


def ceiling_of(pace: Pace) -> float:
    """The measured limit, which is known."""
    ceiling = pace.snapshot(0.0).ceiling
    assert ceiling is not None
    return ceiling
