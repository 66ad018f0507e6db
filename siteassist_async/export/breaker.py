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


def is_silent(error: SiteAssistError) -> bool:
    """Tell whether an error says nothing of the id: no answer, or that of a server in trouble."""
    if isinstance(error, APIError):
        return error.status in _BUSY_OR_GONE
    return isinstance(error, TransportError | DeadlineExceededError)


@frozen
class Failure:
    """An id and why it could not be had."""

    entry: Entry
    error: SiteAssistError


@define
class Breaker:
    """Holds failures back that may not be about their ids, until something else comes.

    Those are silent errors, and 403s as long as the export had no other answer at all: the token
    may be of another project. With `ENOUGH` of a kind in a row, and with fewer at the end of the
    ids, it is time to look closer. What is held when the run ends has no outcome.

    Attributes:
        trusted: Whether the export ever had an answer about an id, other than 403.
    """

    trusted: bool
    _silent: list[Failure] = field(factory=list[Failure])
    _forbidden: list[Failure] = field(factory=list[Failure])

    def succeeded(self) -> list[Failure]:
        """Note a conversation; returns the failures that were held."""
        self.trusted = True
        return self.release() if self._silent or self._forbidden else []

    def failed(self, failure: Failure) -> list[Failure]:
        """Note a failure; returns those that are known to be about their ids."""
        if is_silent(failure.error):
            self._silent.append(failure)
            return []
        if isinstance(failure.error, PermissionDeniedError) and not self.trusted:
            self._forbidden.append(failure)
            released, self._silent = self._silent, []
            return released
        self.trusted = True
        return [*self.release(), failure]

    def is_tripped(self) -> bool:
        """Tell whether so many failures are held that it is time to look closer."""
        return max(len(self._silent), len(self._forbidden)) >= ENOUGH

    def held(self) -> SiteAssistError | None:
        """Return an error of those that are held, a 403 if there are any."""
        failures = self._forbidden or self._silent
        return failures[-1].error if failures else None

    def release(self) -> list[Failure]:
        """Return what is held, and hold it no longer."""
        released = self._forbidden + self._silent
        self._forbidden, self._silent = [], []
        return released
