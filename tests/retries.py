"""What the tests of retry share: failures, strategies, and the link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fakes import FakeClock
from hypothesis import strategies as st

from siteassist_async import (
    APIError,
    AuthenticationError,
    BadGatewayError,
    BadRequestError,
    CertificateError,
    ClientError,
    ConfigurationError,
    ConflictError,
    ConnectionFailedError,
    DeadlineExceededError,
    DisconnectedError,
    InternalServerError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    ProxyError,
    RateLimitError,
    ResponseTooLargeError,
    RetryPolicy,
    ServerError,
    ServiceUnavailableError,
    SiteAssistError,
    TimedOutError,
    TokenError,
    UnexpectedStatusError,
    UnusableResponseError,
    ValidationError,
    WrongConversationError,
)
from siteassist_async.events import Event, EventStream
from siteassist_async.logs import log_call
from siteassist_async.middleware.retry import RetryBudget, Retrying

if TYPE_CHECKING:
    from siteassist_async.closing import Closing

POLICY = RetryPolicy(attempts=3, first_delay=1.0, longest_delay=8.0, patience=100.0)


def refused(seconds: float | None = None, code: str | None = None) -> RateLimitError:
    """A 429."""
    return RateLimitError("slow down", retry_after=seconds, code=code)


def unavailable(seconds: float | None = None) -> ServiceUnavailableError:
    """A 503."""
    return ServiceUnavailableError("later", retry_after=seconds)


def caused(error: SiteAssistError, cause: Exception) -> SiteAssistError:
    """An error with what is behind it."""
    error.__cause__ = cause
    return error


MAY_PASS: list[SiteAssistError] = [
    ClientError(status=408),
    refused(),
    refused(code="RATE_LIMIT_EXCEEDED"),
    refused(0.0),
    InternalServerError(),
    BadGatewayError(),
    unavailable(),
    ServerError(status=504),
    TimedOutError(),
    ConnectionFailedError(),
    *[ProxyError(status) for status in (429, 503)],
    WrongConversationError(),
    caused(TokenError("the callable raised"), OSError()),
    *[ClientError(status=status) for status in (425, 499)],
    *[ServerError(status=status) for status in (520, 521, 522, 523, 524, 529, 530)],
]


FINAL: list[SiteAssistError] = [
    BadRequestError(),
    AuthenticationError(),
    PaymentRequiredError(),
    PermissionDeniedError(),
    NotFoundError(),
    ConflictError(),
    ValidationError(),
    ClientError(status=410),
    ServerError(status=501),
    UnexpectedStatusError(status=302),
    refused(code="QUOTA_EXCEEDED"),
    CertificateError(),
    *[ProxyError(status) for status in (403, 407)],
    UnusableResponseError(),
    ResponseTooLargeError(),
    TokenError(),
    caused(TokenError("the callable raised"), ConfigurationError()),
    *[ServerError(status=status) for status in (525, 526)],
    ConfigurationError(),
    DeadlineExceededError(),
    SiteAssistError("the client is closed"),
]


seconds = st.floats(0, 1e6)


errors = st.one_of(
    st.builds(refused, st.none() | seconds, st.sampled_from([None, "RATE_LIMIT_EXCEEDED", "X"])),
    st.builds(unavailable, st.none() | seconds),
    st.builds(BadGatewayError, retry_after=st.none() | seconds),
    st.sampled_from([*MAY_PASS, *FINAL, DisconnectedError()]),
)


def names_a_time(error: SiteAssistError) -> bool:
    """Whether the API asked for a wait."""
    return isinstance(error, APIError) and bool(error.retry_after)


def is_refusal(error: SiteAssistError) -> bool:
    """Whether it is one of the two statuses whose wait gives the attempt back."""
    return isinstance(error, RateLimitError | ServiceUnavailableError)


def retrying(
    policy: RetryPolicy = POLICY,
    clock: FakeClock | None = None,
    *,
    budget: float | None = None,
    events: EventStream[Event] | None = None,
    closing: Closing | None = None,
) -> Retrying:
    """The link, its jitter always in the middle."""
    return Retrying(
        policy,
        clock or FakeClock(),
        budget=RetryBudget(budget),
        events=events or EventStream[Event](log_call),
        closing=closing,
        jitter=lambda: 0.5,
    )
