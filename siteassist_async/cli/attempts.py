"""What a run's attempts say of the server: a link of the chain that only looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, frozen

from siteassist_async.clock import Clock
from siteassist_async.errors import ServerError, SiteAssistError, TransportError

if TYPE_CHECKING:
    from siteassist_async.wire import Request, Response, Send


@frozen
class Trouble:
    """No request has had an answer of use since then; `error` is why the last had none."""

    since: float
    error: SiteAssistError


@define
class Attempts:
    """Counts the attempts that ended, and keeps what is wrong with the server while it is."""

    clock: Clock
    ended: int = 0
    trouble: Trouble | None = None

    async def __call__(self, request: Request, send: Send) -> Response:
        """Send, and look at what comes."""
        try:
            response = await send(request)
        except SiteAssistError as error:
            self._failed(error)
            raise
        self.ended += 1
        self.trouble = None
        return response

    def _failed(self, error: SiteAssistError) -> None:
        self.ended += 1
        if not isinstance(error, TransportError | ServerError):
            self.trouble = None  # a 404, and a 429 too, come from a server that works
        else:
            since = self.trouble.since if self.trouble else self.clock.now()
            self.trouble = Trouble(since, error)
