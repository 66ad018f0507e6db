"""What a client does, as events; and the log records that are made of them."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from functools import partial
from typing import TypeVar

import pytest
from fakes import ID, OTHER_ID, TOKEN, FakeClock, FakePacer, Silence, StuckClock, client_of, settle
from pacers import acquire, pacer_of

from siteassist_async import (
    AuthenticationError,
    NotFoundError,
    RetryPolicy,
    ServiceUnavailableError,
    SiteAssist,
    ThrottledError,
)
from siteassist_async.emulator import Emulator, Status
from siteassist_async.events import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    Event,
    EventStream,
    GateClosed,
    OutageEnded,
    OutageStarted,
    RateChanged,
    RetryScheduled,
    WaitEnded,
    WaitStarted,
    WindowChanged,
)
from siteassist_async.logs import log_call, log_pace
from siteassist_async.pacing import AdaptivePacer, Pace

E = TypeVar("E")


class Listener:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Listen."""
        self.heard.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """Those of one class."""
        return [event for event in self.heard if isinstance(event, kind)]

    @property
    def order(self) -> list[str]:
        """The names of the events of calls, in their order."""
        return [
            type(event).__name__
            for event in self.heard
            if not isinstance(event, GateClosed | RateChanged | WindowChanged)
        ]


@pytest.fixture
def listener() -> Listener:
    """One that keeps what it hears."""
    return Listener()


async def test_a_call_that_is_retried_is_heard_whole(
    emulator: Emulator, clock: FakeClock, listener: Listener
) -> None:
    """Each event once, in the documented order, with what it says."""
    emulator.script(ID, Status(503, retry_after=7))
    async with client_of(emulator, clock, retry=RetryPolicy()) as client:
        client.events.subscribe(listener)
        await client.conversations.get(ID)
    assert listener.order == [
        "CallStarted",
        "AttemptStarted",
        "AttemptEnded",
        "RetryScheduled",
        "AttemptStarted",
        "AttemptEnded",
        "CallEnded",
    ]
    (started,), (ended,) = listener.of(CallStarted), listener.of(CallEnded)
    assert started == CallStarted(started.call, "conversations.get", ID, bulk=False)
    assert (ended.call, ended.attempts, ended.error) == (started.call, 2, None)
    assert 7 <= ended.duration <= 7.7
    refused, answered = listener.of(AttemptEnded)
    assert (refused.attempt, refused.status, refused.size) == (1, 503, 0)
    assert isinstance(refused.error, ServiceUnavailableError)
    assert (answered.attempt, answered.status, answered.error) == (2, 200, None)
    assert (answered.method, answered.url) == ("GET", f"{emulator.url}/conversations/{ID}")
    assert answered.size > 100
    (retry,) = listener.of(RetryScheduled)
    assert (retry.call, retry.attempt, retry.error) == (started.call, 1, refused.error)
    assert 7 <= retry.delay <= 7.7


async def test_a_second_request_for_a_new_token_is_an_attempt(
    emulator: Emulator, clock: FakeClock, listener: Listener
) -> None:
    """It is made below retry, and heard all the same."""
    tokens = iter(["sk_test_old", TOKEN])

    async def token() -> str:
        return next(tokens)

    async with SiteAssist(
        token, base_url=emulator.url, clock=clock, pacer=FakePacer(), on_event=listener
    ) as client:
        await client.conversations.get(ID)
    assert [(one.attempt, one.status) for one in listener.of(AttemptEnded)] == [(1, 401), (2, 200)]
    assert isinstance(listener.of(AttemptEnded)[0].error, AuthenticationError)
    assert listener.of(CallEnded)[0].attempts == 2


async def test_the_duration_of_an_attempt_is_the_wires(
    emulator: Emulator, clock: FakeClock, listener: Listener
) -> None:
    """Neither a wait before it nor the reading of its value counts."""
    pacer = pacer_of(clock)
    async with SiteAssist(
        TOKEN, base_url=emulator.url, clock=clock, pacer=pacer, on_event=listener
    ) as client:
        emulator.script(OTHER_ID, Status(429, retry_after=30))
        await client.conversations.get(OTHER_ID)
    assert [one.duration for one in listener.of(AttemptEnded)] == [0.0, 0.0]
    assert listener.of(CallEnded)[0].duration >= 30


async def test_a_wait_for_a_slot_is_heard(listener: Listener) -> None:
    """And the call that held it, which was cancelled."""
    clock = StuckClock()
    async with Emulator(token=TOKEN) as emulator:
        pacer = AdaptivePacer(Pace(concurrency=8, random=lambda: 0.5), clock=clock)
        async with SiteAssist(
            TOKEN,
            base_url=emulator.url,
            clock=clock,
            pacer=pacer,
            concurrency=1,
            on_event=listener,
        ) as client:
            emulator.script(ID, Silence())
            first = asyncio.create_task(client.conversations.get(ID))
            await settle()
            second = asyncio.create_task(client.conversations.get(OTHER_ID))
            await settle()
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            await second
    (began,), (ended,) = listener.of(WaitStarted), listener.of(WaitEnded)
    assert (began.subject, began.reason, began.bulk) == (OTHER_ID, "slots", False)
    assert (ended.call, ended.reason) == (began.call, "slots")
    cancelled = next(one for one in listener.of(CallEnded) if one.subject == ID)
    assert isinstance(cancelled.error, asyncio.CancelledError)
    assert [one.subject for one in listener.of(AttemptEnded)] == [ID, OTHER_ID]


async def test_a_wait_that_is_given_up_has_an_end(
    emulator: Emulator, clock: FakeClock, listener: Listener
) -> None:
    """And a call that was not sent has its error."""
    pacer = pacer_of(clock)
    async with SiteAssist(
        TOKEN, base_url=emulator.url, clock=clock, pacer=pacer, on_event=listener
    ) as client:
        emulator.script(ID, Status(429, retry_after=30))
        view = client.with_options(retry=RetryPolicy(attempts=1, patience=0))
        with pytest.raises(Exception, match="429"):
            await view.conversations.get(ID)
        with pytest.raises(ThrottledError):
            await client.with_options(deadline=1).conversations.get(OTHER_ID)
        await client.conversations.get(OTHER_ID)
    assert [one.reason for one in listener.of(WaitStarted)] == ["gate"]
    assert [round(one.duration) for one in listener.of(WaitEnded)] == [30]
    errors = [type(one.error) for one in listener.of(CallEnded)]
    assert errors[1:] == [ThrottledError, type(None)]
    assert [one.seconds for one in listener.of(GateClosed)] == [30.0]


async def test_the_pace_is_heard_until_the_client_is_closed(
    emulator: Emulator, clock: FakeClock, listener: Listener
) -> None:
    """The pacer outlives it, and its other clients go on."""
    pacer = pacer_of(clock, 8)
    client = SiteAssist(TOKEN, base_url=emulator.url, clock=clock, pacer=pacer, on_event=listener)
    client.events.subscribe(listener)  # twice, as two listeners would
    (await acquire(pacer)).throttled(2.0, limited=True)
    heard = len(listener.of(GateClosed))
    await client.close()
    await client.close()
    clock.time += 100
    (await acquire(pacer)).throttled(2.0, limited=True)
    assert heard == len(listener.of(GateClosed)) == 2
    assert listener.of(RateChanged)


async def test_an_outage_is_heard(clock: FakeClock, listener: Listener) -> None:
    """By who listens to the client, when it begins and when it ends."""
    async with Emulator(token=TOKEN) as emulator, client_of(emulator, clock) as client:
        client.events.subscribe(listener)
        ids = [f"{ID[:-4]}{number:04}" for number in range(200)]

        def flip(event: Event) -> None:
            if isinstance(event, CallEnded) and event.error is None:
                emulator.outage = Status(500) if not listener.of(OutageStarted) else None
            if isinstance(event, OutageStarted):
                emulator.outage = None

        client.events.subscribe(flip)
        outcomes = [one async for one in client.conversations.get_many(ids)]
    assert len(outcomes) == 200
    (began,), (ended,) = listener.of(OutageStarted), listener.of(OutageEnded)
    assert began.wait == 300.0
    assert ended.duration >= 0


async def test_a_listener_that_fails_harms_nobody(
    emulator: Emulator, clock: FakeClock, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and those behind it hear all the same."""

    def fail(event: Event) -> None:
        # A cancellation of the listener's own making must not count as one of the task.
        raise (asyncio.CancelledError if isinstance(event, CallEnded) else KeyError)

    async with client_of(emulator, clock) as client:
        end = client.events.subscribe(fail)
        client.events.subscribe(listener)
        await client.conversations.get(ID)
        assert len(listener.heard) == len(caplog.records) == 4
        end()
        end()
        await client.conversations.get(ID)
    assert len(listener.heard) == 8
    assert {(record.name, record.levelname) for record in caplog.records} == {
        ("siteassist_async.events", "ERROR")
    }
    assert "CallStarted" in caplog.text


async def test_nothing_is_made_while_nobody_listens(
    emulator: Emulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event of a call that goes well."""
    for module in ("middleware.retry", "middleware.decode", "middleware.pacing"):
        for name in ("CallStarted", "CallEnded", "AttemptStarted", "AttemptEnded", "WaitStarted"):
            monkeypatch.delattr(f"siteassist_async.{module}.{name}", raising=False)
    async with client_of(emulator, clock) as client:
        await client.conversations.get(ID)


async def test_events_hold_neither_token_nor_body(
    emulator: Emulator, clock: FakeClock, listener: Listener
) -> None:
    """As anything that may be logged."""
    emulator.script(ID, Status(500, body=TOKEN.encode()))
    async with client_of(emulator, clock, retry=RetryPolicy()) as client:
        client.events.subscribe(listener)
        await client.conversations.get(ID)
    assert TOKEN not in repr(listener.heard)
    assert TOKEN not in "".join(repr(getattr(one, "error", "")) for one in listener.heard)


ABOUT = (7, "conversations.get", ID)
DOWN = ServiceUnavailableError("down")


@pytest.mark.parametrize(
    ("event", "logger", "level", "text"),
    [
        (
            AttemptEnded(*ABOUT, 2, "GET", "https://x", 0.25, 200, 12, None),
            "http",
            "DEBUG",
            "GET https://x: 200 in 0.250 s (12 bytes, attempt 2)",
        ),
        (
            AttemptEnded(*ABOUT, 2, "GET", "https://x", 0.25, 503, 0, DOWN),
            "http",
            "DEBUG",
            "GET https://x: failed after 0.250 s (attempt 2): ServiceUnavailableError('503: down')",
        ),
        (
            RetryScheduled(*ABOUT, 1, 2.0, DOWN),
            "retry",
            "INFO",
            f"conversations.get {ID}: retrying in 2.00 s after: 503: down",
        ),
        (
            WaitStarted(*ABOUT, bulk=False, reason="pace", expected=1.5),
            "pacing",
            "INFO",
            f"conversations.get {ID}: waiting about 1.50 s for the rate limit",
        ),
        (
            WaitStarted(*ABOUT, bulk=True, reason="slots", expected=1.5),
            "pacing",
            "DEBUG",
            f"conversations.get {ID}: waiting about 1.50 s for a free slot",
        ),
        (
            WaitStarted(*ABOUT, bulk=False, reason="gate", expected=0.5),
            "pacing",
            "DEBUG",
            f"conversations.get {ID}: waiting about 0.50 s because the API paused all requests",
        ),
        (
            GateClosed(2.0),
            "pacing",
            "INFO",
            "pausing all requests for 2.00 s: requested by the API",
        ),
        (
            GateClosed(0.5, asked=False),
            "pacing",
            "DEBUG",
            "pausing all requests for 0.50 s: throttled without a Retry-After",
        ),
        (RateChanged(12.345), "pacing", "DEBUG", "12.3 requests per second"),
        (WindowChanged(3), "pacing", "DEBUG", "at most 3 requests in flight"),
        (
            OutageStarted(DOWN, 300.0),
            "bulk",
            "WARNING",
            "no usable responses, pausing for up to 300 s: 503: down",
        ),
        (OutageEnded(61.2), "bulk", "WARNING", "usable responses again after 61 s"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_event_is_one_log_record(
    event: Event, logger: str, level: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By a logger of its own kind, with the event's fields."""
    caplog.set_level(logging.DEBUG)
    log_call(event)
    log_pace(event)
    (record,) = caplog.records
    assert (record.name, record.levelname) == (f"siteassist_async.{logger}", level)
    assert record.getMessage() == text
    for name in ("operation", "subject", "attempt", "status", "delay", "reason", "seconds"):
        assert getattr(record, name, None) == getattr(event, name, None)
    error = getattr(event, "error", None)
    assert getattr(record, "error", None) == (error and type(error).__name__)


@pytest.mark.parametrize(
    "event",
    [
        CallStarted(*ABOUT, bulk=False),
        CallEnded(*ABOUT, bulk=False, duration=0.1, attempts=1, error=None),
        AttemptStarted(*ABOUT, 1, "GET", ""),
        WaitEnded(*ABOUT, bulk=False, reason="pace", duration=0.1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_another_record_says_has_none(event: Event, caplog: pytest.LogCaptureFixture) -> None:
    """A log is no trace."""
    caplog.set_level(logging.DEBUG)
    log_call(event)
    log_pace(event)
    assert caplog.records == []


async def test_attempts_are_logged_where_that_is_wanted(
    emulator: Emulator, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """At DEBUG, though nobody else listens."""
    async with client_of(emulator, clock) as client:
        await client.conversations.get(ID)
        assert caplog.records == []
        caplog.set_level(logging.DEBUG, "siteassist_async")
        emulator.missing(OTHER_ID)
        with pytest.raises(NotFoundError):
            await client.conversations.get(OTHER_ID)
    assert [record.name for record in caplog.records] == ["siteassist_async.http"]


def test_who_has_set_up_no_logging_sees_nothing() -> None:
    """Python prints warnings of libraries that have no handler."""
    code = (
        "import logging, siteassist_async.client;"
        "logging.getLogger('siteassist_async.bulk').warning('not for you')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_a_stream_calls_in_the_order_of_subscription() -> None:
    """The log first."""
    heard: list[str] = []
    stream = EventStream[Event](lambda _: heard.append("log"))
    assert not stream.listeners
    ends = [stream.subscribe(partial(_note, heard, name)) for name in "ab"]
    assert list(stream.listeners.values())
    stream.emit(WindowChanged(1))
    assert heard == ["log", "a", "b"]
    for end in ends:
        end()
    assert not stream.listeners


def _note(heard: list[str], name: str, event: Event) -> None:
    del event
    heard.append(name)


async def test_a_listener_may_say_when_it_needs_events(
    emulator: Emulator, clock: FakeClock, listener: Listener
) -> None:
    """While none needs them, calls have none."""
    needed = False
    async with client_of(emulator, clock) as client:
        client.events.subscribe(listener, when=lambda: needed)
        await client.conversations.get(ID)
        assert listener.order == []
        needed = True
        await client.conversations.get(ID)
    assert listener.order[0] == "CallStarted"
