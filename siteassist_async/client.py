"""The client: its options, its chain of middleware, and `SiteAssist.request`."""

from __future__ import annotations

import copy
import ipaddress
import math
import os
import re
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast
from urllib.parse import urlsplit

from msgspec import UNSET, UnsetType

from siteassist_async.clock import SYSTEM_CLOCK, Clock
from siteassist_async.closing import Closing
from siteassist_async.codec import encode_body
from siteassist_async.conversations import Conversations
from siteassist_async.errors import ConfigurationError
from siteassist_async.events import Event, EventStream, Listener
from siteassist_async.logs import log_call
from siteassist_async.messages import Messages
from siteassist_async.middleware.auth import Auth, HiddenToken, Token
from siteassist_async.middleware.decode import Decode, RaiseForStatus
from siteassist_async.middleware.pacing import Pacing
from siteassist_async.middleware.retry import RetryBudget, Retrying
from siteassist_async.middleware.retry_policy import RetryPolicy
from siteassist_async.pacing import Pacer, pacer_for
from siteassist_async.transport import MAX_BODY, SMALLEST_MAX_BODY, Proxy, Transport
from siteassist_async.version import __version__
from siteassist_async.wire import (
    Middleware,
    Operation,
    Request,
    T,
    Timeout,
    chain,
    merged,
    path_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    import aiohttp

BASE_URL = "https://api.siteassist.io/v2"
"""The default base URL."""

_NO_BASE_URL = re.compile(r"[^!-~]|[@?#\\]")

_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",  # aiohttp adds br and zstd where they are installed
    "User-Agent": f"siteassist_async/{__version__}",
}


class SiteAssist:
    """A client of the SiteAssist API, for one project's token.

    Use it as `async with SiteAssist(…) as client`, and keep it for as long as there is work: it
    holds the connection pool. It may be used in one event loop after another, not in two at once.
    Clients of a process with the same base URL and token share one rate limit.

    ```python
    import asyncio

    from siteassist_async import SiteAssist


    async def main() -> None:
        async with SiteAssist(deadline=5.0) as client:
            print(await client.conversations.get("123e4567-e89b-12d3-a456-426614174000"))


    asyncio.run(main())
    ```

    Args:
        token: A private key (`sk_…`) or a visitor's session token; or an async callable that
            returns one, called for each attempt and once more after a 401. Defaults to
            $SITEASSIST_TOKEN.
        base_url: Defaults to $SITEASSIST_BASE_URL, or else to the public API. Must be https unless
            the host is this machine.
        timeout: For each attempt. A number limits the whole attempt, in seconds; a `Timeout` limits
            its phases as well.
        retry: When and how often failed attempts are retried.
        deadline: Seconds for a whole call, including waits and retries; None for no limit.
        concurrency: Maximum number of requests in flight, and of connections.
        max_rate: Maximum requests per second, if the rate limit is known; None to detect it.
        middleware: Callables `(request, send) -> Response`, the first one outermost. They run
            between retry and pacing: once for each attempt, and before it holds a slot. They may
            return a response without sending the request.
        on_event: Called with each event of this client's calls and of its pacer; see
            `siteassist_async.events`.
        session: A session to use instead of the client's own, with its connector, proxy and
            middlewares. The client does not close it, and does not change what it adds to requests.
        tls: Replaces the default TLS context, for example for a private CA. It is used as it is.
        proxy: The URL of an HTTP proxy, reached over http or https; it may contain a user name and
            a password. HTTPS_PROXY and the like are not read.
        max_body: Maximum size of a response body, in bytes after decompression. With the default, a
            hostile body blocks the event loop for less than 0.1 s.
        pacer: Replaces the pacer of this process, for example by one that several machines share.
        clock: Source of time and sleep, for tests.

    Raises:
        ConfigurationError: An option is invalid.
    """

    _base_url = "(not initialized)"  # for the repr, if __init__ raises

    def __init__(  # noqa: PLR0913 - the options of a client, each by its name
        self,
        token: Token | None = None,
        *,
        base_url: str | None = None,
        timeout: Timeout | float = Timeout(),  # noqa: B008 - frozen
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        deadline: float | None = None,
        concurrency: int = 32,
        max_rate: float | None = None,
        middleware: Sequence[Middleware] = (),
        on_event: Listener | None = None,
        session: aiohttp.ClientSession | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
        max_body: int = MAX_BODY,
        pacer: Pacer | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if token is None and "SITEASSIST_TOKEN" not in os.environ:
            raise ConfigurationError("no token: pass one, or set SITEASSIST_TOKEN")
        hidden = HiddenToken(os.environ["SITEASSIST_TOKEN"] if token is None else token)
        through, is_direct = Proxy.of(proxy), proxy is None
        del token, proxy  # tools that report tracebacks show the locals too
        if not (isinstance(hidden.value, str) or callable(hidden.value)):
            wanted = "a str or an async callable"  # type: ignore[unreachable] # for users without a type checker
            kind = type(hidden.value).__name__
            raise ConfigurationError(f"token must be {wanted}, not of type {kind}")
        _check(
            base_url=base_url,
            concurrency=concurrency,
            max_rate=max_rate,
            session=session,
            tls=tls,
            max_body=max_body,
            on_event=on_event,
            pacer=pacer,
            clock=clock,
        )
        options = _checked_options(timeout, retry, deadline, middleware)
        if session is not None and tls is not None:
            raise ConfigurationError(
                "session and tls exclude each other: set TLS on the session's connector"
            )
        if through is None and not is_direct:
            raise ConfigurationError(
                "proxy must be a URL such as http://proxy.example:3128, or https"
            )
        if session is not None and through is not None:
            raise ConfigurationError(
                "session and proxy exclude each other: set the proxy on the session"
            )
        if pacer is not None and max_rate is not None:
            raise ConfigurationError(
                "pacer and max_rate exclude each other: set the rate on the pacer"
            )
        self._base_url = _checked(base_url or os.environ.get("SITEASSIST_BASE_URL") or BASE_URL)
        self._auth = Auth(hidden, self._base_url)
        self._concurrency = concurrency
        self._clock = clock
        self._budget = RetryBudget(retry.budget)
        self._pacer: Pacer = pacer or pacer_for(
            self._base_url, hidden.value, concurrency=concurrency, max_rate=max_rate, clock=clock
        )
        self._closing = Closing()
        self._events = ClientEvents(self._pacer)
        if on_event is not None:
            self._events.subscribe(on_event)
        self._pacing = Pacing(
            self._pacer, concurrency, clock, closing=self._closing, events=self._events
        )
        self._transport = Transport(
            connections=concurrency, session=session, tls=tls, proxy=through, max_body=max_body
        )
        self._link(options)

    def _link(self, options: _Options) -> Self:
        self._options = options
        retrying = Retrying(
            options.retry,
            self._clock,
            budget=self._budget,
            events=self._events,
            closing=self._closing,
        )
        # The first middleware is the outermost. Everything below retry runs once per attempt. The
        # user's middleware runs above pacing and auth: it holds no slot and never sees the token.
        self._call = chain(
            [
                retrying,
                Decode(),
                *options.middleware,
                self._pacing,
                self._auth,
                RaiseForStatus(self._events, self._clock),
            ],
            self._transport,
        )
        self._conversations = Conversations(
            self.request,
            concurrency=self._concurrency,
            clock=self._clock,
            emit=self._events.emit,
        )
        self._messages = Messages(self.request)
        return self

    # Properties rather than attributes, so that `help` and `create_autospec` see them.

    @property
    def conversations(self) -> Conversations:
        """The conversations of the project."""
        return self._conversations

    @property
    def messages(self) -> Messages:
        """The messages of conversations."""
        return self._messages

    @property
    def pacer(self) -> Pacer:
        """The pacer, which keeps requests within the rate limit; shared within the process."""
        return self._pacer

    @property
    def events(self) -> EventStream[Event]:
        """The event stream: `client.events.subscribe(listener)`."""
        return self._events

    def with_options(
        self,
        *,
        timeout: Timeout | float | None = None,
        retry: RetryPolicy | None = None,
        deadline: float | UnsetType | None = UNSET,
        middleware: Sequence[Middleware] | None = None,
    ) -> Self:
        """Return a view of this client with other options, for one call or a group of calls.

        The view shares the connections, the slots, the pacer and, unless `retry` has a different
        budget, the retry budget; closing either closes both. Options that are not given keep their
        values; `deadline=None` removes a deadline.
        """
        given = self._options
        options = _checked_options(
            given.timeout if timeout is None else timeout,
            given.retry if retry is None else retry,
            given.deadline if deadline is UNSET else deadline,
            given.middleware if middleware is None else middleware,
        )
        view = copy.copy(self)
        if options.retry.budget != self._options.retry.budget:
            view._budget = RetryBudget(options.retry.budget)  # noqa: SLF001 - of this very class
        return view._link(options)  # noqa: SLF001 - as above

    def request(  # noqa: PLR0913 - what a request may have, each by its name
        self,
        operation: Operation[T],
        subject: str = "",
        *,
        query: Mapping[str, str | int | bool] | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        bulk: bool = False,
    ) -> Awaitable[T]:
        """Make a request to any endpoint, with this client's retries, pacing and errors.

        All methods of this package use it. The deadline starts when it is called.

        Args:
            operation: The endpoint.
            subject: The ID that replaces `{id}` in the operation's path. Pacing treats requests for
                the same subject as one resource, which the API may throttle on its own; events and
                logs name it.
            query: Query parameters; True is sent as "true".
            json: The JSON body: plain values, and what msgspec can encode, such as datetimes, UUIDs
                and attrs instances.
            headers: Additional headers; they replace default headers of the same name, in any case.
            bulk: Whether the call is part of bulk work: it waits for as long as the API asks, and
                interactive calls go first.

        Raises:
            ConfigurationError: The request cannot be sent as it is.
            SiteAssistError: The errors of `conversations.get`, as the response requires.
        """
        options = self._options
        own = _HEADERS if headers is None else merged(_HEADERS, headers)
        body = None
        if json is not None:
            body, own = encode_body(json), merged({"Content-Type": "application/json"}, own)
        request = Request(
            operation.method,
            self._base_url + path_of(operation.path, subject, query),
            operation,
            subject,
            own,
            body,
            options.timeout,
            None if options.deadline is None else self._clock.now() + options.deadline,
            math.inf if bulk else options.retry.patience,
            bulk,
        )
        return self._call(request)

    async def close(self) -> None:
        """Close the connections; calls in flight, waiting calls and later calls fail at once."""
        self._closing.close()
        self._events.close()
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<SiteAssist {self._base_url}>"


class ClientEvents(EventStream[Event]):
    """The event stream of one client, which includes its pacer's events while it has listeners."""

    def __init__(self, pacer: Pacer) -> None:
        super().__init__(log_call)
        self._pacer = pacer
        self._end: Callable[[], None] | None = None

    def subscribe(
        self, listener: Listener, *, when: Callable[[], bool] | None = None
    ) -> Callable[[], None]:
        """As in the base class, including the events of the pacer from now on."""
        if self._end is None:
            self._end = self._pacer.events.subscribe(self.emit)
        return super().subscribe(listener, when=when)

    def close(self) -> None:
        """Unsubscribe from the pacer, which may outlive the client."""
        if self._end is not None:
            self._end()
            self._end = None


class _Options(NamedTuple):
    """The options that differ between the views of one client."""

    timeout: Timeout
    retry: RetryPolicy
    deadline: float | None
    middleware: tuple[Middleware, ...]


def _checked_options(
    timeout: Timeout | float,
    retry: RetryPolicy,
    deadline: float | None,
    middleware: Sequence[Middleware],
) -> _Options:
    _check(timeout=timeout, retry=retry, deadline=deadline, middleware=middleware)
    return _Options(
        timeout if isinstance(timeout, Timeout) else Timeout(timeout, timeout, timeout),
        retry,
        None if deadline == math.inf else deadline,
        tuple(middleware),
    )


def _is_above_0(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


_WANTED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "base_url": ("a str", lambda v: v is None or isinstance(v, str)),
    "timeout": (
        "a Timeout, or a number of seconds above 0",
        lambda v: isinstance(v, Timeout) or _is_above_0(v),
    ),
    "retry": (
        "a RetryPolicy, as in retry=RetryPolicy(attempts=3)",
        lambda v: isinstance(v, RetryPolicy),
    ),
    "deadline": ("a number of seconds above 0", lambda v: v is None or _is_above_0(v)),
    "concurrency": ("an int of at least 1", lambda v: type(v) is int and v >= 1),
    "max_rate": ("a number of requests above 0", lambda v: v is None or _is_above_0(v)),
    "middleware": (
        "a list of callables, as in middleware=[log_requests]",
        lambda v: isinstance(v, Sequence) and all(map(callable, cast("Sequence[object]", v))),
    ),
    # aiohttp itself is imported by the transport only.
    "session": ("an aiohttp.ClientSession", lambda v: v is None or hasattr(v, "connector")),
    "tls": ("an ssl.SSLContext", lambda v: v is None or isinstance(v, ssl.SSLContext)),
    "max_body": (
        f"an int of at least {SMALLEST_MAX_BODY} bytes",
        lambda v: type(v) is int and v >= SMALLEST_MAX_BODY,
    ),
    "on_event": ("a callable", lambda v: v is None or callable(v)),
    "pacer": ("a Pacer", lambda v: v is None or isinstance(v, Pacer)),
    "clock": ("a Clock", lambda v: hasattr(v, "now") and hasattr(v, "sleep")),
}
"""For each option: a description of valid values, and a check for them."""


def _check(**options: object) -> None:
    for name, value in options.items():
        wanted, fits = _WANTED[name]
        if not fits(value):
            # Only numbers are shown: anything else may be, or contain, the token.
            got = value if isinstance(value, int | float) else f"of type {type(value).__name__}"
            raise ConfigurationError(f"{name} must be {wanted}, not {got}")


def _checked(base_url: str) -> str:
    """Reject a base URL that is malformed or would expose the token; returns it normalized."""
    if _NO_BASE_URL.search(base_url):  # not shown: it may contain a password
        raise ConfigurationError(
            "base_url must not contain credentials, a query, a fragment, spaces or non-ASCII text"
        )
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"base URL {base_url!r}: {error}") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigurationError(f"base URL {base_url!r}: expected https://host/path")
    if parts.scheme == "http" and host != "localhost":
        is_this_machine = False
        with suppress(ValueError):  # a name
            is_this_machine = ipaddress.ip_address(host).is_loopback
        if not is_this_machine:
            raise ConfigurationError(
                f"base URL {base_url!r}: must be https, because http exposes the token"
            )
    return base_url.rstrip("/")
