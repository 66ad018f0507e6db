"""Stand-ins that a test drives: a clock, a pacer, and the rest of a chain."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Hashable
from heapq import heappop, heappush
from random import Random
from typing import TYPE_CHECKING, Any, Protocol
from unittest import mock

import pytest
from attrs import frozen

from siteassist_async import Failed, Fetched, Request, Response, RetryPolicy, Send, SiteAssist
from siteassist_async.contract import documented_body
from siteassist_async.emulator import Delay
from siteassist_async.pacing import AdaptivePacer, Pace, Pacer, Permit, Start
from siteassist_async.wire import Operation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from aiohttp import ClientSession
    from yarl import URL

    from siteassist_async.emulator import Service, StubResponse
    from siteassist_async.pacing import RateLimitHint

ID = "123e4567-e89b-12d3-a456-426614174000"
"""The id of the documented conversation."""

OTHER_ID = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"

BASE_URL = "https://api.siteassist.io/v2"
CONVERSATION_URL = f"{BASE_URL}/conversations/{ID}"

WITH_PRIVATE_NAMES = pytest.mark.parametrize("public_only", [False], indirect=True)
"""For tests of what aiohttp's public API alone cannot do, or does in another way."""

TOKEN = "sk_test_0123456789"


ONCE = RetryPolicy(attempts=1, patience=0)
"""What failed once is the outcome."""


def operation_of(
    read: Callable[[Response, str], object] = lambda response, _: json.loads(response.body),
    *,
    repeatable: bool = True,
) -> Operation[Any]:
    """The operation of a request that a test makes; its value is the body's JSON."""
    return Operation("conversations.get", "GET", "/conversations/{id}", read, repeatable)


def new_request(operation: Operation[Any] | None = None, **options: Any) -> Request:  # noqa: ANN401 - each test's own
    """A request for the documented conversation."""
    return Request("GET", CONVERSATION_URL, operation or operation_of(), ID, **options)


def documented(status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """The documented answer of a status."""
    return Response(status, headers or {}, documented_body(status))


async def settle() -> None:
    """Let every task run until it waits for something else than its turn."""
    for _ in range(20):
        await asyncio.sleep(0)


class Mocked(Protocol):
    """What the tests use of aioresponses, whose own types are not whole."""

    requests: dict[tuple[str, URL], list[object]]

    def get(
        self,
        url: str,
        *,
        status: int = 200,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        exception: Exception | None = None,
        repeat: bool = False,
    ) -> None:
        """Answer the next GET of this URL."""
        ...


class FakeClock:
    """A clock that stands still until somebody sleeps."""

    def __init__(self) -> None:
        self.time: float = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        """As `Clock.now`."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Advance the time for everybody."""
        self.slept.append(seconds)
        self.time += max(0.0, seconds)
        await asyncio.sleep(0)


class VirtualClock(FakeClock):
    """A clock on which several may sleep at once: it goes on when nothing else is to be done.

    For tests without sockets: what waits for one is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0
        self._waking: asyncio.Task[None] | None = None

    async def sleep(self, seconds: float) -> None:
        """Wait until all who wake before have woken."""
        self._count += 1
        woken = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (self.time + max(0.0, seconds), self._count, woken))
        if self._waking is None:
            self._waking = asyncio.create_task(self._wake())
        await woken

    async def _wake(self) -> None:
        while self._sleepers:
            await settle()
            at, _, woken = heappop(self._sleepers)
            if not woken.done():
                self.time = max(self.time, at)
                woken.set_result(None)
        self._waking = None


class FakeTransport:
    """The emulator's answers without a socket, each after `latency` seconds of a virtual clock."""

    def __init__(self, service: Service, clock: VirtualClock, latency: float = 0.05) -> None:
        self.service = service
        self._clock = clock
        self._latency = latency

    async def __call__(self, request: Request) -> Response:
        """As a transport."""
        request.tally.sent += 1
        target = f"/v2/conversations/{request.subject}"
        answer = self.service.respond("GET", target, authorized=True)
        await self._clock.sleep(self._latency)
        return Response(answer.status, dict(answer.headers), answer.body)

    async def close(self) -> None:
        """There is nothing to close."""


def virtual_client(
    service: Service, clock: VirtualClock, *, deadline: float | None = None
) -> SiteAssist:
    """A client of the emulator's decisions, in virtual time and without a socket."""
    transport = FakeTransport(service, clock)
    with mock.patch("siteassist_async.client.Transport", return_value=transport):
        return SiteAssist(
            service.token,
            base_url="http://127.0.0.1:1/v2",
            clock=clock,
            pacer=AdaptivePacer(Pace(concurrency=32, random=Random(1).random), clock=clock),
            deadline=deadline,
        )


@frozen
class Asked:
    """What a pacer was asked for."""

    subject: Hashable
    bulk: bool
    deadline: float
    latest: float


class StuckClock(FakeClock):
    """A clock whose sleeps do not end."""

    async def sleep(self, seconds: float) -> None:
        """Sleep until cancelled."""
        self.slept.append(seconds)
        await asyncio.Event().wait()


class FakePacer(Pacer):
    """Lets all start that have a slot, or raises `refusal`, and writes down what it is told.

    It says of each refusal that it is the subject's alone where `alone` is set.
    """

    def __init__(self, refusal: Exception | None = None, *, alone: bool = False) -> None:
        super().__init__()
        self.refusal = refusal
        self.alone = alone
        self.asked: list[Asked] = []
        self.told: list[tuple[object, ...]] = []
        self.hints: list[RateLimitHint | None] = []

    async def acquire(self, start: Start) -> Permit:
        """Give 1.0 as the first start time, 2.0 as the second, and so on."""
        if self.refusal is not None:
            raise self.refusal
        await start.slots.acquire()
        self.asked.append(Asked(start.subject, start.bulk, start.deadline, start.latest))
        number = len(self.asked)
        return Permit(float(number), start.subject, start.bulk, number, self)

    def succeeded(self, permit: Permit, hint: RateLimitHint | None) -> None:
        """As `Permit.succeeded`."""
        self.told.append(("succeeded", permit.sent))
        self.hints.append(hint)

    def throttled(
        self,
        permit: Permit,
        retry_after: float | None,
        *,
        limited: bool,
        hint: RateLimitHint | None,
    ) -> bool:
        """As `Permit.throttled`."""
        self.told.append(("throttled", permit.sent, retry_after, limited))
        self.hints.append(hint)
        return self.alone

    def abandoned(self, permit: Permit) -> None:
        """As `Permit.abandoned`."""
        self.told.append(("abandoned", permit.sent))


class FakeSend:
    """The rest of a chain: plays outcomes, the last for ever, and keeps the requests.

    It counts as the transport does.
    """

    def __init__(self, *outcomes: Response | BaseException | Callable[[Request], Response]) -> None:
        self._outcomes = deque(outcomes)
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        """Play the next outcome."""
        self.requests.append(request)
        request.tally.sent += 1
        outcome = self._outcomes.popleft() if len(self._outcomes) > 1 else self._outcomes[0]
        await asyncio.sleep(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome if isinstance(outcome, Response) else outcome(request)


class Recorder:
    """A user's link that keeps each request and answers with the documented conversation."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def __call__(self, request: Request, send: Send) -> Response:
        """Send nothing on."""
        del send
        self.requests.append(request)
        return documented()


class Server(Protocol):
    """Where a client can be pointed at."""

    @property
    def url(self) -> str:
        """The base URL."""
        ...


def client_of(
    server: Server,
    clock: FakeClock,
    *,
    retry: RetryPolicy = ONCE,
    session: ClientSession | None = None,
) -> SiteAssist:
    """A client that waits in no time and is not paced."""
    return SiteAssist(
        TOKEN, base_url=server.url, clock=clock, retry=retry, session=session, pacer=FakePacer()
    )


async def get_all(
    client: SiteAssist,
    ids: Iterable[object] | AsyncIterator[object],
    *,
    ordered: bool = False,
) -> list[Fetched | Failed]:
    """All outcomes of many ids, wrong ones too."""
    many = client.conversations.get_many(ids, ordered=ordered)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # the wrong ones
    return [outcome async for outcome in many]


class Silence:
    """A fault of the emulator: no answer; `met` tells that a request is waiting for one."""

    def __init__(self) -> None:
        self.met = asyncio.Event()

    def __call__(self, response: StubResponse) -> StubResponse:
        """Hold the response back."""
        self.met.set()
        return Delay(3600)(response)
