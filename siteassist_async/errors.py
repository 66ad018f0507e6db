"""Every exception of the package.

```text
SiteAssistError
├── APIError                       the API responded with an error
│   ├── ClientError                any 4xx
│   │   ├── BadRequestError        400
│   │   ├── AuthenticationError    401
│   │   ├── PaymentRequiredError   402
│   │   ├── PermissionDeniedError  403
│   │   ├── NotFoundError          404
│   │   ├── ConflictError          409
│   │   ├── ValidationError        422
│   │   └── RateLimitError         429
│   ├── ServerError                any 5xx
│   │   ├── InternalServerError    500
│   │   ├── BadGatewayError        502
│   │   └── ServiceUnavailableError 503
│   └── UnexpectedStatusError      neither 200, 4xx nor 5xx, such as a redirect
├── TransportError                 no complete response
│   ├── ConnectionFailedError      no connection, or it was lost
│   │   ├── DisconnectedError      it was lost before the first byte of the response
│   │   ├── CertificateError       the server's certificate is not trusted
│   │   └── ProxyError             a proxy refused the connection to the server
│   └── TimedOutError              one attempt took too long (a TimeoutError)
├── DeadlineExceededError          the call took too long (a TimeoutError)
├── ThrottledError                 not sent: the rate limit would have made it late
├── OutageError                    bulk work gave up after an outage
├── UnusableResponseError          a response that does not match the schema
│   ├── WrongConversationError     a response about another conversation
│   ├── UnusablePageError          a page that contradicts the list that it is of
│   └── ResponseTooLargeError      a body above the size limit
├── ClientClosedError              a call after the client was closed
├── TokenError                     the token callable failed
├── InvalidIdError                 an ID that is not a UUID (a ValueError)
└── ConfigurationError             an invalid option (a ValueError)
```
"""

# pyright: reportIncompatibleVariableOverride=false
# `details` has a narrower type in each class; only `APIError.__init__` sets it.

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, ClassVar

from siteassist_async.immutable import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping


_KNOWN_STATUSES = frozenset(HTTPStatus)


def printable(text: str, limit: int = 200) -> str:
    """Shorten text from outside, and escape what is unsafe in one line of a terminal or log."""
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    if shown.isprintable():
        return shown
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode()
        for c in shown
    )


class SiteAssistError(Exception):
    """The base of every exception of this package.

    Attributes:
        attempts: Number of requests that were sent for this call.
        elapsed: Seconds from the start of the call to its failure.
        isolated: Whether this conversation was throttled repeatedly while others were served.
        outcome_unknown: Whether the server may have performed an operation that must not be
            repeated (`Operation.repeatable=False`). Check before you try again.
        next_offset: Where to continue a listing: the offset of the page that failed. None outside
            of listings.
        budget_spent: Whether it was not retried because the client's retry budget
            (`RetryPolicy.budget`) is used up.
    """

    attempts: int = 0
    elapsed: float = 0.0
    isolated: bool = False
    outcome_unknown: bool = False
    next_offset: int | None = None
    budget_spent: bool = False
    _lasts: ClassVar[bool] = False

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later, perhaps after somebody has mended something.

        False if the API has said that it fails for this ID (400, 403, 404, 409 and 422 with their
        documented codes) or for this plan (402), and if an argument or option is invalid.
        """
        return not self._lasts

    def __str__(self) -> str:
        line = printable(self._summary())
        context = self._context()
        return f"{line} ({'; '.join(context)})" if context else line

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def _summary(self) -> str:
        return str(self.args[0]) if self.args else type(self).__name__

    def _context(self) -> list[str]:
        context: list[str] = []
        if self.attempts:
            plural = "" if self.attempts == 1 else "s"
            context.append(f"{self.attempts} attempt{plural} in {self.elapsed:.2f} s")
        if self.budget_spent:
            context.append("not retried: the retry budget is spent")
        if self.next_offset is not None:
            context.append(f"continue at offset {self.next_offset}")
        return context


@frozen
class FieldDetails:
    """Details of a 400: the invalid field of the request."""

    field: str


@frozen
class PlanDetails:
    """Details of a 402: the project's plan, the plan it needs, and the feature that needs it."""

    current_plan: str
    required_plan: str
    feature: str


@frozen
class ConversationDetails:
    """Details of a 404: the ID that was not found."""

    conversation_id: str


@frozen
class ConflictDetails:
    """Details of a 409: the resource that exists already, and the field that conflicts."""

    resource: str
    conflicting_field: str


@frozen
class ValidationDetails:
    """Details of a 422: the invalid field of the request, and the reason."""

    field: str
    reason: str


Seconds = Annotated[float, "seconds"]
"""A number of seconds, which the API may also send as a string."""


@frozen
class RetryDetails:
    """Details of a 429 or 503: the seconds after which to retry."""

    retry_after: Seconds


@frozen
class ServiceDetails:
    """Details of a 502: the upstream service that failed."""

    service: str


Details = (
    FieldDetails
    | PlanDetails
    | ConversationDetails
    | ConflictDetails
    | ValidationDetails
    | RetryDetails
    | ServiceDetails
)


OWN_CODES = {
    400: "INVALID_REQUEST_BODY",
    403: "FORBIDDEN",
    404: "CONVERSATION_NOT_FOUND",
    409: "CONFLICT",
    422: "VALIDATION_ERROR",
}
"""The documented codes of errors that are about the requested ID."""


class APIError(SiteAssistError):
    """The API responded with an error status. The status alone decides the class.

    Attributes:
        status: The HTTP status.
        code: The body's `code` as sent, documented or not.
        message: The body's `message` as sent, unescaped; use `str(error)` in logs.
        details: The body's `details`, typed as documented for the status; None if absent or
            of another shape.
        raw_details: The body's `details` as sent.
        retry_after: Seconds that the server asks to wait: the longer of the body's `retryAfter` and
            the Retry-After header; None if there is neither.
        request_id: The X-Request-Id or Request-Id response header.
        headers: The response headers, names in lower case.
    """

    status: int = 0
    details_class: ClassVar[type[Details] | None] = None
    details: Details | None

    def __init__(  # noqa: PLR0913 - one argument for each part of an error response
        self,
        message: str = "",
        *,
        status: int | None = None,
        code: str | None = None,
        details: Details | None = None,
        raw_details: object = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if status is not None:
            self.status = status
        self.code = code
        self.details = details
        self.raw_details = raw_details
        self.retry_after = retry_after
        self.headers = dict(headers or {})
        self.request_id = self.headers.get("x-request-id") or self.headers.get("request-id")

    @property
    def retryable(self) -> bool:
        """As in the base class."""
        return not self._lasts and self.code != OWN_CODES.get(self.status, "")

    def _summary(self) -> str:
        head = f"{self.status} {printable(self.code, 60)}" if self.code else str(self.status)
        return f"{head}: {self.message}" if self.message else head

    def _context(self) -> list[str]:
        context = super()._context()
        if self.retry_after is not None:
            context.append(f"retry after {self.retry_after:g} s")
        if self.request_id:
            context.append(f"request id {printable(self.request_id, 80)}")
        return context


class ClientError(APIError):
    """Any 4xx: the request is not acceptable as it is."""


class BadRequestError(ClientError):
    """400: the request is malformed."""

    status = 400
    details_class = FieldDetails
    details: FieldDetails | None


class AuthenticationError(ClientError):
    """401: the token is missing, wrong or has expired."""

    status = 401


class PaymentRequiredError(ClientError):
    """402: the project's plan does not include this feature."""

    status = 402
    details_class = PlanDetails
    details: PlanDetails | None
    _lasts = True


class PermissionDeniedError(ClientError):
    """403: the token may not read this conversation."""

    status = 403


class NotFoundError(ClientError):
    """404: there is no such conversation."""

    status = 404
    details_class = ConversationDetails
    details: ConversationDetails | None


class ConflictError(ClientError):
    """409: the request conflicts with what exists."""

    status = 409
    details_class = ConflictDetails
    details: ConflictDetails | None


class ValidationError(ClientError):
    """422: a value in the request is not allowed."""

    status = 422
    details_class = ValidationDetails
    details: ValidationDetails | None


class RateLimitError(ClientError):
    """429: the project's rate limit or its usage quota is reached."""

    status = 429
    details_class = RetryDetails
    details: RetryDetails | None


class ServerError(APIError):
    """Any 5xx: the API, or a gateway in front of it, failed."""


class InternalServerError(ServerError):
    """500: the API failed."""

    status = 500


class BadGatewayError(ServerError):
    """502: a service behind the API failed."""

    status = 502
    details_class = ServiceDetails
    details: ServiceDetails | None


class ServiceUnavailableError(ServerError):
    """503: the API is temporarily down or overloaded."""

    status = 503
    details_class = RetryDetails
    details: RetryDetails | None


class UnexpectedStatusError(APIError):
    """A status that is neither a success nor 4xx or 5xx, such as a redirect (never followed)."""


class TransportError(SiteAssistError):
    """No complete response was received.

    Attributes:
        sent: Whether the request may have reached the server.
    """

    sent: bool = True


class ConnectionFailedError(TransportError):
    """The connection failed, or was lost before the response was complete."""


class DisconnectedError(ConnectionFailedError):
    """The connection was lost before the first byte of the response, as idle ones often are."""


class CertificateError(ConnectionFailedError):
    """The server's certificate is not trusted; nothing was sent, and it is not retried."""

    sent = False


class ProxyError(ConnectionFailedError):
    """The proxy refused the connection: it requires authentication, for example, or bans the host.

    Attributes:
        status: The proxy's HTTP status.
    """

    sent = False

    def __init__(self, status: int = 0) -> None:
        super().__init__(status)
        self.status = status

    def _summary(self) -> str:
        phrase = HTTPStatus(self.status).phrase if self.status in _KNOWN_STATUSES else ""
        return f"the proxy refused the connection to the server: {self.status} {phrase}".rstrip()


class TimedOutError(TransportError, TimeoutError):
    """One attempt took longer than its `Timeout` allows."""


class DeadlineExceededError(SiteAssistError, TimeoutError):
    """The call's deadline passed before a response was received."""


_WAIT_REASONS = {
    "pace": "the rate limit is reached",
    "gate": "the API asked all requests to wait",
    "slots": "all of the client's connections are in use",
    "retry_after": "the API asked to retry this conversation later",
}


class ThrottledError(SiteAssistError):
    """The client did not send the request, because it would have had to wait for too long.

    It is raised as soon as the expected wait goes beyond the call's deadline or
    `RetryPolicy.patience`, so that neither the caller nor the API spends anything on the request.

    Attributes:
        reason: What it would have waited for: the learned rate ("pace"), a pause that the API asked
            for all requests ("gate") or for this conversation ("retry_after"), or a free
            connection ("slots").
        wait: The expected wait, in seconds.
    """

    def __init__(self, message: str = "", *, reason: str = "pace", wait: float = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.wait = wait

    def _summary(self) -> str:
        if self.args[0]:
            return super()._summary()
        wait = f"wait of {self.wait:.3g} s" if self.wait else "wait"
        return f"not sent: {_WAIT_REASONS[self.reason]}; the {wait} would be too long"


class OutageError(SiteAssistError):
    """An outage lasted for longer than a bulk call waits.

    IDs that failed during the outage have no outcome: nothing is known about them.

    Attributes:
        error: The last error.
        seconds: The length of the outage so far, which is `elapsed` as well.
    """

    def __init__(self, error: SiteAssistError, seconds: float) -> None:
        super().__init__(error, seconds)
        self.error = error
        self.seconds = self.elapsed = seconds

    def _summary(self) -> str:
        return f"no usable response for {self.seconds:.0f} s; last error: {self.error}"


class UnusableResponseError(SiteAssistError):
    """A response was received whose body does not match the documented schema.

    Attributes:
        path: The invalid place in the body, such as `messages[3].createdAt`; "" for the whole body.
        excerpt: The start of the body as sent, unescaped; use `str(error)` in logs.
    """

    def __init__(self, message: str = "", *, path: str = "", excerpt: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.excerpt = excerpt

    def _summary(self) -> str:
        where = f" at {self.path}" if self.path else ""
        return f"unusable response{where}: {super()._summary()}"

    def _context(self) -> list[str]:
        context = super()._context()
        if self.excerpt:
            context.append(f"body starts with {self.excerpt[:60]!r}")
        return context


class WrongConversationError(UnusableResponseError):
    """The response is about another conversation; its connection is closed."""


class UnusablePageError(UnusableResponseError):
    """A page of a list contradicts the list: it is repeated, or empty before the end.

    Or it is at another offset than the one asked for. Going on could miss items, or never end.
    """


class ResponseTooLargeError(UnusableResponseError):
    """The body exceeds the size limit; the rest of it was not read."""


class ClientClosedError(SiteAssistError):
    """The client was closed before or during the call."""


class TokenError(SiteAssistError):
    """The token callable raised, timed out, or returned something that is no usable token."""


class InvalidIdError(SiteAssistError, ValueError):
    """A conversation ID is not a UUID; nothing was sent."""

    _lasts = True


class ConfigurationError(SiteAssistError, ValueError):
    """An option, argument or combination of them is invalid; nothing was sent."""

    _lasts = True


DOCUMENTED: dict[int, type[APIError]] = {
    error.status: error
    for error in (
        BadRequestError,
        AuthenticationError,
        PaymentRequiredError,
        PermissionDeniedError,
        NotFoundError,
        ConflictError,
        ValidationError,
        RateLimitError,
        InternalServerError,
        BadGatewayError,
        ServiceUnavailableError,
    )
}
"""The class of each documented status."""


def error_class(status: int) -> type[APIError]:
    """Return the exception class for the status of a response."""
    documented = DOCUMENTED.get(status)
    if documented is not None:
        return documented
    if 400 <= status < 500:
        return ClientError
    if 500 <= status < 600:
        return ServerError
    return UnexpectedStatusError
