"""Progress: the numbers, and the lines that tell them."""

from __future__ import annotations

import asyncio
import json

import pytest
from attrs import evolve
from fakes import ID, FakeClock

from siteassist_async.cli.progress import (
    bar_line,
    duration,
    log_line,
    progress_record,
    waiting,
)
from siteassist_async.cli.status import Attempts, Meter, Status, Trouble
from siteassist_async.errors import (
    BadGatewayError,
    ConnectionFailedError,
    NotFoundError,
    RateLimitError,
    ServiceUnavailableError,
    UnusableResponseError,
)
from siteassist_async.events import AttemptEnded, CallEnded, CallStarted, RetryScheduled
from siteassist_async.export import Counts, Progress
from siteassist_async.pacing import PaceSnapshot

START = Progress(Counts(), already_there=0, total=1000)
CALM = PaceSnapshot(
    rate=None,
    ceiling=None,
    gate=0.0,
    in_flight=0,
    limit=32,
    succeeded=0,
    throttled=0,
    waited=0.0,
)
HALF = Status(
    progress=evolve(START, counts=Counts(exported=495, failed=3, invalid=2), elapsed=10.0),
    pace=evolve(CALM, ceiling=48.7, throttled=7, waited=1.25),
    rate=50.0,
    retries=12,
)
LOST = Trouble(since=1.0, error=ConnectionFailedError("refused\x1b[2J"))


def meter_of(progress: list[Progress]) -> Meter:
    """A meter that looks at these, one after another."""
    left = iter(progress)
    return Meter(lambda: next(left), lambda: CALM, Attempts(FakeClock()))


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (42.4, "42 s"), (99.4, "99 s"), (99.6, "1:40"), (185, "3:05"), (7200, "2:00:00")],
)
def test_duration(seconds: float, shown: str) -> None:
    """Seconds are written as people read them."""
    assert duration(seconds) == shown


def test_log_line_tells_everything() -> None:
    """Where it is, how fast, what is left, and what went wrong."""
    assert log_line(HALF) == ("50% 500/1,000, 50/s, 10 s left, 5 failed, 7 throttled, 12 retried")


def test_what_is_not_known_is_not_told() -> None:
    """Before the input is open there is nothing to tell; an empty one has no share."""
    assert log_line(Status(evolve(START, total=None), CALM)) == "reading the IDs"
    assert log_line(Status(evolve(START, total=None, listed=0), CALM)) == "listing"
    listing = Status(evolve(START, total=None, listed=1200), CALM)
    assert log_line(listing) == "listing, 1,200 so far"
    assert log_line(Status(evolve(START, total=0), CALM)) == "0/0"
    assert log_line(Status(START, CALM)) == " 0% 0/1,000"


@pytest.mark.parametrize("columns", range(1, 150))
@pytest.mark.parametrize("blocks", [True, False])
def test_bar_fits(columns: int, blocks: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """The line never reaches the last column, where a terminal would wrap it."""
    for status in (HALF, evolve(HALF, trouble=LOST, troubled=5.0)):
        assert len(bar_line(status, columns, blocks=blocks)) < max(2, columns)


def test_bar_tells_the_important_first() -> None:
    """With little room the counts come first, then the waiting, the speed and the failures."""
    assert bar_line(HALF, 20, blocks=True) == "50% 500/1,000  50/s"
    assert bar_line(HALF, 40, blocks=True) == "50% 500/1,000  50/s  10 s left"
    waits = evolve(HALF, pace=evolve(HALF.pace, gate=42.0))
    assert (
        bar_line(waits, 59, blocks=True)
        == "50% 500/1,000  waiting 42 s as requested by the API  50/s"
    )
    lost = evolve(HALF, trouble=LOST, troubled=5.0)
    assert bar_line(lost, 42, blocks=True) == "50% 500/1,000  no usable response for 5 s"


def test_bar_grows_by_eighths() -> None:
    """The bar is as long as its share, in eighths of a column where the terminal has them."""
    wide = evolve(HALF, progress=evolve(HALF.progress, counts=Counts(exported=509)))
    assert bar_line(wide, 200, blocks=True).startswith("▕██████████████▎             ▏ 51% 509")
    assert bar_line(wide, 200, blocks=False).startswith("[##############              ] 51% 509")
    done = evolve(HALF, progress=evolve(HALF.progress, counts=Counts(exported=1001)))
    assert bar_line(done, 200, blocks=True).startswith(f"▕{'█' * 28}▏ 100% 1,001")


def test_no_bar_without_a_share() -> None:
    """Where the total is not known there is nothing to draw."""
    assert bar_line(Status(evolve(START, total=None), CALM), 80, blocks=True) == "reading the IDs"


def test_a_closed_gate_is_told() -> None:
    """The wait that the API asks for is counted down, once it is worth a word."""
    gated = evolve(HALF, pace=evolve(HALF.pace, gate=41.7))
    assert waiting(gated) == "waiting 42 s as requested by the API"
    assert "waiting 42 s as requested by the API" in log_line(gated)
    assert waiting(evolve(HALF, pace=evolve(HALF.pace, gate=0.4))) is None


def test_a_lost_server_is_told() -> None:
    """What the export waits for is told after a second, and cannot steer the terminal."""
    lost = evolve(HALF, trouble=LOST, troubled=12.0)
    assert waiting(lost) == "no usable response for 12 s, retrying: refused\\x1b[2J"
    assert waiting(evolve(lost, troubled=0.9)) is None


def test_an_outage_is_told() -> None:
    """Before all else, with what came last, which cannot steer the terminal."""
    error = BadGatewayError("\x1b[2Jaway")
    progress = evolve(HALF.progress, outage=75.0, outage_error=error)
    out = evolve(HALF, progress=progress, trouble=LOST, troubled=12.0)
    assert waiting(out) == "outage for 75 s, waiting: 502: \\x1b[2Jaway"
    assert progress_record(out)["outage"] == 75.0


def test_stopping_is_told() -> None:
    """While it stops it says for how many it still waits."""
    status = evolve(HALF, progress=evolve(HALF.progress, in_flight=9), stopping=True)
    assert "stopping, 9 in flight" in log_line(status)


def test_left_counts_the_gate() -> None:
    """What is left takes at least as long as the gate is closed."""
    assert HALF.left == 10.0
    assert evolve(HALF, pace=evolve(HALF.pace, gate=60.0)).left == 70.0
    assert evolve(HALF, rate=None).left is None
    assert evolve(HALF, progress=evolve(HALF.progress, total=None)).left is None


def test_record_is_json() -> None:
    """A program is told every number, and nothing that JSON lacks."""
    record = progress_record(evolve(HALF, trouble=LOST, troubled=12.0))
    assert json.loads(json.dumps(record, allow_nan=False)) == {
        "event": "progress",
        "asked": 500,
        "total": 1000,
        "listed": None,
        "exported": 495,
        "already_there": 0,
        "failed": 3,
        "duplicates": 0,
        "invalid": 2,
        "in_flight": 0,
        "bytes_written": 0,
        "elapsed": 10.0,
        "rate": 50.0,
        "left": 10.0,
        "retries": 12,
        "refused": 7,
        "learned_limit": 48.7,
        "gate": 0.0,
        "waited": 1.25,
        "trouble": "refused\\x1b[2J",
        "outage": None,
        "stopping": False,
    }
    assert progress_record(HALF)["trouble"] is None


def test_rate_is_of_the_last_ten_seconds() -> None:
    """What was fast a minute ago is not told as today's speed."""
    readings = [
        evolve(START, counts=Counts(exported=asked), elapsed=at)
        for asked, at in ((0, 0), (600, 6), (610, 16))
    ]
    meter = meter_of(readings)
    assert [meter.read().rate for _ in readings] == [None, 100.0, 1.0]


def test_earlier_runs_are_no_speed() -> None:
    """What a resumed export finds done when it opens its files does not count as fast."""
    readings = [
        evolve(START, total=None),
        evolve(START, counts=Counts(exported=900), already_there=900, elapsed=0.1),
        evolve(START, counts=Counts(exported=905), already_there=900, elapsed=1.1),
    ]
    meter = meter_of(readings)
    assert [meter.read().rate for _ in readings] == [None, None, 5.0]


def ended(error: BaseException | None = None) -> CallEnded:
    """A call that ended so."""
    return CallEnded(1, "conversations.get", ID, bulk=True, duration=0.1, attempts=1, error=error)


def test_attempts_see_a_lost_server() -> None:
    """Trouble begins with the first failure, keeps the last error and ends with a response."""
    clock = FakeClock()
    attempts = Attempts(clock)
    lost, down = ConnectionFailedError("refused"), ServiceUnavailableError("down")

    def seen() -> Trouble | None:
        return attempts.trouble

    clock.time = 1.0
    attempts(ended(lost))
    clock.time = 2.0
    attempts(RetryScheduled(1, "conversations.get", ID, 1, 0.5, down))
    assert seen() == Trouble(1.0, down)
    for answer in (None, NotFoundError("gone"), RateLimitError("slow"), UnusableResponseError("")):
        attempts(ended(lost))
        attempts(ended(answer))
        assert seen() is None


def test_attempts_are_counted_and_do_not_end_trouble() -> None:
    """A status of 200 says little: the body may be cut, as by a failing proxy."""
    attempts = Attempts(FakeClock())
    attempts(ended(ConnectionFailedError("the response is truncated")))
    attempts(AttemptEnded(1, "conversations.get", ID, 1, "GET", "", 0.1, 200, 9, None))
    attempts(ended(asyncio.CancelledError()))
    attempts(CallStarted(1, "conversations.get", ID, bulk=True))
    assert attempts.trouble is not None
    assert (attempts.ended, attempts.retries) == (1, 0)


def test_trouble_is_timed() -> None:
    """A status knows for how long the trouble lasts."""
    clock = FakeClock()
    attempts = Attempts(clock)
    meter = Meter(lambda: START, lambda: CALM, attempts)
    attempts.retries = 3
    attempts.trouble = LOST
    clock.time = 4.5
    status = meter.read(stopping=True)
    assert (status.troubled, status.retries, status.stopping) == (3.5, 3, True)
