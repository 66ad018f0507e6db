"""A circuit breaker: tells failures of one id from failures of all."""

from __future__ import annotations

from attrs import define, field, frozen

from siteassist_async.errors import (
    DeadlineExceededError,
    PermissionDeniedError,
    SiteAssistError,
    TransportError,
)
from siteassist_async.export.id_list import Entry

ENOUGH = 20
"""So many failures of one kind, and nothing else, are no accident."""

_NO_ANSWER = (TransportError, DeadlineExceededError)


@frozen
class Failure:
    """An id and why it could not be had."""

    entry: Entry
    error: SiteAssistError


@define
class Breaker:
    """Holds failures back until an answer shows that each is about its own id.

    Two kinds are held. Where no answer came, the server may be gone: `ENOUGH` of these in a row
    end the run. Once it answered in this run it takes as many more as are in flight at once,
    for a short outage fails all of those. And 403s, as long as this export had no other answer
    at all: the token may be of another project.

    What is held when the run ends so has no outcome; the next run asks for it again.

    Attributes:
        limit: How many requests are in flight at once.
        trusted: Whether this export ever had an answer other than 403.
        answered: Whether an answer came in this run.
    """

    limit: int
    trusted: bool
    answered: bool = False
    _silent: list[Failure] = field(factory=list[Failure])
    _forbidden: list[Failure] = field(factory=list[Failure])

    def succeeded(self) -> list[Failure]:
        """Note a conversation; returns the failures that were held."""
        self.answered = self.trusted = True
        return self.release() if self._silent or self._forbidden else []

    def failed(self, failure: Failure) -> list[Failure]:
        """Note a failure; returns those that are each about their own id."""
        if isinstance(failure.error, _NO_ANSWER):
            self._silent.append(failure)
            return []
        self.answered = True
        if isinstance(failure.error, PermissionDeniedError) and not self.trusted:
            self._forbidden.append(failure)
            released, self._silent = self._silent, []
            return released
        self.trusted = True
        return [*self.release(), failure]

    def tripped(self) -> SiteAssistError | None:
        """Return the error that all requests end with, if that is how it looks."""
        if len(self._silent) >= ENOUGH + (self.limit if self.answered else 0):
            return self._silent[-1].error
        if len(self._forbidden) >= ENOUGH:
            return self._forbidden[-1].error
        return None

    def tripped_at_end(self, *, failed_before: bool) -> SiteAssistError | None:
        """As `tripped`, where no more ids come that could show it.

        With `failed_before` the ids are known to fail, and that they do again says nothing of
        the server, unless it never answered.
        """
        if self._forbidden:
            return self._forbidden[-1].error
        if self._silent and not self.answered and not (failed_before and self.trusted):
            return self._silent[-1].error
        return None

    def release(self) -> list[Failure]:
        """Return what is held, and hold it no longer."""
        released = self._forbidden + self._silent
        self._forbidden, self._silent = [], []
        return released
