"""A request, its response, and the chain of links between them."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from attrs import define, field, fields, frozen

from siteassist_async.errors import ConfigurationError


@frozen
class Timeout:
    """How long one attempt may take, in seconds; waiting for a turn does not count.

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


@define
class Tally:
    """What one call has come to, whichever link sent it."""

    sent: int = 0
    """Requests that went to the transport."""
    refused_alone: int = 0
    """Those that were refused again while others were answered."""


@frozen
class Request:
    """One GET of a conversation, as the links see it.

    Attributes:
        url: The whole URL.
        conversation_id: The id asked for, in its canonical form.
        accept: Makes of a 200's body and the id what the caller wants; raises an
            UnusableResponseError where the body is not what was asked for.
        headers: Never shown in a repr: below the auth link they hold the token.
        timeout: For each attempt.
        deadline: A point of the client's clock, for the whole call.
        patience: Seconds that the call may still wait in all because the API asks it to.
        bulk: Whether it is one of many, as opposed to a call that somebody waits for.
        tally: Shared by all copies of one call's request.
    """

    url: str
    conversation_id: str
    accept: Callable[[bytes, str], object] = field(repr=False)
    headers: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    timeout: Timeout = Timeout()
    deadline: float | None = None
    patience: float = math.inf
    bulk: bool = False
    tally: Tally = field(factory=Tally, eq=False, repr=False)

    def with_headers(self, headers: Mapping[str, str]) -> Request:
        """The same request, these headers set besides its own."""
        # attrs.evolve costs twice as much, and this runs at each attempt.
        return Request(
            self.url,
            self.conversation_id,
            self.accept,
            {**self.headers, **headers},
            self.timeout,
            self.deadline,
            self.patience,
            self.bulk,
            self.tally,
        )


@define
class Response:
    """One answer, read to its end; it holds no connection.

    Attributes:
        status: The HTTP status.
        headers: By name, in any case.
        body: All bytes, decompressed.
        value: What `Request.accept` made of the body, once the decode link has run.
        read_for: What `value` was made for and of; kept by the decode link.
        close_connection: Closes the connection that the answer came over, which its pool may
            have given to another request already; call it where the answer cannot be trusted.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    close_connection: Callable[[], None] = field(default=lambda: None, repr=False, eq=False)
    value: object = field(default=None, repr=False)
    read_for: tuple[object, str, bytes] | None = field(default=None, repr=False, eq=False)

    def is_read_for(self, request: Request) -> bool:
        """Whether `value` is what this request asks for, made of the body that is there now."""
        if self.read_for is None:
            return False
        accept, conversation_id, body = self.read_for
        return (
            accept is request.accept
            and conversation_id == request.conversation_id
            and body is self.body
        )


Send = Callable[[Request], Awaitable[Response]]
"""Sends a request through the rest of the chain; raises the errors of `siteassist_async.errors`."""


class Middleware(Protocol):
    """A link of the chain: any callable that sends a request on and returns its response."""

    def __call__(self, request: Request, send: Send, /) -> Awaitable[Response]:
        """Pass the request on by `await send(request)`, changed or not, once, often or never."""
        ...


def chain(links: Sequence[Middleware], transport: Send) -> Send:
    """Make one `Send` of the links, the first outermost, and the transport below them."""
    send = transport
    for link in reversed(links):
        send = _linked(link, send)
    return send


def _linked(link: Middleware, send: Send) -> Send:
    def linked(request: Request) -> Awaitable[Response]:
        return link(request, send)

    return linked
