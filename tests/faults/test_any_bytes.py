"""Whatever bytes a server sends, a fetch has one outcome."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fakes import FakeClock, settle
from hypothesis import given, settings
from hypothesis import strategies as st

from siteassist_async import Conversation, RetryPolicy, SiteAssist, SiteAssistError, Timeout
from siteassist_async.pacing import AdaptivePacer

from .raw_server import RawServer
from .rows import TOKEN, judge_error, outcome_of, traces
from .wire import BODY, GOOD, ID, JSON, OTHER_ID, answer, chunked, error

if TYPE_CHECKING:
    from .raw_server import Step

WHOLE = [
    GOOD,
    chunked(BODY[:9], BODY[9:]),
    answer(error(details={"retryAfter": 1}), 429),
    answer(error(), 404, [*JSON, "Retry-After: 1"]),
]

BITS = [b"\r\n", b"\0", b"HTTP/1.1 ", b"0\r\n\r\n", b"Content-Length: 5\r\n", b"{", b"\xff", b"["]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A whole answer with some bytes taken out and others put in."""
    whole = draw(st.sampled_from(WHOLE))
    for _ in range(draw(st.integers(1, 3))):
        at, gap = draw(st.integers(0, len(whole))), draw(st.integers(0, 20))
        bit = draw(st.sampled_from(BITS) | st.binary(max_size=5))
        whole = whole[:at] + bit + whole[at + gap :]
    return whole


PAUSE: Step = "pause"
SAID = damaged() | st.sampled_from(WHOLE) | st.binary() | st.just(PAUSE)


@settings(max_examples=100, deadline=None)
@given(said=st.lists(SAID, max_size=4), end=st.sampled_from(["close", "reset", "half-close"]))
async def test_any_bytes_are_one_outcome(said: list[Step], end: Step) -> None:
    """The conversation asked for or an error of ours; the next fetch is whole again."""
    server = await RawServer().start()
    server.script[ID].append([*said, end])
    server.forever = True
    clock = FakeClock()
    async with SiteAssist(
        TOKEN,
        base_url=server.url,
        retry=RetryPolicy(attempts=2, patience=10),
        timeout=Timeout(connect=30, read=30, total=60),
        clock=clock,
        pacer=AdaptivePacer(clock=clock),
    ) as client:
        outcome = await outcome_of(client)
        if isinstance(outcome, SiteAssistError):
            judge_error(outcome)
            assert TOKEN not in traces(outcome)
        else:
            assert isinstance(outcome, Conversation)
            assert outcome.id.lower() == ID
        for _ in range(6):  # what the server has yet to say finds the connection idle
            await settle()
        clock.time += 1000
        assert (await client.conversations.get(OTHER_ID)).id == OTHER_ID
    await server.until(lambda: not server.open)
    await server.stop()
    assert len(asyncio.all_tasks()) == 1
