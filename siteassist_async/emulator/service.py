"""The API without a socket: a request in, a stub response out, and both counted."""

from __future__ import annotations

import hmac
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec
from attrs import Factory, define, evolve, field, frozen

from siteassist_async.emulator.conversations import Spelling, conversation
from siteassist_async.emulator.faults import Schedule, Share
from siteassist_async.emulator.ids import UUID, conversation_ids, valid_id
from siteassist_async.emulator.limits import Limit, QuotaHeaders, RetryAfter, quota_headers, refusal
from siteassist_async.emulator.project import InvalidParameterError, Project, messages_page
from siteassist_async.emulator.responses import JSON, Fault, StubResponse, error_response

__all__ = ["Counters", "Received", "Seconds", "Service"]


@frozen
class Received:
    """A request; `authorized` says whether its token was accepted.

    The token itself is not kept: `headers` has `***` in its place. `target` is the path with the
    query.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    authorized: bool
    body: bytes = b""


@define(eq=False)
class Counters:
    """Counts since the start or the last `reset()`; all are final before a response is sent."""

    requests: int = 0
    refused: int = 0
    """Requests that got a 429 from the rate limit; scripted 429s are not counted."""
    unauthorized: int = 0
    faults: int = 0
    """Requests that met a fault: scripted, of a share, or an outage."""
    statuses: Counter[int] = field(factory=Counter[int])
    """By status; 0 counts the requests that were answered by a disconnect or raw bytes."""
    ids: Counter[str] = field(factory=Counter[str])
    """Requests by conversation ID; empty unless the emulator has `count_ids=True`."""
    in_flight: int = 0
    most_in_flight: int = 0
    connections: int = 0
    """Connections accepted."""
    most_connections: int = 0
    """The most that were open at once, as the server sees it: a client that closes one and
    opens the next may be seen with both."""
    recent: deque[Received] = field(factory=lambda: deque[Received](maxlen=100))
    """The last requests, the newest last."""

    def started(self) -> None:
        """A request came in."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def accepted(self, connections_open: int) -> None:
        """A connection came in."""
        self.connections += 1
        self.most_connections = max(self.most_connections, connections_open)


Seconds: TypeAlias = float | Callable[[], float]
"""A constant, or a callable that is called for each request."""

_LIST = "/v2/conversations"
_CONVERSATIONS = "/v2/conversations/"
_MESSAGES = "/messages"
_NO_SUCH_ROUTE = StubResponse(
    404, b'{"error":{"message":"Not found: the emulator has no such endpoint; see Emulator.stub"}}'
)
_ONLY_GET = StubResponse(
    405, b'{"error":{"message":"Method not allowed"}}', (*JSON, ("Allow", "GET"))
)
_NO_UUID = error_response(422, details={"field": "conversationId", "reason": "Invalid UUID"})

_encode = msgspec.json.Encoder().encode


@define(eq=False, repr=False, kw_only=True)
class Service:
    """The API's behavior, without a socket; the docstring of `Emulator` explains the options."""

    token: str = "sk_emulator"  # noqa: S105 - it opens nothing but the emulator
    seed: int = 0
    conversations: int = 0
    changing: bool = False
    messages: int | None = None
    spelling: Spelling = "documented"
    limit: Limit | None = None
    retry_after: RetryAfter = "ceil"
    retry_after_header: bool = False
    quota_headers: QuotaHeaders = None
    latency: Seconds = 0.0
    refusal_latency: Seconds = 0.0
    faults: Sequence[Share] = ()
    outage: Fault | None = None
    count_ids: bool = False
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    counters: Counters = field(init=False, factory=Counters)
    _missing: set[str] = field(init=False, factory=set[str])
    _schedule: Schedule = field(
        init=False, default=Factory(lambda self: Schedule(self.seed, self.faults), takes_self=True)
    )
    _page_faults: deque[Fault] = field(init=False, factory=deque[Fault])
    _stubs: dict[tuple[str, str], tuple[StubResponse, deque[Fault]]] = field(
        init=False, factory=dict[tuple[str, str], tuple[StubResponse, deque[Fault]]]
    )
    _project: Project = field(
        init=False,
        default=Factory(
            lambda self: Project(
                lambda conversation_id: conversation(
                    conversation_id, self.seed, messages=self.messages, spelling=self.spelling
                ),
                self.seed,
                dict.fromkeys(conversation_ids(self.conversations, self.seed)),
            ),
            takes_self=True,
        ),
    )

    def script(self, conversation_id: str, *faults: Fault) -> None:
        """Let the next requests for an ID meet these faults, one each.

        Raises:
            ValueError: The ID is not a UUID.
        """
        self._schedule.script(conversation_id, faults)

    def script_pages(self, *faults: Fault) -> None:
        """Let the next requests for a page of conversations meet these faults, one each."""
        self._page_faults.extend(faults)

    def stub(self, method: str, path: str, body: object, *faults: Fault) -> None:
        """Respond to an endpoint that the emulator does not have, from now on.

        `counters.recent` has the requests, with their bodies.

        Args:
            method: The HTTP method.
            path: The path below the base URL, such as `/messages/7/rate`, without a query.
            body: The body of the response, as JSON; a `StubResponse` for another status or headers.
            faults: What the next requests for it meet, one each.

        Raises:
            TypeError: The body cannot be represented in JSON.
        """
        response = body if isinstance(body, StubResponse) else StubResponse(200, _encode(body))
        self._stubs[method, f"/v2{path}"] = response, deque(faults)

    def unmet_faults(self) -> dict[str, int]:
        """Return how many scripted faults no request has met.

        By ID; by "POST /v2/…" for those of `stub`; "pages" for those of pages.
        """
        pages = {"pages": len(self._page_faults)} if self._page_faults else {}
        stubs = {" ".join(key): len(faults) for key, (_, faults) in self._stubs.items() if faults}
        return {**self._schedule.unmet(), **stubs, **pages}

    def put(self, conversation_id: str, content: Mapping[str, object]) -> None:
        """Store fields of a conversation, in the form of the wire, and list it from now on.

        Fields that are not given are generated, or as they were put before. `messages` replace
        those from before; of each, `parts` are enough, and `role` if it is not "user". A
        conversation may be put while the list is read.

        Raises:
            ValueError: The ID is not a UUID.
            TypeError: A value cannot be represented in JSON.
        """
        self._project.put(conversation_id, content)
        self._missing.discard(conversation_id.lower())

    def missing(self, *conversation_ids: str) -> None:
        """Respond to these IDs with 404 from now on, and do not list them.

        Raises:
            ValueError: An ID is not a UUID.
        """
        for conversation_id in map(valid_id, conversation_ids):
            self._missing.add(conversation_id)
            self._project.remove(conversation_id)

    def reset_counters(self) -> None:
        """Count from zero again; requests in flight stay counted as such."""
        flying = self.counters.in_flight
        self.counters = Counters(in_flight=flying, most_in_flight=flying)

    def authorizes(self, authorization: str) -> bool:
        """Whether an `Authorization` header carries the token."""
        scheme, _, token = authorization.partition(" ")
        given = token.strip().encode("utf-8", "surrogateescape")
        return hmac.compare_digest(given, self.token.encode()) and scheme.lower() == "bearer"

    def respond(self, method: str, target: str, *, authorized: bool) -> StubResponse:
        """Return the response to a request, and count both; `target` is the path with the query."""
        self.counters.requests += 1
        if not authorized:
            self.counters.unauthorized += 1
            response = evolve(error_response(401), delay=_seconds(self.refusal_latency))
        elif self.limit is None:
            response = self._route(method, target)
        else:
            now = self.clock()
            wait = self.limit.take(now)
            if wait:
                self.counters.refused += 1
                refused = refusal(wait, self.retry_after, header=self.retry_after_header)
                response = evolve(refused, delay=_seconds(self.refusal_latency))
            else:
                response = self._route(method, target)
            quota = quota_headers(self.limit.quota(now), self.quota_headers, self.wall_clock)
            response = response.with_headers(quota)
        self.counters.statuses[response.status if response.is_http else 0] += 1
        return response

    def _route(self, method: str, target: str) -> StubResponse:
        path, _, query = target.partition("?")
        if stub := self._stubs.get((method, path)):
            response, faults = stub
            fault = self.outage or (faults.popleft() if faults else None)
            return self._met(fault, evolve(response, delay=_seconds(self.latency)))
        if path == _LIST:
            return self._page(query) if method == "GET" else _ONLY_GET
        conversation_id = path.removeprefix(_CONVERSATIONS).removesuffix(_MESSAGES).lower()
        if not path.startswith(_CONVERSATIONS) or "/" in conversation_id:
            return _NO_SUCH_ROUTE
        if method != "GET":
            return _ONLY_GET
        if not UUID.fullmatch(conversation_id):
            return _NO_UUID
        if self.count_ids:
            self.counters.ids[conversation_id] += 1
        response = self._found(conversation_id, query if path.endswith(_MESSAGES) else None)
        return self._met(self.outage or self._schedule.next_fault(conversation_id), response)

    def _page(self, query: str) -> StubResponse:
        try:
            response = StubResponse(200, _encode(self._project.page(query)))
        except InvalidParameterError as error:
            response = error_response(400, details={"field": str(error)})
        if self.changing:
            self._project.change()
        fault = self._page_faults.popleft() if self._page_faults and not self.outage else None
        return self._met(self.outage or fault, evolve(response, delay=_seconds(self.latency)))

    def _met(self, fault: Fault | None, response: StubResponse) -> StubResponse:
        if fault is None:
            return response
        self.counters.faults += 1
        return fault(response)

    def _found(self, conversation_id: str, messages: str | None) -> StubResponse:
        """Return a conversation, or its messages by the query for them."""
        delay = _seconds(self.latency)
        if conversation_id in self._missing:
            return evolve(error_response(404, conversation_id), delay=delay)
        found = self._project.conversation(conversation_id)
        if messages is not None:
            try:
                found = messages_page(found["messages"], messages)
            except InvalidParameterError as error:
                invalid = error_response(400, conversation_id, details={"field": str(error)})
                return evolve(invalid, delay=delay)
        return StubResponse(200, _encode(found), conversation_id=conversation_id, delay=delay)


def _seconds(value: Seconds) -> float:
    return value() if callable(value) else value
