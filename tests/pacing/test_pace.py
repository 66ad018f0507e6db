"""The pacing rules, as examples with the time passed in."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paces import (
    TODAY,
    begin,
    ceiling_of,
    fresh,
    grant,
    new_pace,
    outage,
    rate_of,
    refuse,
    restore,
)

from siteassist_async.events import GateClosed, RateChanged, WindowChanged
from siteassist_async.pacing import LearnedRate, Pace, Permit, RateLimitHint

if TYPE_CHECKING:
    from siteassist_async.events import PaceEvent

EMPTY = RateLimitHint(remaining=0.0, reset=5.0)


Server = Callable[[float], float]
"""Seconds to wait for a request at this time; 0 where it is granted."""


def token_bucket(
    limit: Callable[[float], float], burst: float, retry_after: float | None = None
) -> Server:
    """A limit that is used up and fills again."""
    level, last = burst, 0.0

    def answer(now: float) -> float:
        nonlocal level, last
        level, last = min(burst, level + (now - last) * limit(now)), now
        if level >= 1:
            level -= 1
            return 0.0
        return retry_after or (1 - level) / limit(now)

    return answer


def fixed_window(quota: int, seconds: float) -> Server:
    """So many requests in each window."""
    used: dict[float, int] = {}

    def answer(now: float) -> float:
        window = now // seconds
        used[window] = used.get(window, 0) + 1
        return 0.0 if used[window] <= quota else (window + 1) * seconds - now

    return answer


def simulate(pace: Pace, server: Server, seconds: float) -> tuple[int, int]:
    """Request as fast as the pace lets one; the requests granted and refused."""
    now, ends = 0.0, list[tuple[float, int, Permit, float]]()
    while now < seconds:
        at = pace.start_at(now)
        if ends and ends[0][0] <= at:
            now, _, permit, wait = heapq.heappop(ends)
            if wait:
                pace.throttled(permit, now, wait, limited=True)
            else:
                pace.succeeded(permit, now)
            continue
        now = at
        permit = pace.start(now)
        wait = server(now)
        heapq.heappush(ends, (now + (0.025 if wait else 0.08), permit.number, permit, wait))
    state = pace.snapshot(now)
    return state.succeeded, state.throttled


@pytest.mark.parametrize("limit", [5.0, 50.0, 400.0])
def test_the_limit_is_found_and_kept(limit: float) -> None:
    """Against a token bucket, most of the limit is used and few requests are refused."""
    granted, refused = simulate(new_pace(64), token_bucket(lambda _: limit, limit), 300.0)
    assert granted > 0.85 * limit * 300
    assert refused < 0.1 * granted


def test_a_limit_that_changes_is_followed() -> None:
    """Down to a fifth and up to twice as much in one run."""
    limits = {0: 50.0, 1: 10.0, 2: 100.0}
    server = token_bucket(lambda now: limits[min(2, int(now // 100))], 50.0)
    granted, refused = simulate(new_pace(64), server, 300.0)
    assert granted > 0.7 * 16_000
    assert refused < 0.1 * granted


@pytest.mark.parametrize("quota", [50, 500])
def test_a_quota_in_each_window_is_spent(quota: int) -> None:
    """A long pause at the end of a window is no reason to go slower than the quota allows."""
    granted, refused = simulate(new_pace(64), fixed_window(quota, 60.0), 3600.0)
    assert granted > 0.6 * quota * 60
    assert refused < 0.15 * granted


@pytest.mark.parametrize(("limit", "burst"), [(50.0, 50.0), (50.0, 500.0), (5.0, 300.0)])
def test_a_constant_wait_is_obeyed_and_seldom_paid(limit: float, burst: float) -> None:
    """Where each refusal costs a minute, few are provoked."""
    granted, refused = simulate(new_pace(64), token_bucket(lambda _: limit, burst, 60.0), 3600.0)
    assert granted > 0.3 * limit * 3600
    assert refused < 0.05 * granted


def test_slow_start_widens_the_window_to_the_concurrency() -> None:
    """One more for each success, and no more than asked for."""
    pace = new_pace(1000)
    first = pace.limit
    assert first < 1000
    now = grant(pace, 0.0, 5)
    assert pace.limit == first + 5
    grant(pace, now, 1000)
    assert pace.limit == 1000


def test_small_jobs_begin_with_a_burst_and_large_ones_are_spread() -> None:
    """Before anything is known some start at once, and then a rate holds until many are granted."""
    pace = new_pace(64)
    starts = [begin(pace, 0.0).sent for _ in range(pace.limit)]
    assert starts[0] == starts[4] == 0.0
    assert starts[-1] > 0.0
    assert pace.snapshot(0.0).rate is None


def test_without_a_free_slot_nothing_starts() -> None:
    """A slot is free again however the request ended."""
    pace = new_pace(1)
    permit = begin(pace, 0.0)
    assert pace.start_at(1.0) == math.inf
    pace.abandoned(permit)
    assert pace.start_at(1.0) == 1.0
    assert pace.snapshot(1.0).in_flight == 0


def throttled(
    pace: Pace, permit: Permit, now: float, retry_after: float | None, *, limited: bool = True
) -> tuple[PaceEvent, ...]:
    """Refuse a request; what changed."""
    _, events = pace.throttled(permit, now, retry_after, limited=limited)
    return events


def test_the_latest_gate_holds() -> None:
    """A shorter wait opens no gate, a longer one extends it; both are told apart."""
    pace = new_pace()
    first, second, third = (begin(pace, 0.0) for _ in range(3))
    assert throttled(pace, first, 0.1, 10.0)[0] == GateClosed(10.0)
    assert throttled(pace, second, 0.2, 1.0) == ()
    assert pace.opens == pytest.approx(10.1)
    assert throttled(pace, third, 0.3, 20.0) == (GateClosed(20.0),)
    assert pace.opens == pytest.approx(20.3)
    assert pace.start_at(0.3) >= pace.opens
    assert pace.snapshot(5.3).gate == pytest.approx(15.0)
    assert pace.snapshot(5.3).waited == pytest.approx(5.2)
    assert pace.snapshot(99.0).waited == pytest.approx(20.2)


@pytest.mark.parametrize("retry_after", [None, 0.0, -5.0, math.nan, math.inf, -math.inf])
def test_where_no_time_is_named_the_pauses_double(retry_after: float | None) -> None:
    """Up to a longest one, from which they stay."""
    pace = new_pace()
    now, pauses = outage(pace, 0.0, retry_after, requests=4), list[float]()
    for _ in range(40):
        now = refuse(pace, now, retry_after, limited=False)
        pauses.append(pace.snapshot(now).gate)
    assert pauses[0] > 0
    assert pauses[1] == pytest.approx(2 * pauses[0])
    assert pauses[2] == pytest.approx(2 * pauses[1])
    assert pauses[-1] == pytest.approx(max(pauses))
    assert pauses[-1] <= 30.0


def test_a_huge_wait_is_cut_to_a_day() -> None:
    """More than that is a mistake, also when it comes again."""
    pace = new_pace()
    now = refuse(pace, 0.0, 1e300)
    assert pace.opens == pytest.approx(now + 86_400.0)
    now = refuse(pace, pace.opens, 1e300)
    assert pace.opens == pytest.approx(now + 86_400.0)


def test_a_wait_that_was_too_short_is_lengthened() -> None:
    """Where each wait of a millisecond ends in a refusal, the waits become longer."""
    pace = new_pace()
    now = outage(pace, 0.0, 0.001)
    for _ in range(8):
        now = refuse(pace, now, 0.001, limited=False)
    assert pace.opens - now > 0.1


def test_only_the_first_refusal_of_a_burst_cuts() -> None:
    """The others, sent before it came, only extend the gate."""
    pace = new_pace(64)
    now = grant(pace, 0.0, 20)
    permits = [begin(pace, now) for _ in range(8)]
    now = permits[-1].sent + 0.02
    events = throttled(pace, permits[0], now, 2.0)
    assert [type(event) for event in events] == [GateClosed, RateChanged]
    rate = rate_of(pace)
    for permit in permits[1:]:
        assert throttled(pace, permit, now + 0.01, 1.0) == ()
    assert rate_of(pace) == rate
    assert pace.limit > 1


def test_a_second_refusal_without_a_grant_teaches_nothing() -> None:
    """No second cut before something was granted again."""
    pace = new_pace(64)
    now = refuse(pace, grant(pace, 0.0, 20))
    ceiling = ceiling_of(pace)
    now = refuse(pace, now)
    assert ceiling_of(pace) == ceiling
    now = grant(pace, now, 3)
    refuse(pace, now)
    assert ceiling_of(pace) != ceiling


def test_a_503_never_cuts() -> None:
    """An overloaded server says nothing of the project's limit."""
    pace = new_pace(64)
    now = outage(pace, grant(pace, 0.0, 20))
    assert pace.snapshot(now).gate > 0
    assert pace.learned(TODAY) is None
    assert pace.snapshot(now).rate is None
    now = refuse(pace, grant(pace, now, 5))
    learned = pace.learned(TODAY)
    assert learned is not None
    now = outage(pace, grant(pace, now, 5))
    assert pace.snapshot(now).gate > 0
    assert pace.learned(TODAY) == learned


def test_starts_after_the_gate_are_spread() -> None:
    """The rate holds from the first start on, which lies somewhere in the first interval."""
    pace = new_pace(64)
    now = refuse(pace, grant(pace, 0.0, 30))
    rate, opens = rate_of(pace), pace.opens
    starts = [begin(pace, now).sent for _ in range(3)]
    assert opens < starts[0] <= opens + 1 / rate
    assert starts[1] - starts[0] > 0
    assert starts[2] - starts[1] > 0


def test_after_two_refusals_in_a_row_one_request_goes_ahead_alone() -> None:
    """Another follows where it has no answer for two seconds; a grant opens the window again."""
    pace = new_pace()
    now = refuse(pace, 0.0)
    assert pace.limit == 8
    permit = begin(pace, now)
    assert WindowChanged(1) in throttled(pace, permit, permit.sent + 0.02, 2.0)
    permit = begin(pace, permit.sent + 0.02)
    sent = permit.sent
    assert pace.start_at(sent) == sent + 2.0
    begin(pace, sent)
    assert pace.start_at(sent + 2.0) == sent + 4.0
    assert pace.succeeded(permit, sent + 2.08) == (WindowChanged(8),)


def test_requests_from_before_the_last_refusal_do_not_keep_one_from_going_ahead() -> None:
    """What hangs since then says nothing of the present, and may hang for long."""
    pace = new_pace()
    hanging = [begin(pace, 0.0) for _ in range(5)]
    now = refuse(pace, refuse(pace, 1.0))
    assert pace.limit == 1
    opens = pace.opens
    assert opens <= pace.start_at(now) < math.inf
    ahead = begin(pace, now)
    for permit in hanging:
        pace.abandoned(permit)
    assert pace.start_at(ahead.sent) == ahead.sent + 2.0


def test_what_a_parent_process_sent_is_not_counted() -> None:
    """Neither as in flight nor as the one that goes ahead, and its end changes nothing."""
    pace = new_pace()
    old = begin(pace, 0.0)
    ahead = begin(pace, refuse(pace, refuse(pace, 1.0)))
    pace.forget_flights()
    assert pace.snapshot(ahead.sent).in_flight == 0
    assert pace.start_at(ahead.sent) < ahead.sent + 2.0
    own = begin(pace, ahead.sent)
    for permit in (old, ahead):
        pace.abandoned(permit)
    assert pace.snapshot(own.sent).in_flight == 1
    assert pace.start_at(own.sent) == own.sent + 2.0


def test_a_grant_from_before_the_refusals_ends_no_row() -> None:
    """A slow answer to an old request says nothing of the present."""
    pace = new_pace()
    old = begin(pace, 0.0)
    now = refuse(pace, refuse(pace, 1.0))
    pace.succeeded(old, now)
    assert pace.limit == 1


def test_the_rate_grows_until_the_next_refusal() -> None:
    """First quickly, around the known limit slowly, and past it faster and faster."""
    pace = new_pace(64)
    restore(pace, fresh(5.0, 10.0))
    rates = list[float]()
    now = 0.0
    for _ in range(300):
        now = grant(pace, now)
        rates.append(rate_of(pace))
    assert rates == sorted(rates)
    assert rates[0] < 5.0 < rates[-1] < math.inf


def test_idle_time_teaches_nothing() -> None:
    """A client that asks for nothing has not shown that more is allowed."""
    pace = new_pace(64)
    restore(pace, fresh(5.0, 10.0))
    now = grant(pace, 0.0, 10)
    before = rate_of(pace)
    grant(pace, now + 10_000.0)
    assert rate_of(pace) == pytest.approx(before, rel=0.02)


@pytest.mark.parametrize("wait", [2.0, 60.0, 3600.0, 86_400.0])
def test_probing_is_as_rare_as_it_is_dear(wait: float) -> None:
    """The period is a multiple of the pause, within bounds."""
    pace = new_pace(64)
    refuse(pace, grant(pace, 0.0, 20), wait)
    learned = pace.learned(TODAY)
    assert learned is not None
    assert 5.0 <= learned.period <= 2400.0
    assert learned.period >= min(1200.0, 10 * wait)


def test_max_rate_is_never_passed() -> None:
    """It paces before anything is learned, and bounds what is learned."""
    pace = new_pace(64, max_rate=10.0)
    assert pace.limit == 64
    now = grant(pace, 0.0, 5)
    assert rate_of(pace) == 10.0
    now = refuse(pace, now)
    assert rate_of(pace) <= 10.0
    now = grant(pace, now, 500)
    assert rate_of(pace) == 10.0
    pace.adjust(concurrency=1, max_rate=3.0)
    grant(pace, now, 2)
    assert rate_of(pace) == 3.0


def test_a_refusal_without_a_grant_teaches_nothing_where_the_limit_is_known() -> None:
    """A `max_rate` is not replaced by what a server says that grants nothing."""
    pace = new_pace(64, max_rate=10.0)
    refuse(pace, 0.0)
    assert pace.learned(TODAY) is None


def test_a_restored_rate_is_gone_on_with() -> None:
    """The window is whole, the rate just below the limit, and its own knowledge is not replaced."""
    pace = new_pace(1000)
    events = pace.restore(fresh(50.0, 30.0), 0.0, epoch=TODAY)
    assert [type(event) for event in events] == [RateChanged, WindowChanged]
    assert pace.limit == 1000
    assert 40.0 < rate_of(pace) <= 50.0
    learned = pace.learned(TODAY)
    assert learned is not None
    assert learned.rate == 50.0
    assert learned.period == pytest.approx(30.0)
    assert pace.restore(fresh(1.0, 5.0), 0.0, epoch=TODAY) == ()
    assert pace.learned(TODAY) == learned
    now = grant(pace, 0.0, 50)
    refuse(pace, now)
    assert 1.0 < ceiling_of(pace) < 100.0


@pytest.mark.parametrize("number", [0.0, -1.0, math.nan, math.inf])
def test_what_cannot_have_been_learned_is_ignored(number: float) -> None:
    """A damaged checkpoint does not stop the job."""
    pace = new_pace()
    assert pace.restore(fresh(number, 5.0), 0.0, epoch=TODAY) == ()
    assert pace.restore(fresh(5.0, number), 0.0, epoch=TODAY) == ()
    assert pace.learned(TODAY) is None


def restored_rates(age: float) -> list[float]:
    """The rates of the first twenty seconds after a limit of 1 was restored at this age."""
    pace = new_pace(64)
    restore(pace, LearnedRate(1.0, 1200.0, TODAY - age))
    now, rates = 0.0, list[float]()
    while now < 20.0:
        now = grant(pace, now)
        rates.append(rate_of(pace, now))
    return rates


@pytest.mark.parametrize("age", [0.0, 299.0, -299.0])
def test_a_rate_learned_minutes_ago_is_kept(age: float) -> None:
    """It is approached from below, and not left before its period is over."""
    rates = restored_rates(age)
    assert 0.9 < rates[0] <= rates[-1] <= 1.0


@pytest.mark.parametrize("age", [300.0, 86_399.0, -300.0, -1e9])
def test_a_rate_learned_earlier_is_left_upwards_at_once(age: float) -> None:
    """The API may allow more by now; so too where the clock was set back."""
    rates = restored_rates(age)
    assert rates[0] == 1.0
    assert rates[-1] > 8.0


@pytest.mark.parametrize("age", [86_400.0, TODAY, math.inf, math.nan])
def test_a_rate_of_another_day_is_forgotten(age: float) -> None:
    """One that does not say when it was learned is of another day."""
    pace = new_pace(64)
    assert pace.restore(LearnedRate(50.0, 30.0, TODAY - age), 0.0, epoch=TODAY) == ()
    assert pace.learned(TODAY) is None


def test_what_is_learned_says_when() -> None:
    """By the time that it is asked for, up to which it holds."""
    pace = new_pace(64)
    restore(pace, fresh(50.0, 30.0))
    learned = pace.learned(TODAY + 77.0)
    assert learned is not None
    assert learned.at == TODAY + 77.0


def hinted(pace: Pace, now: float, hint: RateLimitHint | None) -> tuple[float, bool]:
    """Grant one request with a header; a time after it, and whether the gate closed."""
    permit = begin(pace, now)
    events = pace.succeeded(permit, permit.sent + 0.08, hint)
    return permit.sent + 0.09, any(isinstance(event, GateClosed) for event in events)


def test_a_header_is_believed_once_a_refusal_proved_it() -> None:
    """The first "nothing left" is tested, the next one closes the gate before a refusal does."""
    pace = new_pace(64)
    now, closed = hinted(pace, 0.0, EMPTY)
    assert not closed
    now = refuse(pace, now, 5.0)
    now, closed = hinted(pace, now, EMPTY)
    assert closed
    assert pace.opens == pytest.approx(now + 5.0, abs=0.02)
    now, closed = hinted(pace, now, RateLimitHint(remaining=5.0, reset=5.0))
    assert not closed
    now, closed = hinted(pace, now + 9.0, EMPTY)
    assert closed


def test_a_believed_header_extends_no_gate_that_is_closed_for_longer() -> None:
    """The wait that a refusal named is the longer one."""
    pace = new_pace(64)
    now, _ = hinted(pace, 0.0, EMPTY)
    refuse(pace, now, 50.0)
    permit = begin(pace, pace.opens)
    other = begin(pace, permit.sent)
    now = other.sent + 0.01
    pace.throttled(other, now, 50.0, limited=True)
    opens = pace.opens
    events = pace.succeeded(permit, now + 0.01, EMPTY)
    assert not any(isinstance(event, GateClosed) for event in events)
    assert pace.opens == opens


def test_a_header_that_was_wrong_is_ignored() -> None:
    """A request that is granted although nothing was left disproves it for good."""
    pace = new_pace(64)
    now, _ = hinted(pace, 0.0, EMPTY)
    now, closed = hinted(pace, now, EMPTY)
    now = refuse(pace, now)
    now, closed = hinted(pace, now, EMPTY)
    assert not closed


def test_a_header_whose_quota_stays_empty_is_ignored() -> None:
    """One that says "nothing left" again after its own wait would stop everything."""
    pace = new_pace(64)
    now, _ = hinted(pace, 0.0, EMPTY)
    now = refuse(pace, now, 5.0)
    now, closed = hinted(pace, now, EMPTY)
    assert closed
    for _ in range(2):
        now, closed = hinted(pace, now, EMPTY)
        assert not closed


@pytest.mark.parametrize(
    ("hint", "wait"),
    [
        (RateLimitHint(remaining=0.0, reset=7.0), 7.0),
        (RateLimitHint(remaining=0.0, window=9.0), 9.0),
        (RateLimitHint(remaining=0.0, reset=1e9), 60.0),
        (RateLimitHint(remaining=0.0, reset=0.0), None),
        (RateLimitHint(remaining=0.0), None),
        (RateLimitHint(remaining=3.0, reset=7.0), None),
        (RateLimitHint(reset=7.0), None),
    ],
)
def test_a_refusal_without_a_wait_takes_the_header_s(
    hint: RateLimitHint, wait: float | None
) -> None:
    """But what the API names itself goes before, and a header holds for a minute at most."""
    pace = new_pace(64)
    _, events = pace.throttled(begin(pace, 0.0), 0.1, None, limited=True, hint=hint)
    assert events[0] == GateClosed(wait) if wait else not getattr(events[0], "asked", True)
    permit = begin(pace, pace.opens)
    pace.throttled(permit, permit.sent, 2.0, limited=True, hint=hint)
    assert pace.opens == permit.sent + 2.0


WAITS = st.none() | st.floats() | st.floats(0.001, 5.0) | st.just(1e300)
HINTS = st.none() | st.builds(
    RateLimitHint,
    remaining=st.none() | st.floats(0, 3),
    reset=st.none() | st.floats(0, 1e15),
    window=st.none() | st.floats(0, 1e15),
)
ENDS = ["succeeded", "throttled", "503", "abandoned"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "start", "start", "bulk", *ENDS]),
        st.sampled_from([0.0, 0.01, 0.08, 3.0, 700.0, 1e5]),
        st.integers(0, 63),
        st.none() | st.integers(1, 8),
        WAITS,
        HINTS,
    ),
    max_size=120,
)
Step = tuple[str, float, int, int | None, float | None, RateLimitHint | None]


@settings(deadline=None, max_examples=300)
@given(
    STEPS,
    st.integers(1, 64),
    st.none() | st.floats(0.01, 1e4),
    st.none() | st.builds(LearnedRate, st.floats(), st.floats(), st.floats()),
)
def test_nothing_that_is_sent_makes_nonsense_of_the_pace(
    steps: list[Step],
    concurrency: int,
    max_rate: float | None,
    learned: LearnedRate | None,
) -> None:
    """No NaN, no start before a strict gate, the counts exact, a rate above zero."""
    pace = new_pace(concurrency, max_rate)
    now, flying = 0.0, list[Permit]()
    if learned is not None:
        pace.restore(learned, now, epoch=TODAY)
    for what, passed, which, subject, wait, hint in steps:
        now += passed
        if what in {"start", "bulk"}:
            now = _start(pace, now, flying, subject, bulk=what == "bulk")
        elif flying:
            permit = flying.pop(which % len(flying))
            if what == "succeeded":
                pace.succeeded(permit, now, hint)
                assert pace.parked_until(permit.subject) == 0.0
            elif what == "abandoned":
                pace.abandoned(permit)
            else:
                pace.throttled(permit, now, wait, limited=what == "throttled", hint=hint)
                assert now <= pace.parked_until(permit.subject) <= now + 86_400.0
        _check(pace, now, len(flying), concurrency, max_rate)


def _start(
    pace: Pace, now: float, flying: list[Permit], subject: int | None, *, bulk: bool
) -> float:
    at = pace.start_at(now, bulk=bulk)
    assert at >= pace.start_at(now)
    if at == math.inf:
        return now
    assert at >= pace.opens
    if pace.limit > 1:
        assert len(flying) < pace.limit
    flying.append(pace.start(at, subject, bulk=bulk))
    return at


def _check(pace: Pace, now: float, flying: int, concurrency: int, max_rate: float | None) -> None:
    state = pace.snapshot(now)
    assert state.in_flight == flying
    assert 1 <= state.limit <= concurrency
    assert 0 <= state.gate <= 86_400.001
    assert state.waited >= -1e-6
    assert pace.start_at(now) >= now
    assert now <= pace.expected_start(now, 3) < math.inf
    assert pace.expected_start(now, 3) <= pace.expected_start(now, 3, shared=True) < math.inf
    for rate in (state.rate, state.ceiling):
        assert rate is None or 0 < rate < math.inf
    assert max_rate is None or state.rate is None or state.rate <= max_rate
    learned = pace.learned(TODAY)
    assert learned is None or learned.is_usable()
