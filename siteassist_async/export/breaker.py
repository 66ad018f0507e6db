"""A circuit breaker: tells failures of one id from failures of all."""

from __future__ import annotations

from attrs import define, field, frozen

from siteassist_async.errors import (
    APIError,
    DeadlineExceededError,
    NotFoundError,
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


def is_foreign(error: SiteAssistError) -> bool:
    """Tell whether an error may be about the token or the base URL instead of the id.

    A 403 is, as of another project's token; and a 404 without a code, as of a server that is not
    the API.
    """
    if isinstance(error, NotFoundError):
        return error.code is None
    return isinstance(error, PermissionDeniedError)


@frozen
class Failure:
    """An id and why it could not be had."""

    entry: Entry
    error: SiteAssistError


@define
class Breaker:
    """Holds failures back that may not be about their ids, until something else comes.

    Those are silent errors, and foreign ones as long as the export had no other answer at all.
    With `ENOUGH` of a kind in a row, and with fewer at the end of the ids, it is time to look
    closer. What is held when the run ends has no outcome.

    Attributes:
        trusted: Whether the export ever had an answer about an id, other than a foreign one.
    """

    trusted: bool
    _silent: list[Failure] = field(factory=list[Failure])
    _foreign: list[Failure] = field(factory=list[Failure])

    def succeeded(self) -> list[Failure]:
        """Note a conversation; returns the failures that were held."""
        self.trusted = True
        return self.release() if self._silent or self._foreign else []

    def failed(self, failure: Failure) -> list[Failure]:
        """Note a failure; returns those that are known to be about their ids."""
        if is_silent(failure.error):
            self._silent.append(failure)
            return []
        if is_foreign(failure.error) and not self.trusted:
            self._foreign.append(failure)
            released, self._silent = self._silent, []
            return released
        self.trusted = True
        return [*self.release(), failure]

    def is_tripped(self) -> bool:
        """Tell whether so many failures are held that it is time to look closer."""
        return max(len(self._silent), len(self._foreign)) >= ENOUGH

    def held(self) -> SiteAssistError | None:
        """Return an error of those that are held, a foreign one if there are any."""
        failures = self._foreign or self._silent
        return failures[-1].error if failures else None

    def release(self) -> list[Failure]:
        """Return what is held, and hold it no longer."""
        released = self._foreign + self._silent
        self._foreign, self._silent = [], []
        return released
