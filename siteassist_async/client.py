"""The client: the chain as one list, and what hangs on it."""

from __future__ import annotations

import copy
import ipaddress
import math
import os
import re
import ssl
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import urlsplit

from attrs import frozen

from siteassist_async.clock import SYSTEM_CLOCK, Clock
from siteassist_async.closing import Closing
from siteassist_async.codec import encode_body
from siteassist_async.conversations import Conversations
from siteassist_async.errors import ConfigurationError
from siteassist_async.events import Event, EventStream, Listener
from siteassist_async.logs import log_call
from siteassist_async.middleware.auth import Auth, HiddenToken, Token
from siteassist_async.middleware.decode import Decode, RaiseForStatus
from siteassist_async.middleware.pacing import Pacing
from siteassist_async.middleware.retry import RetryBudget, Retrying
from siteassist_async.middleware.retry_policy import RetryPolicy
from siteassist_async.pacing import Pacer, pacer_for
from siteassist_async.transport import MAX_BODY, SMALLEST_MAX_BODY, Transport
from siteassist_async.version import __version__
from siteassist_async.wire import Middleware, Operation, Request, T, Timeout, chain, path_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    import aiohttp

BASE_URL = "https://api.siteassist.io/v2"
"""Where the API is, unless a client is told otherwise."""

_NO_BASE_URL = re.compile(r"[^!-~]|[@?#\\]")

_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",  # aiohttp's own asks for more where more is installed
    "User-Agent": f"siteassist_async/{__version__}",
}


class SiteAssist:
    """A client of the SiteAssist API, for one project's token.

    Use it as `async with SiteAssist(…) as client`, for as long as there is work: it keeps the
    connections. It works in one event loop after another, not in two at once. Clients of one
    process with the same base URL and token share one pace.

    Args:
        token: A private key (`sk_…`) or a visitor's session token; or an async callable that gives
            one, asked at each attempt and once more after a 401. By default $SITEASSIST_TOKEN.
        base_url: By default $SITEASSIST_BASE_URL, or the API's own. Must be https, unless it is
            this machine.
        timeout: For each attempt. A number is the seconds that a whole attempt may take, however
            they are spent; a `Timeout` limits its phases as well.
        retry: How often and how late a failed attempt is made again.
        deadline: Seconds for one whole call, its waits and retries included; None: no end.
        concurrency: Requests in flight at once, and connections, at most.
        max_rate: Requests a second, at most, where the limit is known; None: it is found.
        middleware: Callables `(request, send) -> Response`, the first outermost. They stand
            between retry and pacing, so that they see each attempt and hold no slot. They may
            return a response without sending anything.
        on_event: Called at each event of this client's calls and pace, as those of
            `client.events`; see `siteassist_async.events`.
        session: A session to use instead of the client's own, with its connector, proxy and
            middlewares; it is not closed. What it adds to requests is its owner's business.
        tls: Replaces the default context, as for a private CA: never less than its verification.
        max_body: Bytes of a conversation, decompressed, at most. The default keeps what a hostile
            body can hold the event loop below a tenth of a second.
        pacer: Replaces the pacer of this process, as with one that several machines share.
        clock: The time, for tests.

    Raises:
        ConfigurationError: An option cannot work.
    """

    _base_url = "(not made)"  # for the repr, where an option is refused

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
        max_body: int = MAX_BODY,
        pacer: Pacer | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if token is None and "SITEASSIST_TOKEN" not in os.environ:
            raise ConfigurationError("no token: pass one, or set SITEASSIST_TOKEN")
        hidden = HiddenToken(os.environ["SITEASSIST_TOKEN"] if token is None else token)
        del token  # tools that report tracebacks show the locals too
        if not (isinstance(hidden.value, str) or callable(hidden.value)):
            wanted = "a str or an async callable"  # type: ignore[unreachable] # for whom has no checker
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
            connections=concurrency, session=session, tls=tls, max_body=max_body
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
        # The first sees a request first. Below retry all is done anew for each attempt; the user's
        # middleware holds no slot, and neither waits for one nor sees the token.
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
        return self

    # Properties, not attributes: so `help` shows them, and `create_autospec` knows them.

    @property
    def conversations(self) -> Conversations:
        """The conversations of the project."""
        return self._conversations

    @property
    def pacer(self) -> Pacer:
        """What holds the requests to the rate limit: the one given, or that of this process."""
        return self._pacer

    @property
    def events(self) -> EventStream[Event]:
        """What the client does: `client.events.subscribe(listener)`."""
        return self._events

    def with_options(
        self,
        *,
        timeout: Timeout | float | None = None,
        retry: RetryPolicy | None = None,
        deadline: float | None = None,
        middleware: Sequence[Middleware] | None = None,
    ) -> Self:
        """A view of this client with other options, for one call or a group of them.

        It shares the connections, the slots, the pace and, unless `retry` has another one, the
        retry budget; closing either closes both. What is not given stays; `deadline=math.inf`
        lifts a deadline.
        """
        given = self._options
        options = _checked_options(
            given.timeout if timeout is None else timeout,
            given.retry if retry is None else retry,
            given.deadline if deadline is None else deadline,
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
        """Make any request, as all methods of this package do; the deadline counts from this call.

        Args:
            operation: The endpoint.
            subject: What stands for `{id}` in its path; also what the pacing takes for one thing
                that the API may refuse by itself, and what events and logs name.
            query: Parameters of the URL; True is "true".
            json: Sent as a JSON body: what `json.dumps` takes, and attrs instances.
            headers: Sent beside those of every request, in place of any that has the same name.
            bulk: Whether it is one of many: it waits as long as the API asks, and calls that
                somebody waits for go first.

        Raises:
            ConfigurationError: The request cannot be sent as it is.
            SiteAssistError: As `conversations.get` does, by the response.
        """
        options = self._options
        own = _HEADERS if headers is None else {**_HEADERS, **headers}
        body = None
        if json is not None:
            body, own = encode_body(json), {**own, "Content-Type": "application/json"}
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
        """Close the connections; what is in flight or waits fails at once, as does what follows."""
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
    """The events of one client's calls, and of its pacer while somebody listens."""

    def __init__(self, pacer: Pacer) -> None:
        super().__init__(log_call)
        self._pacer = pacer
        self._end: Callable[[], None] | None = None

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` at each event from now on; returns a function that ends it.

        It is called in the thread and task of what caused the event, and must be quick. What it
        raises is logged and goes no further: no request is lost by a listener's fault.
        """
        if self._end is None:
            self._end = self._pacer.events.subscribe(self.emit)
        return super().subscribe(listener)

    def close(self) -> None:
        """Listen no longer to a pacer that outlives the client."""
        if self._end is not None:
            self._end()
            self._end = None


@frozen
class _Options:
    """What differs between the views of one client."""

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


def _are_callables(value: object) -> bool:
    return isinstance(value, Sequence) and all(map(callable, cast("Sequence[object]", value)))


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
    "middleware": ("a list of callables, as in middleware=[log_requests]", _are_callables),
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
"""What each option must be, and whether a value is that."""


def _check(**options: object) -> None:
    for name, value in options.items():
        wanted, fits = _WANTED[name]
        if not fits(value):
            # Only numbers are shown: anything else may be, or hold, the token.
            got = value if isinstance(value, int | float) else f"of type {type(value).__name__}"
            raise ConfigurationError(f"{name} must be {wanted}, not {got}")


def _checked(base_url: str) -> str:
    """Refuse a base URL that would send the token in the clear, or to nowhere."""
    if _NO_BASE_URL.search(base_url):  # not shown, for it may hold a password
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
    if parts.scheme == "http" and not _is_this_machine(host):
        raise ConfigurationError(
            f"base URL {base_url!r}: must be https, because http exposes the token"
        )
    return base_url.rstrip("/")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
