"""The API without a socket: a request in, a stub response out."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec
from attrs import Factory, define, evolve, field

from siteassist_async.emulator.conversations import Spelling, conversation
from siteassist_async.emulator.counters import Counters
from siteassist_async.emulator.ids import UUID, valid_id
from siteassist_async.emulator.limits import Limit, QuotaHeaders, RetryAfter, quota_headers, refusal
from siteassist_async.emulator.responses import JSON, Fault, StubResponse, error_response
from siteassist_async.emulator.schedule import Schedule, Share

__all__ = ["Seconds", "Service"]

Seconds: TypeAlias = float | Callable[[], float]
"""A constant, or a callable that is called for each request."""

_CONVERSATIONS = "/v2/conversations/"
_NO_SUCH_ROUTE = StubResponse(404, b'{"error":{"message":"Not found"}}')
_ONLY_GET = StubResponse(
    405, b'{"error":{"message":"Method not allowed"}}', (*JSON, ("Allow", "GET"))
)
_NO_UUID = error_response(422, details={"field": "conversationId", "reason": "Invalid UUID"})

_encode = msgspec.json.Encoder().encode


@define(eq=False, repr=False, kw_only=True)
class Service:
    """The API's behavior; every option but `seed` and `faults` may be changed at any time.

    A request is checked in this order: token, limit, method and path, then the fault that its
    id meets (an outage, a scripted one, one of a share).
    """

    token: str = "sk_emulator"  # noqa: S105 - it opens nothing but the emulator
    seed: int = 0
    messages: int | None = None
    """The messages of each conversation; the natural 0 to 40 by default."""
    spelling: Spelling = "documented"
    limit: Limit | None = None
    retry_after: RetryAfter = "ceil"
    retry_after_header: bool = False
    quota_headers: QuotaHeaders = None
    latency: Seconds = 0.0
    refusal_latency: Seconds = 0.0
    """The latency of a 401 and of the limit's 429, which a server sends without the real work."""
    faults: Sequence[Share] = ()
    outage: Fault | None = None
    """Met by every request for a conversation for as long as it is set."""
    count_ids: bool = False
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    counters: Counters = field(init=False, factory=Counters)
    _missing: set[str] = field(init=False, factory=set[str])
    _schedule: Schedule = field(
        init=False, default=Factory(lambda self: Schedule(self.seed, self.faults), takes_self=True)
    )

    def script(self, conversation_id: str, *faults: Fault) -> None:
        """Let the next requests for an ID meet these faults, one each.

        Raises:
            ValueError: The ID is not a UUID.
        """
        self._schedule.script(conversation_id, faults)

    def missing(self, *conversation_ids: str) -> None:
        """Respond to these IDs with 404 from now on.

        Raises:
            ValueError: An ID is not a UUID.
        """
        self._missing.update(map(valid_id, conversation_ids))

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
        response = self._decide(method, target, authorized=authorized)
        self.counters.statuses[response.status if response.is_http else 0] += 1
        return response

    def _decide(self, method: str, target: str, *, authorized: bool) -> StubResponse:
        if not authorized:
            self.counters.unauthorized += 1
            return evolve(error_response(401), delay=_seconds(self.refusal_latency))
        if self.limit is None:
            return self._route(method, target)
        now = self.clock()
        wait = self.limit.take(now)
        if wait:
            self.counters.refused += 1
            refused = refusal(wait, self.retry_after, header=self.retry_after_header)
            response = evolve(refused, delay=_seconds(self.refusal_latency))
        else:
            response = self._route(method, target)
        quota = self.limit.quota(now)
        return response.with_headers(quota_headers(quota, self.quota_headers, self.wall_clock))

    def _route(self, method: str, target: str) -> StubResponse:
        path = target.partition("?")[0]
        if not path.startswith(_CONVERSATIONS) or "/" in path[len(_CONVERSATIONS) :]:
            return _NO_SUCH_ROUTE
        if method != "GET":
            return _ONLY_GET
        conversation_id = path[len(_CONVERSATIONS) :].lower()
        if not UUID.fullmatch(conversation_id):
            return _NO_UUID
        if self.count_ids:
            self.counters.ids[conversation_id] += 1
        response = self._found(conversation_id)
        fault = self.outage or self._schedule.next_fault(conversation_id)
        if fault is None:
            return response
        self.counters.faults += 1
        return fault(response)

    def _found(self, conversation_id: str) -> StubResponse:
        delay = _seconds(self.latency)
        if conversation_id in self._missing:
            return evolve(error_response(404, conversation_id), delay=delay)
        found = conversation(
            conversation_id, self.seed, messages=self.messages, spelling=self.spelling
        )
        return StubResponse(200, _encode(found), conversation_id=conversation_id, delay=delay)


def _seconds(value: Seconds) -> float:
    return value() if callable(value) else value
