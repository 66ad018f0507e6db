"""A circuit breaker: tells failures of one id from failures of all."""

from __future__ import annotations

from attrs import define, field, frozen

from siteassist_async.errors import (
    APIError,
    DeadlineExceededError,
    PermissionDeniedError,
    SiteAssistError,
    TransportError,
)
from siteassist_async.export.id_list import Entry

ENOUGH = 20
"""So many failures of one kind, and nothing else, are no accident."""

_BUSY_OR_GONE = {429, 502, 503, 504}


@frozen
class Failure:
    """An id and why it could not be had."""

    entry: Entry
    error: SiteAssistError


@define
class Breaker:
    """Holds failures back until an answer shows that each is about its own id.

    Two kinds are held. One says nothing of the id: no answer, 429, 502, 503 or 504, after all
    attempts. `ENOUGH` of these in a row end the run; once an id was answered for in this run,
    as many more as are in flight at once, for a short outage fails all of those. The other kind
    are 403s, as long as this export had no other answer at all: the token may be of another
    project. `ENOUGH` of these end the run too.

    What is held when the run ends so has no outcome; the next run asks for it again.

    Attributes:
        limit: How many requests are in flight at once.
        trusted: Whether this export ever had an answer about an id, other than 403.
        answered: Whether this run had an answer about an id.
    """

    limit: int
    trusted: bool
    answered: bool = False
    _unanswered: list[Failure] = field(factory=list[Failure])
    _forbidden: list[Failure] = field(factory=list[Failure])

    def succeeded(self) -> list[Failure]:
        """Note a conversation; returns the failures that were held."""
        self.answered = self.trusted = True
        return self.release() if self._unanswered or self._forbidden else []

    def failed(self, failure: Failure) -> list[Failure]:
        """Note a failure; returns those that are each about their own id."""
        if _says_nothing(failure.error):
            self._unanswered.append(failure)
            return []
        self.answered = True
        if isinstance(failure.error, PermissionDeniedError) and not self.trusted:
            self._forbidden.append(failure)
            released, self._unanswered = self._unanswered, []
            return released
        self.trusted = True
        return [*self.release(), failure]

    def tripped(self) -> SiteAssistError | None:
        """Return the error that all requests end with, if that is how it looks."""
        if len(self._unanswered) >= ENOUGH + (self.limit if self.answered else 0):
            return self._unanswered[-1].error
        if len(self._forbidden) >= ENOUGH:
            return self._forbidden[-1].error
        return None

    def tripped_at_end(self) -> SiteAssistError | None:
        """As `tripped`, where no more ids come: fewer failures are enough if nothing else came."""
        if self._forbidden:
            return self._forbidden[-1].error
        return self._unanswered[-1].error if self._unanswered and not self.trusted else None

    def release(self) -> list[Failure]:
        """Return what is held, and hold it no longer."""
        released = self._forbidden + self._unanswered
        self._forbidden, self._unanswered = [], []
        return released


def _says_nothing(error: SiteAssistError) -> bool:
    if isinstance(error, APIError):
        return error.status in _BUSY_OR_GONE
    return isinstance(error, TransportError | DeadlineExceededError)
