"""The emulator: the API on a loopback socket, in an event loop or in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from ipaddress import ip_address
from threading import Thread
from typing import TYPE_CHECKING, Self, TypeAlias

from aiohttp import web
from attrs import define, field, frozen

from siteassist_async.emulator.responses import StubResponse, pieces
from siteassist_async.emulator.service import Received, Service

if TYPE_CHECKING:
    from collections.abc import Generator


__all__ = ["Emulator", "in_thread"]

Sleep: TypeAlias = Callable[[float], Awaitable[object]]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


async def send(request: web.BaseRequest, stub: StubResponse, sleep: Sleep) -> web.StreamResponse:
    """Send a stub response to its end, to its cut, or until the client disconnects."""
    if stub.whole:
        response: web.StreamResponse = web.Response(
            status=stub.status, body=stub.body, headers=stub.headers
        )
    else:
        response = web.StreamResponse(status=stub.status, headers=stub.headers)
        if stub.chunked:
            response.enable_chunked_encoding()
        elif "Content-Length" not in response.headers:
            response.content_length = stub.length
    if response.headers.get("Connection", "").lower() == "close":
        response.force_close()
    try:
        await _send(request, response, stub, sleep)
    except ConnectionError:
        # aiohttp notices by itself, and closes the connection silently.
        return response
    return response


async def _send(
    request: web.BaseRequest, response: web.StreamResponse, stub: StubResponse, sleep: Sleep
) -> None:
    if stub.delay:
        await sleep(stub.delay)
    if stub.dropped:
        return _close(request, reset=stub.reset)
    if stub.raw is not None:
        _write(request, stub.raw)
        return _close(request)
    await response.prepare(request)
    if not stub.whole:
        for piece in pieces(stub):
            if stub.every:
                await sleep(stub.every)
            await response.write(piece)
    if stub.cut is not None:
        if stub.hold:
            await sleep(stub.hold)
        return _close(request, reset=stub.reset)
    await response.write_eof()
    if stub.unsolicited:
        await sleep(stub.late)
        _write(request, stub.unsolicited)
    return None


def _write(request: web.BaseRequest, data: bytes) -> None:
    if request.transport is not None:
        request.transport.write(data)


def _close(request: web.BaseRequest, *, reset: bool = False) -> None:
    transport = request.transport
    if transport is None:
        return
    if reset:
        opened: socket.socket = transport.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
    else:
        transport.close()


_Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

# A handler that is cancelled ends within a turn of the loop; this is for one that does not.
_LONGEST_STOP = 1.0


class _Server(web.Server):
    def __init__(self, handle: _Handler, accepted: Callable[[int], None]) -> None:
        # Without the cancellation a stalled response would outlive the client that gave up on it.
        super().__init__(handle, handler_cancellation=True, access_log=None)
        self._accepted = accepted

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._accepted(len(self.connections))


@frozen
class _Running:
    listener: asyncio.Server
    server: web.Server
    stopped: asyncio.Event = field(factory=asyncio.Event)


@define(eq=False, repr=False, kw_only=True)
class Emulator(Service):
    """The SiteAssist API on a socket.

    ```python
    import asyncio

    from siteassist_async import SiteAssist
    from siteassist_async.emulator import Emulator, TokenBucket


    async def main() -> None:
        async with Emulator(limit=TokenBucket(50)) as api:
            async with SiteAssist(api.token, base_url=api.url) as client:
                await client.conversations.get("123e4567-e89b-12d3-a456-426614174000")
            assert api.counters.requests == 1


    asyncio.run(main())
    ```

    It listens on loopback only, unless `allow_remote` is set. Port 0 is any free port; an
    emulator that is started again keeps its port.

    The options are attributes, which may be changed at any time, except for those that say "at
    start". A request is checked in this order: token, limit, method and path, then the fault that
    its ID meets (an outage, a scripted one, one of a share).

    Attributes:
        token: The token that it accepts.
        seed: At start: decides the generated conversations.
        conversations: At start: how many conversations the project lists, those of
            `conversation_ids(n, seed)`. Every other UUID has a conversation too, which is not
            listed.
        changing: After each page of the list, a conversation is started, one gets a message, and
            one is closed.
        messages: The number of messages of each conversation; the natural 0 to 40 by default.
        spelling: The names of fields: as documented, or as the service sends them today.
        limit: The rate limit.
        retry_after: How a 429 of the limit rounds the seconds that it names.
        retry_after_header: Whether such a 429 has a Retry-After header too.
        quota_headers: The style of headers that tell what is left of the limit.
        latency: Seconds before each response, or a callable that returns them.
        refusal_latency: The latency of a 401 and of the limit's 429, which a server sends without
            the real work.
        faults: At start: the shares of the IDs whose requests meet a fault.
        outage: A fault that every request meets for as long as it is set, however often the client
            tries.
        count_ids: Whether `counters.ids` counts the requests for each ID.
        clock: The time of the limit.
        wall_clock: The time of the quota headers.
        counters: What it received and sent.
        host: The IP address to listen on.
        port: The port; 0 for any that is free.
        allow_remote: Whether `host` may be an address that other machines reach.
        ssl_context: For https.
        sleep: Replaces `asyncio.sleep` for latency and delays.

    Raises:
        ValueError: `host` is not an IP address, or not a loopback address without `allow_remote`.
    """

    host: str = "127.0.0.1"
    port: int = 0
    allow_remote: bool = False
    ssl_context: ssl.SSLContext | None = None
    sleep: Sleep = asyncio.sleep
    _running: _Running | None = field(init=False, default=None)
    _tasks: set[asyncio.Task[None]] = field(init=False, factory=set[asyncio.Task[None]])

    def __attrs_post_init__(self) -> None:
        if not (ip_address(self.host).is_loopback or self.allow_remote):
            raise ValueError(f"{self.host} is not a loopback address; allow_remote=True allows it")

    def __repr__(self) -> str:
        return f"Emulator({self.url!r})" if self._running else "Emulator(stopped)"

    @property
    def url(self) -> str:
        """The base URL for a client.

        Raises:
            RuntimeError: the emulator has no port until it is started.
        """
        if not self.port:
            raise RuntimeError("the emulator has no port until it is started")
        scheme = "https" if self.ssl_context else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}/v2"

    @property
    def connections_open(self) -> int:
        """The number of connections that are open now."""
        return len(self._running.server.connections) if self._running else 0

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
            RuntimeError: the emulator is started already.
        """
        if self._running:
            raise RuntimeError("the emulator is started already")
        server = _Server(self._handle, self._accepted)
        listener = await asyncio.get_running_loop().create_server(
            server, self.host, self.port, ssl=self.ssl_context, backlog=1024
        )
        self.port = listener.sockets[0].getsockname()[1]
        self._running = _Running(listener, server)

    async def stop(self) -> None:
        """Close the port and every connection at once; requests in flight are cut off."""
        running, self._running = self._running, None
        if running is None:
            return
        running.listener.close()
        # A connection that was accepted in this turn of the loop is made two turns later.
        for _ in range(3):
            await asyncio.sleep(0)
        transports = [connection.transport for connection in running.server.connections]
        for task in self._tasks:
            task.cancel()
        running.server.pre_shutdown()
        await running.server.shutdown(_LONGEST_STOP)
        for transport in filter(None, transports):
            # A closed transport waits for a client that does not read; an aborted one does not.
            transport.abort()
        await asyncio.sleep(0)
        await running.listener.wait_closed()
        running.stopped.set()

    async def serve_forever(self) -> None:
        """Wait until the emulator is stopped; cancelling it stops nothing by itself.

        Raises:
            RuntimeError: the emulator is not started.
        """
        if self._running is None:
            raise RuntimeError("the emulator is not started")
        await self._running.stopped.wait()

    def drop_connections(self) -> None:
        """Close every open connection, idle or not, and go on listening."""
        if self._running:
            for connection in self._running.server.connections:
                connection.force_close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _accepted(self, connections_open: int) -> None:
        self.counters.accepted(connections_open)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        task = request.task
        self._tasks.add(task)
        self.counters.started()
        try:
            headers = request.headers.copy()
            authorized = self.authorizes(headers.get("Authorization", ""))
            if "Authorization" in headers:
                headers["Authorization"] = "***"
            body = await request.read() if request.body_exists else b""
            received = Received(request.method, request.raw_path, headers, authorized, body)
            self.counters.recent.append(received)
            response = self.respond(request.method, request.raw_path, authorized=authorized)
            return await send(request, response, self.sleep)
        finally:
            self.counters.in_flight -= 1
            self._tasks.discard(task)


@contextmanager
def in_thread(emulator: Emulator) -> Generator[Emulator]:
    """Run an emulator in a thread for the length of a `with` block.

    Its options, `script`, `missing` and counters may be used from the calling thread.

    Raises:
        OSError: the port is taken.
    """
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="siteassist-emulator", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(emulator.start(), loop).result()
        yield emulator
    finally:
        asyncio.run_coroutine_threadsafe(emulator.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
