"""Plain clients of the emulator, and sleeps that take no time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from siteassist_async.emulator import Emulator

ID = "123e4567-e89b-12d3-a456-426614174000"


class Naps:
    """A sleep that only writes down what it was asked for."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Sleep for one turn of the loop."""
        self.slept.append(seconds)
        await asyncio.sleep(0)


class Coma:
    """A sleep that never ends, and tells when it begins and when it is cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def sleep(self, _: float) -> None:
        """Sleep until cancelled."""
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


def url(api: Emulator, conversation_id: str = ID) -> str:
    """The URL of a conversation."""
    return f"{api.url}/conversations/{conversation_id}"


def session_of(api: Emulator) -> aiohttp.ClientSession:
    """An aiohttp session that carries the token."""
    return aiohttp.ClientSession(headers={"Authorization": f"Bearer {api.token}"})


async def ask(api: Emulator) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send one request on a connection of its own."""
    reader, writer = await asyncio.open_connection(api.host, api.port)
    writer.write(
        f"GET /v2/conversations/{ID} HTTP/1.1\r\nHost: {api.host}\r\n"
        f"Authorization: Bearer {api.token}\r\n\r\n".encode()
    )
    return reader, writer


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close a connection."""
    writer.close()
    await writer.wait_closed()
