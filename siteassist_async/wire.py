"""Requests, responses, and the chain of middleware between them."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote, urlencode

from attrs import define, field, fields, frozen

from siteassist_async.errors import ConfigurationError
from siteassist_async.immutable import immutable


@frozen
class Timeout:
    """How long one attempt may take, in seconds; waiting for a start does not count.

    `connect` bounds making a connection (name lookup, TCP and TLS), `read` the silence between
    two pieces of the answer, and `total` the whole attempt, so that an answer which trickles in
    ends too.
    """

    connect: float = 5.0
    read: float = 30.0
    total: float = 300.0

    def __attrs_post_init__(self) -> None:
        for name in (part.name for part in fields(Timeout)):
            seconds = getattr(self, name)
            if not seconds > 0:
                raise ConfigurationError(f"Timeout.{name} must be above 0 seconds, not {seconds}")


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@frozen
class Operation(Generic[T_co]):
    """An endpoint: what is sent, and what its answer means.

    A constant of the resource that offers it, so that a new endpoint is one more of these:

        RATE = Operation("messages.rate", "POST", "/messages/{id}/rate", read_message)
        message = await client.request(RATE, message_id, json={"rating": "like"})

    Attributes:
        name: For logs, events and metrics: the same for every call.
        method: The HTTP method.
        path: Below the base URL; `{id}` stands for the subject.
        read: Makes the value of a success response and the subject; runs once for each response,
            in a thread where the body is large. Raises an UnusableResponseError where the body is
            not what was asked for.
        repeatable: Whether it may be sent again after it may have reached the server. Else it is
            sent again only where it certainly did not, or was refused by a 429 or 503.
        statuses: Those of a success.
    """

    name: str
    method: str
    path: str
    read: Callable[[Response, str], T_co]
    repeatable: bool = True
    statuses: tuple[int, ...] = (200,)


@define
class Tally:
    """What one call has come to, shared by all copies of its request.

    Attributes:
        sent: Requests that went to the transport.
        refused_alone: Those that were refused again while others were answered.
        call: The call's number for its events; 0 where nobody listens.
        token: The token that was sent last, to be removed from whatever repeats it.
    """

    sent: int = 0
    refused_alone: int = 0
    call: int = 0
    token: str = field(default="", repr=False)


@immutable
class Request:
    """One request, as middleware sees it.

    Attributes:
        method: The HTTP method.
        url: The whole URL.
        operation: What it is for.
        subject: What it is about, such as a conversation's id; "" for nothing in particular.
        headers: Never shown in a repr: below the auth middleware they hold the token.
        body: What is sent, if anything.
        timeout: For each attempt.
        deadline: A point of the client's clock, for the whole call.
        patience: Seconds that the call may still wait in all because the API asks it to.
        bulk: Whether it is one of many, as opposed to a call that somebody waits for.
        tally: Shared by all copies of one call's request.
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
        """The same request, these headers set besides its own."""
        # attrs.evolve costs twice as much, and this runs at each attempt.
        return Request(
            self.method,
            self.url,
            self.operation,
            self.subject,
            {**self.headers, **headers},
            self.body,
            self.timeout,
            self.deadline,
            self.patience,
            self.bulk,
            self.tally,
        )


@immutable
class Response:
    """One response, read to its end; it holds no connection.

    Middleware may return one of its own: `Response(200, {}, body)`.

    Attributes:
        status: The HTTP status.
        headers: By name, in any case.
        body: All bytes, decompressed.
        close_connection: Closes the connection that the response came over, which its pool may
            have given to another request already; call it where the response cannot be trusted.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    close_connection: Callable[[], None] = field(default=lambda: None, repr=False, eq=False)


_is_plain = re.compile("[A-Za-z0-9_~-]+").fullmatch


def path_of(path: str, subject: str, query: Mapping[str, str | int | bool] | None) -> str:
    """Fill in a path's `{id}` and append a query; what is special in a URL is quoted.

    Raises:
        ConfigurationError: The subject cannot be a segment of a path.
    """
    if "{id}" in path:
        if not _is_plain(subject):
            if subject in {"", ".", ".."}:
                raise ConfigurationError(f"{subject!r} cannot be part of the path {path}")
            subject = quote(subject, safe="")
        path = path.replace("{id}", subject)
    if not query:
        return path
    return f"{path}?{urlencode({name: _parameter(value) for name, value in query.items()})}"


def _parameter(value: str | int | bool) -> str:  # noqa: FBT001 - a value, no option
    return str(value).lower() if isinstance(value, bool) else str(value)


Send = Callable[[Request], Awaitable[Response]]
"""Sends a request through the rest of the chain; raises the errors of `siteassist_async.errors`."""


class Middleware(Protocol):
    """Any callable that sends a request on and returns its response."""

    def __call__(self, request: Request, send: Send, /) -> Awaitable[Response]:
        """Pass the request on by `await send(request)`, changed or not, once, often or never."""
        ...


def chain(
    links: Sequence[Callable[[Request, Any], Awaitable[Any]]], transport: Send
) -> Callable[[Request], Awaitable[Any]]:
    """Compose middleware, the first outermost, and the transport below it."""
    send: Callable[[Request], Awaitable[Any]] = transport
    for link in reversed(links):
        send = _linked(link, send)
    return send


def _linked(
    link: Callable[[Request, Any], Awaitable[Any]], send: Callable[[Request], Awaitable[Any]]
) -> Callable[[Request], Awaitable[Any]]:
    def linked(request: Request) -> Awaitable[Any]:
        return link(request, send)

    return linked
