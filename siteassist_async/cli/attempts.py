"""What a run's attempts say of the server: a listener to the client's events."""

from __future__ import annotations

from attrs import define, frozen

from siteassist_async.clock import Clock
from siteassist_async.errors import ServerError, SiteAssistError, TransportError
from siteassist_async.events import AttemptEnded, Event, RetryScheduled


@frozen
class Trouble:
    """No request has had an answer of use since then; `error` is why the last had none."""

    since: float
    error: SiteAssistError


@define
class Attempts:
    """Counts attempts and retries, and keeps what is wrong with the server while it is."""

    clock: Clock
    ended: int = 0
    retries: int = 0
    trouble: Trouble | None = None

    def __call__(self, event: Event) -> None:
        """As a listener to the client's events."""
        match event:
            case AttemptEnded(error=None):
                self.ended += 1
                self.trouble = None
            case AttemptEnded(error=SiteAssistError() as error):
                self._failed(error)
            case RetryScheduled():
                self.retries += 1
            case _:
                pass

    def _failed(self, error: SiteAssistError) -> None:
        self.ended += 1
        if not isinstance(error, TransportError | ServerError):
            self.trouble = None  # a 404, and a 429 too, come from a server that works
        else:
            since = self.trouble.since if self.trouble else self.clock.now()
            self.trouble = Trouble(since, error)
