"""Requests, responses, and the chain of middleware between them."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote, urlencode

from attrs import field, fields

from siteassist_async.errors import ConfigurationError
from siteassist_async.immutable import define, frozen, immutable


@frozen
class Timeout:
    """Time limits of one attempt, in seconds, not counting waits before it starts.

    Attributes:
        connect: For opening a connection: name lookup, TCP and TLS.
        read: Between two reads of the response.
        total: For the whole attempt, so that a response that trickles in ends too.
    """

    connect: float = 5.0
    read: float = 30.0
    total: float = 300.0

    def __attrs_post_init__(self) -> None:
        for name in (part.name for part in fields(Timeout)):
            seconds = getattr(self, name)
            if not (isinstance(seconds, int | float) and seconds > 0):
                raise ConfigurationError(f"Timeout.{name} must be above 0 seconds, not {seconds!r}")


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@frozen
class Operation(Generic[T_co]):
    """An endpoint: the request to send, and how to read its response.

    Define one as a constant for each endpoint:

        RATE = Operation("messages.rate", "POST", "/messages/{id}/rate", read_message)
        message = await client.request(RATE, message_id, json={"rating": "like"})

    Attributes:
        name: Name for logs, events and metrics; the same for every call.
        method: The HTTP method.
        path: The path below the base URL; `{id}` is replaced by the subject.
        read: Converts a successful response and its subject to the result. Called once for each
            response, in a thread if the body is large. Raises UnusableResponseError if the body
            is invalid.
        repeatable: Whether the request may be repeated although an earlier one may have reached the
            server. If not, it is retried only if it did not, or was rejected with a 429 or 503.
        statuses: The HTTP statuses of a success.
    """

    name: str
    method: str
    path: str
    read: Callable[[Response, str], T_co]
    repeatable: bool = True
    statuses: tuple[int, ...] = (200,)


class MakeRequest(Protocol):
    """`SiteAssist.request`."""

    def __call__(
        self,
        operation: Operation[T],
        subject: str = "",
        *,
        query: Mapping[str, str | int | bool] | None = None,
        bulk: bool = False,
    ) -> Awaitable[T]:
        """Make a request with the client's options; the deadline starts now."""
        ...


@define
class Tally:
    """The mutable state of one call, shared by all copies of its request.

    Attributes:
        sent: Number of requests passed to the transport.
        throttled_alone: How often the subject was throttled again while others were served.
        call: The call's number in its events; 0 without listeners.
        token: Returns the token that was sent last, so that it can be removed from errors that
            repeat it. A function, because middleware may log or dump its request.
    """

    sent: int = 0
    throttled_alone: int = 0
    call: int = 0
    token: Callable[[], str] = field(default=str, repr=False)


@immutable
class Request:
    """One request, as middleware sees it.

    Attributes:
        method: The HTTP method.
        url: The full URL.
        operation: The endpoint.
        subject: The ID it is about, such as a conversation's; "" if there is none.
        headers: Excluded from the repr: below the auth middleware they contain the token.
        body: The request body, if any.
        timeout: Time limits of each attempt.
        deadline: When the whole call must end, by the client's clock.
        patience: Seconds that the call may still wait in total because the API asks it to.
        bulk: Whether it is part of bulk work, as opposed to an interactive call.
        tally: The state of the call, shared by all copies of its request.
    """

    method: str
    url: str
    operation: Operation[Any]
    subject: str = ""
    headers: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    body: bytes | None = field(default=None, repr=False)
    timeout: Timeout = Timeout()
    deadline: float | None = None
    patience: float = math.inf
    bulk: bool = False
    tally: Tally = field(factory=Tally, eq=False, repr=False)

    @property
    def conversation_id(self) -> str:
        """The subject, by the name that it had in middleware of earlier versions."""
        return self.subject

    def with_headers(self, headers: Mapping[str, str]) -> Request:
        """Return a copy with more headers; they replace those of the same name, in any case."""
        # Twice as fast as attrs.evolve, and this runs for each attempt.
        return Request(
            self.method,
            self.url,
            self.operation,
            self.subject,
            merged(self.headers, headers),
            self.body,
            self.timeout,
            self.deadline,
            self.patience,
            self.bulk,
            self.tally,
        )


def merged(headers: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Add headers, replacing those of the same name in any case."""
    both = {**headers, **more}
    if len({*map(str.lower, both)}) == len(both):  # nearly always
        return both
    names = {name.lower() for name in more}
    return {**{n: value for n, value in headers.items() if n.lower() not in names}, **more}


@immutable
class Response:
    """One response, read completely; it holds no connection.

    Middleware may create one: `Response(200, {}, body)`.

    Attributes:
        status: The HTTP status.
        headers: The headers; names are case-insensitive.
        body: The complete body, decompressed.
        close_connection: Closes the connection that the response was received on, even if the pool
            has given it to another request by now. For responses that cannot be trusted.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    close_connection: Callable[[], None] = field(default=lambda: None, repr=False, eq=False)


_is_plain = re.compile("[A-Za-z0-9_~-]+").fullmatch


def path_of(path: str, subject: str, query: Mapping[str, str | int | bool] | None) -> str:
    """Replace `{id}` in a path and append the query, both percent-encoded.

    Raises:
        ConfigurationError: The subject cannot be a path segment.
    """
    if "{id}" in path:
        if not _is_plain(subject):
            if subject in {"", ".", ".."}:
                raise ConfigurationError(f"{subject!r} cannot be part of the path {path}")
            subject = quote(subject, safe="")
        path = path.replace("{id}", subject)
    if not query:
        return path
    pairs = [
        (name, str(value).lower() if isinstance(value, bool) else str(value))
        for name, value in query.items()
    ]
    if _is_plain("".join([text for pair in pairs for text in pair])):  # as most are
        return f"{path}?{'&'.join([f'{name}={value}' for name, value in pairs])}"
    return f"{path}?{urlencode(pairs)}"


Send = Callable[[Request], Awaitable[Response]]
"""Sends a request through the rest of the chain; raises the errors of `siteassist_async.errors`."""


class Middleware(Protocol):
    """A callable that receives each attempt's request, and returns its response."""

    def __call__(self, request: Request, send: Send, /) -> Awaitable[Response]:
        """Handle a request; `await send(request)` passes it on, once, repeatedly or never."""
        ...


def chain(
    middlewares: Sequence[Callable[[Request, Any], Awaitable[Any]]], transport: Send
) -> Callable[[Request], Awaitable[Any]]:
    """Compose middleware, the first outermost, and the transport below it."""
    send: Callable[[Request], Awaitable[Any]] = transport
    for middleware in reversed(middlewares):
        send = _bound(middleware, send)
    return send


def _bound(
    middleware: Callable[[Request, Any], Awaitable[Any]], send: Callable[[Request], Awaitable[Any]]
) -> Callable[[Request], Awaitable[Any]]:
    def bound(request: Request) -> Awaitable[Any]:
        return middleware(request, send)

    return bound
