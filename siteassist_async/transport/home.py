"""The transport's state for one event loop: a session with its connections, and a timer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siteassist_async.transport import aiohttp_internals
from siteassist_async.transport.connections import SessionPath, new_session
from siteassist_async.transport.timers import AttemptTimer

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import AsyncGenerator

    import aiohttp

    from siteassist_async.transport.proxy import Proxy


class Home:
    """A session and what belongs to it, in one event loop.

    The client's own session is closed with the client, or when its event loop shuts down.

    Attributes:
        loop: The event loop.
        session: The client's own session, or the user's.
        is_the_users: Whether the session is the user's, who also closes it.
        fast: The fast path that bypasses the session; None if it cannot be used.
        path: Sends requests through the session.
        timer: Enforces `Timeout.total`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        session: aiohttp.ClientSession,
        *,
        is_the_users: bool,
        proxy: Proxy | None = None,
    ) -> None:
        self.loop = loop
        self.session = session
        self.is_the_users = is_the_users
        self.fast = (
            None
            if is_the_users or proxy is not None or aiohttp_internals.OFF_BECAUSE
            else aiohttp_internals.FastPath(session)
        )
        self.path = SessionPath(session)
        self.timer = AttemptTimer()
        self._keeper = _closing_at_the_end(session)

    @classmethod
    def of_the_client(
        cls,
        loop: asyncio.AbstractEventLoop,
        connections: int,
        tls: ssl.SSLContext | None,
        proxy: Proxy | None,
    ) -> Home:
        """Create a home with a session of the client's own."""
        session = new_session(connections, tls, proxy)
        return cls(loop, session, is_the_users=False, proxy=proxy)

    async def settle_in(self) -> None:
        """Arrange that the client's own session is closed when `asyncio.run` ends."""
        if not self.is_the_users:
            await anext(self._keeper)

    async def close(self) -> None:
        """Close the client's own session; called in the same event loop."""
        if self.is_the_users:
            return  # requests in flight continue, within their timeouts
        self.timer.stop()
        await self.session.close()
        await self._keeper.aclose()

    def abandon(self) -> None:
        """Drop the client's own session after its event loop has stopped."""
        if not self.is_the_users:
            aiohttp_internals.abandon(self.session)


def belongs_to(session: aiohttp.ClientSession, loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a user's session can be used in this event loop."""
    return aiohttp_internals.loop_of(session) in {None, loop}


async def _closing_at_the_end(session: aiohttp.ClientSession) -> AsyncGenerator[None]:
    # A suspended asynchronous generator is closed by `loop.shutdown_asyncgens`.
    try:
        yield
    finally:
        await session.close()
