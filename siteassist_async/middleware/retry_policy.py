"""Retry policy: which failures are retried, and the delay before the next attempt."""

from __future__ import annotations

import math

from siteassist_async.errors import (
    APIError,
    CertificateError,
    ConfigurationError,
    DisconnectedError,
    ProxyError,
    RateLimitError,
    ServerError,
    ServiceUnavailableError,
    SiteAssistError,
    TokenError,
    TransportError,
    UnexpectedStatusError,
    UnusableResponseError,
    WrongConversationError,
)
from siteassist_async.immutable import define, frozen

RETRIED = frozenset({408, 425, 429, 499, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529, 530})
"""Statuses that are retried: those that the API documents, and those of gateways in front of it.

408 and 425 (RFC 9110, RFC 8470), 499 (nginx), 504, 520 to 524 and 530 (Cloudflare), 529
(overloaded). Not 525 and 526: a gateway that rejects the API's certificate keeps doing so until
somebody intervenes.
"""


@frozen
class RetryPolicy:
    """When and how often failed attempts are retried.

    Retried: the statuses in `RETRIED`, timeouts, lost connections, truncated responses, responses
    about another conversation, and a token callable that raised or timed out. Not retried: all
    other statuses, of the API or of a proxy, an untrusted certificate, a body that does not match
    the schema, and a 429 without a Retry-After whose code is not that of the rate limit, because
    then a usage quota is used up. An operation that must not be repeated is retried only if the
    request did not reach the server, or was rejected with a 429 or 503; otherwise its error has
    `outcome_unknown` set.

    Exponential backoff with full jitter: the delay before attempt n+1 is drawn between 0 and
    `first_delay` · 2^(n-1), at most `longest_delay`, and never less than the API asks for. If a 429
    or 503 has a Retry-After, the wait counts against `patience` and the deadline instead of
    `attempts`; if the server keeps throttling, the delays grow even if its Retry-After does not.

    Attributes:
        attempts: Maximum number of attempts, including the first.
        first_delay: Upper bound of the first delay, in seconds.
        longest_delay: Upper bound of all delays, in seconds.
        patience: Seconds that a call may wait in total because the API asks it to, and that each
            attempt may wait for its start, counted from its arrival.
        refusals: How often one ID may be throttled (429 or 503 with a Retry-After) while others are
            served, before the error is raised. In bulk work, 503s always count.
        budget: Maximum number of retries in hand for a client. Each retry costs one, and each
            success earns a fifth back, so that retries do not multiply the load in an outage. An
            error that was not retried for lack of it has `budget_spent` set. None for no limit, for
            example in a batch job.
    """

    attempts: int = 5
    first_delay: float = 0.5
    longest_delay: float = 20.0
    patience: float = 600.0
    refusals: int = 3
    budget: float | None = 100.0

    def __attrs_post_init__(self) -> None:
        for name in ("attempts", "refusals"):
            count = getattr(self, name)
            if not (isinstance(count, int) and count >= 1):
                raise ConfigurationError(f"RetryPolicy.{name} must be at least 1, not {count!r}")
        for name in ("first_delay", "longest_delay", "patience", "budget"):
            value = getattr(self, name)
            if value is None and name == "budget":
                continue
            if not (isinstance(value, int | float) and value >= 0):
                raise ConfigurationError(f"RetryPolicy.{name} must be 0 or more, not {value!r}")


# Eight attempts last half a minute, in which a deploy or a proxy comes back. Nobody is waiting for
# a single answer, so the job waits for as long as the API asks it to, and has no retry budget.
PATIENT = RetryPolicy(attempts=8, patience=math.inf, budget=None)
"""The policy of an export."""


@frozen
class Retry:
    """The decision to retry after `delay` seconds; `spends_attempt` if it counts as an attempt."""

    delay: float
    spends_attempt: bool = True


@define
class RetryState:
    """The retry state of one call."""

    patience: float
    """Seconds that the call may still wait because the API asks it to."""
    spent: int = 1
    """Attempts that count towards `RetryPolicy.attempts`."""
    throttled: int = 0
    """Attempts that do not count, because they were throttled with a Retry-After."""
    unavailable: int = 0
    """How many of those were 503s."""
    throttled_alone: int = 0
    """How often the ID was throttled while others were served."""
    delay: float = 0.0
    """Seconds before the next attempt."""
    is_parked: bool = False
    """Whether the API asked for that delay."""
    last_error: SiteAssistError | None = None


# 429s of one ID, each with a Retry-After, after which a bulk call stops retrying it by itself and
# lets outage detection find out whether others are served.
MOST_429S = 8


def decide(
    policy: RetryPolicy,
    error: SiteAssistError,
    progress: RetryState,
    jitter: float,
    *,
    bulk: bool = False,
) -> Retry | None:
    """Decide whether and when to retry; None if the error is to be raised.

    `jitter` is drawn from [0, 1); `bulk` is set for a call that is part of bulk work.
    """
    seconds = requested_delay(error)
    if seconds > progress.patience:
        return None
    if seconds and isinstance(error, RateLimitError | ServiceUnavailableError):
        most, throttled = MOST_429S, progress.throttled - progress.unavailable
        if isinstance(error, ServiceUnavailableError):
            most, throttled = policy.refusals, progress.unavailable
        if is_alone(policy, progress.throttled_alone) or (bulk and throttled + 1 >= most):
            return None
        # The jitter spreads the processes that were all given the same Retry-After.
        backoff = jitter * _longest(policy, progress.throttled - policy.attempts)
        delay = max(seconds * (1 + jitter / 10), backoff)
        return Retry(min(delay, progress.patience), spends_attempt=False)
    if progress.spent >= policy.attempts or not _is_retryable(error):
        return None
    if isinstance(error, DisconnectedError) and progress.spent == 1:
        # Most likely the server closed an idle connection, so retry at once on a new one.
        return Retry(0.0)
    return Retry(max(jitter * _longest(policy, progress.spent - 1), seconds))


def _longest(policy: RetryPolicy, doublings: int) -> float:
    if doublings < 0:
        return 0.0
    return min(policy.longest_delay, policy.first_delay * 2.0 ** min(doublings, 60))


def is_outcome_unknown(error: SiteAssistError) -> bool:
    """Whether the server may have performed the request although there is no usable response."""
    if isinstance(error, TransportError):
        return error.sent
    if isinstance(error, ServerError):
        return not isinstance(error, ServiceUnavailableError)
    return isinstance(error, UnusableResponseError | UnexpectedStatusError)


def may_repeat(error: SiteAssistError) -> bool:
    """Whether a request that must not be performed twice may be repeated: it was not performed."""
    if isinstance(error, APIError):
        return isinstance(error, RateLimitError | ServiceUnavailableError)
    return not is_outcome_unknown(error)


def requested_delay(error: SiteAssistError) -> float:
    """Return the seconds that the API asks to wait; 0 if it does not."""
    return max(0.0, error.retry_after or 0.0) if isinstance(error, APIError) else 0.0


def _is_retryable(error: SiteAssistError) -> bool:
    if isinstance(error, RateLimitError):
        return error.code in {None, "RATE_LIMIT_EXCEEDED"}
    if isinstance(error, APIError):
        return error.status in RETRIED
    if isinstance(error, TokenError):  # without a cause, the callable returned an invalid token
        cause = error.__cause__
        return cause is not None and not isinstance(cause, ConfigurationError)
    if isinstance(error, ProxyError):
        return error.status in RETRIED
    return isinstance(error, TransportError | WrongConversationError) and not isinstance(
        error, CertificateError
    )


def is_alone(policy: RetryPolicy, throttled_alone: int) -> bool:
    """Whether an ID was throttled so often while others were served that it fails."""
    return throttled_alone >= max(1, policy.refusals - 1)
