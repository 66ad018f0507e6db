"""Whether a failure may pass, and how long after it the next attempt is made."""

from __future__ import annotations

from attrs import define, frozen

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

RETRIED = frozenset({408, 425, 429, 499, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529, 530})
"""The statuses that may pass: the documented ones, and those of gateways before the API.

408 and 425 (RFC 9110, RFC 8470), 499 (nginx), 504, 520 to 524 and 530 (Cloudflare), 529
(overloaded). 525 and 526 are not among them: a gateway that distrusts the API's certificate does
so until a person acts.
"""


@frozen
class RetryPolicy:
    """How often and how late a failed attempt is retried.

    An operation that must not be repeated is retried only where the request did not reach the
    server, or was refused by a 429 or 503; else its error has `outcome_unknown` set.

    Tried again are the statuses in `RETRIED`, timeouts, broken connections and truncated answers,
    an answer to another request, and a token callable that raised or took too long. Not tried
    again: every other status, of the API or of a proxy, a certificate that cannot be trusted, a
    body that breaks the contract, and a 429 which names no time and whose code is not that of the
    rate limit, for that is a quota used up.

    The delay before attempt n+1 is drawn between 0 and `first_delay` · 2^(n-1), at most
    `longest_delay` (full jitter); never less than the API asks for. Where a 429 or 503 names a
    time, the wait counts against `patience` and the deadline, and the attempt does not count; a
    server that goes on refusing is asked ever less often, however short the time that it names.

    Attributes:
        attempts: Requests for one call, the first included.
        first_delay: Seconds.
        longest_delay: Seconds.
        patience: Seconds that one call may wait in all because the API asked it to, and that each
            attempt may wait for its start, counted from its arrival.
        refusals: How often one ID may be refused (429 or 503, with a time to wait) while others
            are answered, before that is its outcome. In bulk calls, 503s count in any case.
        budget: Retries that a client may have in hand; each costs one, and each success earns a
            fifth of one back, so that an outage is not answered by five times the load. None: no
            bound, as a job wants it.
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
            if count < 1:
                raise ConfigurationError(f"RetryPolicy.{name} must be at least 1, not {count}")
        for name in ("first_delay", "longest_delay", "patience", "budget"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ConfigurationError(f"RetryPolicy.{name} must be 0 or more, not {value}")


@frozen
class Retry:
    """What follows a failure: another attempt after `delay` seconds."""

    delay: float
    spends_attempt: bool = True


@define
class Progress:
    """How far one call has come."""

    patience: float
    """Seconds left to wait because the API asks for it."""
    spent: int = 1
    """Attempts that count."""
    refused: int = 0
    """Attempts that do not, because the API named a time to wait."""
    unavailable: int = 0
    """Of these, the 503s."""
    refused_alone: int = 0
    """Of all refusals, those where others were answered meanwhile."""
    delay: float = 0.0
    """Seconds before the next attempt."""
    is_parked: bool = False
    """Whether the API asked for them."""
    last_error: SiteAssistError | None = None


# In bulk calls so many 429s of one ID, with a time to wait, are not for it to wait out: the
# caller looks whether others are answered.
MOST_429S = 8


def decide(
    policy: RetryPolicy,
    error: SiteAssistError,
    progress: Progress,
    jitter: float,
    *,
    bulk: bool = False,
) -> Retry | None:
    """Choose what follows a failure; None: the error is the outcome.

    `jitter` is drawn from [0, 1). `bulk` is for one of many.
    """
    seconds = asked(error)
    if seconds > progress.patience:
        return None
    if seconds and isinstance(error, RateLimitError | ServiceUnavailableError):
        if _was_refused_enough(policy, error, progress, bulk=bulk):
            return None
        # The jitter parts the many processes that were all told the same second.
        backoff = jitter * _longest(policy, progress.refused - policy.attempts)
        delay = max(seconds * (1 + jitter / 10), backoff)
        return Retry(min(delay, progress.patience), spends_attempt=False)
    if progress.spent >= policy.attempts or not _may_pass(error):
        return None
    if isinstance(error, DisconnectedError) and progress.spent == 1:
        return Retry(0.0)  # an idle connection that the server had closed: a new one will do
    return Retry(max(jitter * _longest(policy, progress.spent - 1), seconds))


def _was_refused_enough(
    policy: RetryPolicy, error: SiteAssistError, progress: Progress, *, bulk: bool
) -> bool:
    if 0 < progress.refused_alone >= policy.refusals - 1:
        return True
    if isinstance(error, ServiceUnavailableError):
        return bulk and progress.unavailable + 1 >= policy.refusals
    return bulk and progress.refused - progress.unavailable + 1 >= MOST_429S


def _longest(policy: RetryPolicy, doublings: int) -> float:
    if doublings < 0:
        return 0.0
    return min(policy.longest_delay, policy.first_delay * 2.0 ** min(doublings, 60))


def is_outcome_unknown(error: SiteAssistError) -> bool:
    """Whether the server may have done what it was asked for, though no usable response came."""
    if isinstance(error, TransportError):
        return error.sent
    if isinstance(error, ServerError):
        return not isinstance(error, ServiceUnavailableError)
    return isinstance(error, UnusableResponseError | UnexpectedStatusError)


def may_repeat(error: SiteAssistError) -> bool:
    """Whether what must not be done twice may be tried again: it was not done."""
    if isinstance(error, APIError):
        return isinstance(error, RateLimitError | ServiceUnavailableError)
    return not is_outcome_unknown(error)


def asked(error: SiteAssistError) -> float:
    """Seconds that the API asks to wait; 0 where it does not."""
    return max(0.0, error.retry_after or 0.0) if isinstance(error, APIError) else 0.0


def _may_pass(error: SiteAssistError) -> bool:
    if isinstance(error, RateLimitError):
        return error.code in {None, "RATE_LIMIT_EXCEEDED"}
    if isinstance(error, APIError):
        return error.status in RETRIED
    if isinstance(error, TokenError):  # without a cause the callable gave what is no token
        cause = error.__cause__
        return cause is not None and not isinstance(cause, ConfigurationError)
    if isinstance(error, ProxyError):
        return error.status in RETRIED
    return isinstance(error, TransportError | WrongConversationError) and not isinstance(
        error, CertificateError
    )
