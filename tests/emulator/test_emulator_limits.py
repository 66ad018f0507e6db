"""The emulator's rate limits."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siteassist_async.emulator import FixedWindow, Limit, TokenBucket

STEPS = st.lists(st.floats(min_value=0, max_value=5), min_size=1, max_size=120)
RATES = st.floats(min_value=0.1, max_value=1000)
BURSTS = st.floats(min_value=1, max_value=100)


def granted(limit: Limit, times: list[float]) -> list[float]:
    """The times at which a request is granted."""
    return [now for now in times if not limit.take(now)]


@given(RATES, BURSTS, STEPS)
def test_a_bucket_grants_no_more_than_its_rate_and_burst(
    rate: float, burst: float, steps: list[float]
) -> None:
    """Between any two grants lie at most rate * time + burst of them."""
    grants = granted(TokenBucket(rate, burst), list(itertools.accumulate(steps)))
    for first, start in enumerate(grants):
        for last in range(first, len(grants)):
            allowed = rate * (grants[last] - start + 1e-5) + burst
            assert last - first + 1 <= allowed + 1e-6


@given(RATES, BURSTS, STEPS)
def test_a_bucket_is_full_again_once_its_burst_is_earned(
    rate: float, burst: float, steps: list[float]
) -> None:
    """After any history and a rest of burst ÷ rate the whole burst is there."""
    bucket = TokenBucket(rate, burst)
    times = list(itertools.accumulate(steps))
    granted(bucket, times)
    rested = times[-1] + burst / rate + 1e-3
    assert len(granted(bucket, [rested] * 200)) >= int(burst)


@given(
    st.one_of(
        st.builds(TokenBucket, RATES, BURSTS),
        st.builds(
            FixedWindow,
            st.integers(min_value=1, max_value=20),
            st.floats(min_value=0.1, max_value=60),
        ),
    ),
    STEPS,
)
def test_who_comes_when_told_to_is_granted(
    limit: TokenBucket | FixedWindow, steps: list[float]
) -> None:
    """A refused request's wait is enough, to the rounding of floats, and never negative."""
    now = 0.0
    for step in steps:
        now += step
        if wait := limit.take(now):
            assert wait > 0
            now += wait
            assert limit.take(now) == 0.0


def test_who_comes_a_little_early_is_refused() -> None:
    """A bucket of 10 a second refuses 99 ms after the last token, and grants after 100."""
    bucket = TokenBucket(10, 1)
    assert bucket.take(5.0) == 0.0
    assert bucket.take(5.099) == pytest.approx(0.001)
    assert bucket.take(5.1) == 0.0


@given(st.integers(min_value=1, max_value=20), st.sampled_from([0.5, 1.0, 60.0]), STEPS)
def test_a_window_grants_no_more_than_its_count(
    count: int, window: float, steps: list[float]
) -> None:
    """Windows are aligned to `start`, and each grants its count at most."""
    grants = granted(FixedWindow(count, window), list(itertools.accumulate(steps)))
    windows = [int((now + 1e-6) // window) for now in grants]
    assert all(windows.count(index) <= count for index in windows)


def test_the_default_burst_is_one_seconds_worth() -> None:
    """At least one request, however low the rate."""
    assert TokenBucket(50).burst == 50
    assert TokenBucket(0.1).burst == 1


def test_a_rate_may_change_while_the_bucket_is_used() -> None:
    """The new rate fills the bucket from the last request on."""
    bucket = TokenBucket(1, 1)
    assert bucket.take(0.0) == 0.0
    bucket.rate = 10
    assert bucket.take(0.05) == pytest.approx(0.05)
    assert bucket.take(0.1) == 0.0


def test_a_clock_that_stands_or_goes_back_earns_nothing() -> None:
    """Only time that has passed is paid for."""
    bucket = TokenBucket(1, 1)
    assert bucket.take(10.0) == 0.0
    assert bucket.take(10.0) == 1.0
    assert bucket.take(9.0) == 1.0


def test_a_quota_tells_what_a_bucket_has_left() -> None:
    """The window is the time that fills an empty bucket, the reset the time that fills it now."""
    bucket = TokenBucket(2, 10)
    bucket.take(0.0)
    bucket.take(0.0)
    quota = bucket.quota(0.5)
    assert (quota.limit, quota.remaining, quota.reset, quota.window) == (10, 9, 0.5, 5.0)


def test_a_quota_tells_what_a_window_has_left() -> None:
    """The reset is the end of the window."""
    window = FixedWindow(3, 60, start=30)
    window.take(100.0)
    quota = window.quota(101.0)
    assert (quota.limit, quota.remaining, quota.reset, quota.window) == (3, 2, 49.0, 60)


@pytest.mark.parametrize("rate", [0, -1])
def test_a_rate_is_positive(rate: float) -> None:
    """A bucket that never fills is a mistake, at the start and later."""
    with pytest.raises(ValueError, match="rate"):
        TokenBucket(rate)
    bucket = TokenBucket(1)
    with pytest.raises(ValueError, match="rate"):
        bucket.rate = rate


def test_a_burst_holds_a_request() -> None:
    """A bucket that holds less than one token would refuse for ever."""
    with pytest.raises(ValueError, match="burst"):
        TokenBucket(1, 0.5)
