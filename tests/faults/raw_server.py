"""A server that says whatever it is told to, byte for byte, and counts."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Self

from attrs import frozen

from .wire import answer, conversation

if TYPE_CHECKING:
    import ssl

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_ID = re.compile(rb"/conversations/(\S*) ")
_OFFSET = re.compile(rb"[?&](offset=\d+)\S* ")


@frozen
class Drip:
    """These bytes in pieces, each in a packet of its own, `every` seconds one."""

    data: bytes
    size: int = 1
    every: float = 0.0


@frozen
class Again:
    """These bytes, so many times; None: as long as somebody listens."""

    data: bytes
    times: int | None = None


Step = bytes | Drip | Again | Literal["pause", "close", "reset", "half-close", "silence"]
"""What is said, or how the connection ends; after `silence` it is up to the client to end it.

A `pause` lets the client read what has been said."""

Play = Sequence[Step]
"""The answer to one request; the connection stays open unless a step ends it."""


@frozen
class Received:
    """One request: the connection that it came over, its head, and when."""

    connection: int
    head: bytes
    at: float

    @property
    def conversation_id(self) -> str:
        """The id that is asked for, as it is in the path; `offset=N` for a page of a list."""
        found = _OFFSET.search(self.head) or _ID.search(self.head)
        return found[1].decode() if found else ""


class RawServer:
    """Answers each request for an id with the id's next play, and with its conversation after.

    `forever` keeps the last play of an id. `greeting` is said on a new connection, unasked.
    `most_open` is the most connections that were open when a request came.
    """

    def __init__(self, now: Callable[[], float] = lambda: 0.0) -> None:
        self.script: defaultdict[str, deque[Play]] = defaultdict(deque)
        self.forever = False
        self.greeting: Play = ()
        self.requests: list[Received] = []
        self.connections = self.open = self.most_open = 0
        self.port = 0
        self._now = now
        self._tls: ssl.SSLContext | None = None
        self._server: asyncio.Server | None = None
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        """The base URL for a client."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/v2"

    async def start(self, tls: ssl.SSLContext | None = None) -> Self:
        """Listen; a server that is started again keeps its port."""
        self._tls = tls
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=tls, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def drop_connections(self) -> None:
        """Close every connection, as a server does that restarts, and see them closed."""
        for task in self._serving:
            task.cancel()
        await self.until(lambda: not self.open)

    async def say(self, data: bytes) -> None:
        """Say something on every connection, unasked."""
        for writer in self._serving.values():
            writer.write(data)
            await writer.drain()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so; a test that waits for ever fails after 10 seconds."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(condition)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = writer
        self.connections += 1
        number = self.connections
        self.open += 1
        try:
            await self._talk(number, reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort() if writer.is_closing() else writer.close()
            del self._serving[task]
            self.open -= 1
            async with self._changed:
                self._changed.notify_all()

    async def _talk(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await _play(self.greeting, reader, writer)
        while head := await _head(reader):
            received = Received(number, head, self._now())
            self.requests.append(received)
            # Not when one is accepted: the end of another that the client closed may be unread.
            self.most_open = max(self.open, self.most_open)
            async with self._changed:
                self._changed.notify_all()
            await _play(self._next(received.conversation_id), reader, writer)
            if writer.is_closing():
                return

    def _next(self, conversation_id: str) -> Play:
        plays = self.script[conversation_id]
        if not plays:
            return [answer(conversation(conversation_id))]
        return plays[0] if self.forever and len(plays) == 1 else plays.popleft()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return b""


async def _play(play: Play, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for step in play:
        match step:
            case bytes():
                writer.write(step)
                await writer.drain()
            case Drip():
                await _drip(step, writer)
            case Again():
                await _again(step, writer)
            case "pause":
                await _turns(20)
            case "close":
                writer.close()
            case "half-close":
                writer.write_eof()
                await reader.read()
            case "reset":
                _reset(writer)
            case "silence":
                await reader.read()


async def _drip(step: Drip, writer: asyncio.StreamWriter) -> None:
    for at in range(0, len(step.data), step.size):
        if writer.is_closing():
            return
        writer.write(step.data[at : at + step.size])
        await asyncio.sleep(step.every)


async def _again(step: Again, writer: asyncio.StreamWriter) -> None:
    times = 0
    while times != step.times and not writer.is_closing():
        writer.write(step.data)
        await writer.drain()
        await asyncio.sleep(0)
        times += 1


async def _turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
