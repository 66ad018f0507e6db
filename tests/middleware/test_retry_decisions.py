"""What is tried again, and how late: the decision as a table and as a property."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retries import (
    FINAL,
    MAY_PASS,
    POLICY,
    errors,
    is_refusal,
    refused,
    seconds,
    unavailable,
)

from siteassist_async import (
    APIError,
    BadGatewayError,
    ConfigurationError,
    DisconnectedError,
    InternalServerError,
    NotFoundError,
    RetryPolicy,
    SiteAssistError,
)
from siteassist_async.middleware.retry_policy import RETRIED, Retry, RetryState, decide


@pytest.mark.parametrize("error", MAY_PASS, ids=repr)
def test_what_may_pass_is_tried_again(error: SiteAssistError) -> None:
    """The delay is drawn below twice the last bound; the attempt counts."""
    assert decide(POLICY, error, RetryState(100, 1), 0.5) == Retry(0.5)
    assert decide(POLICY, error, RetryState(100, 2), 0.5) == Retry(1.0)


@pytest.mark.parametrize("error", MAY_PASS, ids=repr)
def test_the_attempts_are_bounded(error: SiteAssistError) -> None:
    """What failed as often as the policy says is the outcome."""
    assert decide(POLICY, error, RetryState(100, 3), 0.5) is None


@pytest.mark.parametrize("error", FINAL, ids=repr)
def test_what_cannot_pass_is_not_tried_again(error: SiteAssistError) -> None:
    """The first failure is the outcome."""
    assert decide(POLICY, error, RetryState(100, 1), 0.5) is None


@pytest.mark.parametrize(
    ("error", "progress", "jitter", "expected"),
    [
        # A refusal that names a time: that time, a tenth more at most, and no attempt.
        (refused(10.0), RetryState(100.0, 1), 0.0, Retry(10.0, spends_attempt=False)),
        (refused(10.0), RetryState(100.0, 1), 0.5, Retry(10.5, spends_attempt=False)),
        (unavailable(10.0), RetryState(100.0, 1), 0.5, Retry(10.5, spends_attempt=False)),
        (refused(10.0), RetryState(100.0, 99), 0.0, Retry(10.0, spends_attempt=False)),
        # A quota that names the time of its renewal is like a rate limit.
        (
            refused(10.0, "QUOTA_EXCEEDED"),
            RetryState(100.0, 1),
            0.0,
            Retry(10.0, spends_attempt=False),
        ),
        # Patience is never exceeded, neither by the time that is asked for nor by the jitter.
        (refused(100.0), RetryState(100.0, 1), 0.9, Retry(100.0, spends_attempt=False)),
        (refused(100.1), RetryState(100.0, 1), 0.0, None),
        (unavailable(100.1), RetryState(100.0, 1), 0.0, None),
        (BadGatewayError(retry_after=100.1), RetryState(100.0, 1), 0.0, None),
        (refused(1e9), RetryState(math.inf, 1), 0.0, Retry(1e9, spends_attempt=False)),
        (refused(0.5), RetryState(0.0, 1), 0.0, None),
        # Other errors that name a time: no earlier, and the attempt counts.
        (BadGatewayError(retry_after=30.0), RetryState(100.0, 1), 0.5, Retry(30.0)),
        (InternalServerError(retry_after=0.1), RetryState(100.0, 1), 0.5, Retry(0.5)),
        (NotFoundError(retry_after=1.0), RetryState(100.0, 1), 0.5, None),
        # No delay grows beyond the longest.
        (InternalServerError(), RetryState(100.0, 2), 0.999, Retry(1.998)),
        # An idle connection that the server had closed.
        (DisconnectedError(), RetryState(100.0, 1), 0.9, Retry(0.0)),
        (DisconnectedError(), RetryState(100.0, 2), 0.5, Retry(1.0)),
        # A server that goes on refusing is asked ever less often.
        (refused(0.01), RetryState(100.0, 1, 2), 0.5, Retry(0.0105, spends_attempt=False)),
        (refused(0.01), RetryState(100.0, 1, 3), 0.5, Retry(0.5, spends_attempt=False)),
        (refused(0.01), RetryState(100.0, 1, 5), 0.5, Retry(2.0, spends_attempt=False)),
        (refused(0.01), RetryState(100.0, 1, 99), 0.5, Retry(4.0, spends_attempt=False)),
        (refused(0.01), RetryState(3.0, 1, 99), 0.5, Retry(3.0, spends_attempt=False)),
        # What a user's link may raise: no time before now.
        (refused(-5.0), RetryState(100.0, 1), 0.5, Retry(0.5)),
        (refused(math.nan), RetryState(100.0, 1), 0.5, Retry(0.5)),
    ],
)
def test_a_time_that_the_api_names_is_kept(
    error: SiteAssistError, progress: RetryState, jitter: float, expected: Retry | None
) -> None:
    """Never earlier than asked, and never beyond the call's patience."""
    assert decide(POLICY, error, progress, jitter) == expected


def test_the_delay_doubles_up_to_the_longest() -> None:
    """The bound is first_delay, twice that, four times, and longest_delay in the end."""
    policy = RetryPolicy(attempts=2000, first_delay=1.0, longest_delay=8.0)
    error = InternalServerError()
    delays = [decide(policy, error, RetryState(0, n), 1.0) for n in (1, 2, 3, 4, 5, 1999)]
    assert delays == [Retry(seconds) for seconds in (1.0, 2.0, 4.0, 8.0, 8.0, 8.0)]


def test_the_retried_statuses_are_those_that_pass() -> None:
    """The set is the documented one."""
    gateways = {425, 499, *range(520, 525), 529, 530}
    assert {408, 429, 500, 502, 503, 504} | gateways == RETRIED
    for status in range(300, 600):
        error = APIError(status=status)
        retried = decide(POLICY, error, RetryState(1, 1), 0) is not None
        assert retried == (status in RETRIED)


policies = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 10_000),
    first_delay=seconds,
    longest_delay=seconds,
)


@given(
    policies,
    errors,
    st.builds(
        RetryState,
        patience=seconds | st.just(math.inf),
        spent=st.integers(1, 20_000),
        throttled=st.integers(0, 20_000),
        last_error=st.none(),
    ),
    st.floats(0, 1, exclude_max=True),
)
def test_a_delay_is_within_its_bounds(
    policy: RetryPolicy, error: SiteAssistError, progress: RetryState, jitter: float
) -> None:
    """For all inputs: never less than asked, never past patience, never beyond the policy."""
    retry = decide(policy, error, progress, jitter)
    if retry is None:
        return
    asked = error.retry_after if isinstance(error, APIError) and error.retry_after else 0.0
    assert asked <= retry.delay < math.inf
    assert asked <= progress.patience
    if retry.spends_attempt:
        assert progress.spent < policy.attempts
        assert retry.delay <= max(asked, policy.longest_delay)
        assert retry.delay <= max(asked, policy.first_delay * 2.0 ** min(progress.spent - 1, 60))
    else:
        assert is_refusal(error)
        assert retry.delay <= min(max(1.1 * asked, policy.longest_delay), progress.patience)
        if progress.throttled < policy.attempts:
            assert retry.delay <= 1.1 * asked


@pytest.mark.parametrize("name", ["attempts", "refusals"])
@pytest.mark.parametrize("count", [0, -1, "3", None])
def test_a_policy_without_attempts_is_refused(name: str, count: Any) -> None:  # noqa: ANN401 - wrong
    """The first attempt is one of them, and so is the first refusal."""
    with pytest.raises(ConfigurationError, match=f"{name} must be at least 1, not {count!r}"):
        RetryPolicy(**{name: count})


THREE = RetryPolicy(refusals=3)


@pytest.mark.parametrize("error", [refused(1.0), unavailable(1.0)], ids=repr)
@pytest.mark.parametrize("bulk", [True, False])
def test_an_id_refused_so_often_alone_has_its_outcome(
    error: SiteAssistError, *, bulk: bool
) -> None:
    """Three times; the first is known as its own by the second."""
    goes_on = [
        decide(THREE, error, RetryState(100, throttled=n, throttled_alone=n), 0, bulk=bulk)
        is not None
        for n in (0, 1, 2)
    ]
    assert goes_on == [True, True, False]


@pytest.mark.parametrize("error", [refused(1.0), unavailable(1.0)], ids=repr)
def test_refusals_of_everyone_are_waited_out(error: SiteAssistError) -> None:
    """Where somebody waits for the call, as long as the patience lasts; also with one refusal."""
    for policy in (THREE, RetryPolicy(refusals=1)):
        assert decide(policy, error, RetryState(100, throttled=99, unavailable=50), 0) is not None
    assert decide(RetryPolicy(refusals=1), error, RetryState(9, throttled_alone=1), 0) is None


@pytest.mark.parametrize(
    ("error", "progress", "goes_on"),
    [
        (unavailable(1.0), RetryState(100, throttled=1, unavailable=1), True),
        (unavailable(1.0), RetryState(100, throttled=2, unavailable=2), False),
        (unavailable(1.0), RetryState(100, throttled=7, unavailable=1), True),
        (refused(1.0), RetryState(100, throttled=6), True),
        (refused(1.0), RetryState(100, throttled=7), False),
        (refused(1.0), RetryState(100, throttled=8, unavailable=2), True),
        (refused(1.0), RetryState(100, throttled=9, unavailable=2), False),
        # Without a time to wait the attempts are what counts.
        (unavailable(), RetryState(100, throttled=9, unavailable=9), True),
        (BadGatewayError(retry_after=1.0), RetryState(100, throttled=9, unavailable=9), True),
    ],
)
def test_in_bulk_calls_three_503s_and_eight_429s_are_enough(
    error: SiteAssistError,
    progress: RetryState,
    goes_on: bool,  # noqa: FBT001 - the table's
) -> None:
    """Whose they are is for the caller to find out; each kind counts by itself."""
    assert (decide(THREE, error, progress, 0.5, bulk=True) is not None) == goes_on


@pytest.mark.parametrize("name", ["first_delay", "longest_delay", "patience", "budget"])
@pytest.mark.parametrize("value", [-0.1, math.nan, -math.inf, "3"])
def test_a_policy_with_negative_seconds_is_refused(name: str, value: Any) -> None:  # noqa: ANN401 - wrong
    """None of its numbers can be negative or no number."""
    with pytest.raises(ConfigurationError, match=f"{name} must be 0 or more, not {value!r}"):
        RetryPolicy(**{name: value})
