"""Every exception of the package.

SiteAssistError
├── APIError                       the API answered, with an error
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
│   └── UnexpectedStatusError      neither 200, 4xx nor 5xx: a redirect, say
├── TransportError                 no whole answer came
│   ├── ConnectionFailedError      no connection, or it broke
│   │   ├── DisconnectedError      it broke before the first byte of the answer
│   │   ├── CertificateError       the server's certificate cannot be trusted
│   │   └── ProxyError             a proxy refused the way to the server
│   └── TimedOutError              one attempt took too long (a TimeoutError)
├── DeadlineExceededError          the call took too long (a TimeoutError)
├── ThrottledError                 this client did not send the request, for it would come too late
├── OutageError                    nothing was answered any more, for longer than a bulk call waits
├── UnusableResponseError          an answer that is not what was asked for
│   ├── WrongConversationError     another conversation than the one asked for
│   └── ResponseTooLargeError      more bytes than the limit
├── ClientClosedError              a call after the client was closed
├── TokenError                     no token could be had
├── InvalidIdError                 an id that is no UUID (a ValueError)
└── ConfigurationError             an option that cannot work (a ValueError)
"""

# pyright: reportIncompatibleVariableOverride=false
# `details` is narrower in each class; nobody sets it but `APIError.__init__`.

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, ClassVar

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping


_KNOWN_STATUSES = frozenset(HTTPStatus)


def printable(text: str, limit: int = 200) -> str:
    """Make text from the network or from a file safe for one line of a terminal or a log."""
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
        attempts: Requests that were sent for this call; 0 where none was.
        elapsed: Seconds from the call's start to its failure.
        isolated: Whether others were answered each time that this one was refused.
        outcome_unknown: Whether the server may have done what it was asked for: of an operation
            that must not be repeated, and so was not. Look before you try again.
    """

    attempts: int = 0
    elapsed: float = 0.0
    isolated: bool = False
    outcome_unknown: bool = False

    def __str__(self) -> str:
        line = printable(self._summary())
        context = self._context()
        return f"{line} ({'; '.join(context)})" if context else line

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def _summary(self) -> str:
        return str(self.args[0]) if self.args else type(self).__name__

    def _context(self) -> list[str]:
        if not self.attempts:
            return []
        plural = "" if self.attempts == 1 else "s"
        return [f"{self.attempts} attempt{plural} in {self.elapsed:.2f} s"]


@frozen
class FieldDetails:
    """400: the field of the request that is wrong."""

    field: str


@frozen
class PlanDetails:
    """402: the plan that the project has, the one it needs, and what for."""

    current_plan: str
    required_plan: str
    feature: str


@frozen
class ConversationDetails:
    """404: the id that has no conversation."""

    conversation_id: str


@frozen
class ConflictDetails:
    """409: what exists already, and the field that says so."""

    resource: str
    conflicting_field: str


@frozen
class ValidationDetails:
    """422: the field of the request that is wrong, and why."""

    field: str
    reason: str


Seconds = Annotated[float, "seconds"]
"""A number of seconds, which the API may send as a string too."""


@frozen
class RetryDetails:
    """429 and 503: the seconds after which the API wants to be asked again."""

    retry_after: Seconds


@frozen
class ServiceDetails:
    """502: the service behind the API that failed."""

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


class APIError(SiteAssistError):
    """The API answered with a status other than 200. The status alone decides the class.

    Attributes:
        status: The HTTP status.
        code: The body's `code`, as sent: it may be none that is documented.
        message: The body's `message`, as sent and unescaped; use `str(error)` for logs.
        details: The body's `details`, typed as documented for the status; None where they are
            absent or of another shape.
        raw_details: The body's `details`, as sent.
        retry_after: Seconds that the server asks to wait, from the body or the Retry-After header,
            the longer of both; None where neither names a time.
        request_id: The answer's X-Request-Id or Request-Id header.
        headers: The answer's headers, names in lower case.
    """

    status: int = 0
    details_class: ClassVar[type[Details] | None] = None
    details: Details | None

    def __init__(  # noqa: PLR0913 - one argument for each fact of an error answer
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
    """Any 4xx: the request cannot be answered as it is."""


class BadRequestError(ClientError):
    """400: the request is malformed."""

    status = 400
    details_class = FieldDetails
    details: FieldDetails | None


class AuthenticationError(ClientError):
    """401: the token is missing, wrong or has expired."""

    status = 401


class PaymentRequiredError(ClientError):
    """402: the project's plan does not include this."""

    status = 402
    details_class = PlanDetails
    details: PlanDetails | None


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
    """Any 5xx: the API, or something before it, failed."""


class InternalServerError(ServerError):
    """500: the API failed."""

    status = 500


class BadGatewayError(ServerError):
    """502: a service behind the API failed."""

    status = 502
    details_class = ServiceDetails
    details: ServiceDetails | None


class ServiceUnavailableError(ServerError):
    """503: the API is down or overloaded for a while."""

    status = 503
    details_class = RetryDetails
    details: RetryDetails | None


class UnexpectedStatusError(APIError):
    """A status that is neither 200 nor an error; redirects are not followed and end here."""


class TransportError(SiteAssistError):
    """No complete response came.

    Attributes:
        sent: Whether the request may have reached the server.
    """

    sent: bool = True


class ConnectionFailedError(TransportError):
    """No connection could be made, or it broke before the answer was whole."""


class DisconnectedError(ConnectionFailedError):
    """The connection broke before the first byte of the answer, as a pooled one does that idled."""


class CertificateError(ConnectionFailedError):
    """The server's certificate cannot be trusted; nothing was sent, and trying again is no help."""

    sent = False


class ProxyError(ConnectionFailedError):
    """The proxy refused the way to the server: it wants a password, say, or forbids the host.

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
    """The call's deadline passed before an answer came."""


_WAIT_REASONS = {
    "pace": "the rate limit is reached",
    "gate": "the API asked all requests to wait",
    "slots": "all of the client's connections are in use",
    "retry_after": "the API asked to retry this conversation later",
}


class ThrottledError(SiteAssistError):
    """This client did not send the request, because it could not be answered in time.

    By what is known when it is raised, the request would have had to wait beyond the call's
    deadline, or beyond `RetryPolicy.patience`. So it costs neither the caller nor the API anything.

    Attributes:
        reason: What it would have waited for: the learned rate ("pace"), a pause that the API asked
            of all requests ("gate") or of this conversation's ("retry_after"), or a free
            connection ("slots").
        wait: Seconds that it would have waited.
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
    """Nothing was answered any more, for longer than a bulk call waits.

    IDs that failed meanwhile have no outcome: nothing is known of them.

    Attributes:
        error: What failed last.
        seconds: For how long nothing was answered.
    """

    def __init__(self, error: SiteAssistError, seconds: float) -> None:
        super().__init__(error, seconds)
        self.error = error
        self.seconds = seconds

    def _summary(self) -> str:
        return f"no usable response for {self.seconds:.0f} s; last error: {self.error}"


class UnusableResponseError(SiteAssistError):
    """An answer came, and it is not the JSON of a conversation as the contract has it.

    Attributes:
        path: Where in the body it is wrong, such as `messages[3].createdAt`; "" for the whole body.
        excerpt: The beginning of the body, as sent and unescaped; use `str(error)` for logs.
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
    """The answer is another conversation than the one asked for; its connection is closed."""


class ResponseTooLargeError(UnusableResponseError):
    """The body is longer than the limit; the rest of it was not read."""


class ClientClosedError(SiteAssistError):
    """The client was closed before the call, or during it."""


class TokenError(SiteAssistError):
    """The callable that gives the token raised, took too long, or gave none that can be sent."""


class InvalidIdError(SiteAssistError, ValueError):
    """A conversation id that is no UUID; nothing was sent."""


class ConfigurationError(SiteAssistError, ValueError):
    """An option that cannot work; nothing was sent."""


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
    """Name the class of an answer by its status alone."""
    documented = DOCUMENTED.get(status)
    if documented is not None:
        return documented
    if 400 <= status < 500:
        return ClientError
    if 500 <= status < 600:
        return ServerError
    return UnexpectedStatusError
