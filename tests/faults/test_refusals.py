"""A server that refuses is not hammered, by one client or by a thousand."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from fakes import TOKEN

from siteassist_async import (
    APIError,
    InternalServerError,
    RateLimitError,
    RetryPolicy,
    SiteAssist,
    ThrottledError,
)
from siteassist_async.middleware.retry_policy import RetryState, decide
from siteassist_async.pacing import AdaptivePacer

from .waits import refusal
from .wire import ID

if TYPE_CHECKING:
    from fakes import FakeClock

    from .raw_server import RawServer


@pytest.mark.parametrize("asked", ["0.000001", "0.001", "0.1", "1"])
async def test_a_server_that_refuses_for_ever_is_asked_ever_less_often(
    server: RawServer, clock: FakeClock, asked: str
) -> None:
    """However short the time that it names: ten minutes are some dozens of requests."""
    server.script[ID].append([refusal(wait=asked)])
    server.forever = True
    started = clock.now()
    async with SiteAssist(
        TOKEN, base_url=server.url, clock=clock, pacer=AdaptivePacer(clock=clock)
    ) as client:
        # The last wait may be one that the patience left has no room for.
        with pytest.raises((RateLimitError, ThrottledError)) as caught:
            await client.conversations.get(ID)
    assert caught.value.attempts == len(server.requests) < 200
    assert 500 < clock.now() - started < 700


@pytest.mark.parametrize(
    ("error", "within"),
    [
        (RateLimitError(status=429, retry_after=60.0), (60.0, 66.0)),
        (InternalServerError(status=500), (0.0, 4.0)),
    ],
    ids=["who were told the same second", "who met the same failure"],
)
def test_a_thousand_do_not_come_back_in_step(error: APIError, within: tuple[float, float]) -> None:
    """No tenth of a second has more than a few times its share of them."""
    draw = random.Random(1).random
    first, last = within
    delays: list[float] = []
    for _ in range(1000):
        retry = decide(RetryPolicy(), error, RetryState(patience=600, spent=4), draw())
        assert retry is not None
        delays.append(retry.delay)
    assert first <= min(delays) <= max(delays) <= last
    (_, most), *_ = Counter(int(delay * 10) for delay in delays).most_common(1)
    assert most < 5 * 1000 / (10 * (last - first))
