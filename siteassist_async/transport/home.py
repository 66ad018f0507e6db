"""What belongs to one event loop: a session with its connections, and the timer of attempts."""

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


class Home:
    """A session in its event loop; one of the client's own is closed with the loop at the latest.

    Attributes:
        loop: Where all of it belongs.
        session: The user's, or the client's own.
        is_the_users: Whether the session is somebody else's to close.
        fast: Sends below the session; only for one of the client's own, where it can be used.
        path: Sends through the session.
        timer: Ends attempts that last too long.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        session: aiohttp.ClientSession,
        *,
        is_the_users: bool,
    ) -> None:
        self.loop = loop
        self.session = session
        self.is_the_users = is_the_users
        self.fast = (
            None
            if is_the_users or aiohttp_internals.OFF_BECAUSE
            else aiohttp_internals.FastPath(session)
        )
        self.path = SessionPath(session)
        self.timer = AttemptTimer()
        self._keeper = _closing_at_the_end(session)

    @classmethod
    def of_the_client(
        cls, loop: asyncio.AbstractEventLoop, connections: int, tls: ssl.SSLContext | None
    ) -> Home:
        """Open a session of the client's own."""
        return cls(loop, new_session(connections, tls), is_the_users=False)

    async def settle_in(self) -> None:
        """Have the session closed when the event loop is, as `asyncio.run` does it in the end."""
        if not self.is_the_users:
            await anext(self._keeper)

    async def close(self) -> None:
        """Close what is the client's, from the same event loop."""
        if self.is_the_users:
            return  # what is in flight over it goes on, and still ends in time
        self.timer.stop()
        await self.session.close()
        await self._keeper.aclose()

    def abandon(self) -> None:
        """Let go of it from another event loop, once its own runs no more."""
        if not self.is_the_users:
            aiohttp_internals.abandon(self.session)


def belongs_to(session: aiohttp.ClientSession, loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a user's session can be used in this event loop."""
    return aiohttp_internals.loop_of(session) in {None, loop}


async def _closing_at_the_end(session: aiohttp.ClientSession) -> AsyncGenerator[None]:
    # An event loop that is shut down closes the asynchronous generators that were begun in it.
    try:
        yield
    finally:
        await session.close()
