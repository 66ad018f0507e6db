"""Outage detection: is a failure about one ID, or do all requests fail?

Bulk work must not record thousands of IDs as failed because the API was down for a minute. So an
error that may be part of an outage is held back (`Guard.hold`) until another ID succeeds, which
shows that the API works (`Guard.succeeded`), or until so many have failed in a row that the caller
probes. Only errors that the API is documented to give for a single ID count at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from attrs import field

from siteassist_async.errors import (
    OWN_CODES,
    APIError,
    AuthenticationError,
    ClientClosedError,
    InvalidIdError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    ProxyError,
    RateLimitError,
    ServiceUnavailableError,
    SiteAssistError,
)
from siteassist_async.immutable import define

if TYPE_CHECKING:
    from collections.abc import Iterator

K = TypeVar("K")

WINDOW = 20
"""Failures in a row without a success after which an outage is suspected."""

WAIT = 300.0
"""Seconds that bulk work waits through an outage by default."""

FIRST_PROBE, LONGEST_PROBE = 1.0, 15.0
"""Seconds between two probes in an outage: at first, and at most."""


def is_specific_to_id(error: SiteAssistError) -> bool:
    """Whether an error is documented as being about the requested ID, judging by its code."""
    return isinstance(error, APIError) and error.code == OWN_CODES.get(error.status, "")


def is_final(error: SiteAssistError) -> bool:
    """Whether an error is the outcome of its ID even in an outage: invalid ID, or not found."""
    if isinstance(error, NotFoundError):
        return is_specific_to_id(error)
    return isinstance(error, InvalidIdError)


def is_refusal_of_all(error: SiteAssistError) -> bool:
    """Whether every further request is likely to fail the same way: 401 and 402."""
    return isinstance(error, AuthenticationError | PaymentRequiredError)


def ends_bulk_work(error: SiteAssistError) -> bool:
    """Whether no further request can succeed, because the client is closed."""
    return isinstance(error, ClientClosedError)


def needs_a_person(error: SiteAssistError) -> bool:
    """Whether an error that is all that came points to a wrong token, plan, base URL or proxy.

    Besides 401 and 402 that is a 403, as for the token of another project, a 404 without a code, as
    from a server that is not the API, and a proxy that lets nobody through, or not this user.
    """
    if isinstance(error, ProxyError):
        return error.status in {403, 407}
    if isinstance(error, NotFoundError):
        return error.code is None
    return is_refusal_of_all(error) or isinstance(error, PermissionDeniedError)


@define(eq=False)
class Job(Generic[K]):
    """A key to fetch.

    Attributes:
        index: Its position in the input.
        strikes: How often it failed in a way that may have been part of an outage.
    """

    key: K
    index: int
    strikes: int = 0


@define(eq=False)
class Held(Generic[K]):
    """A failure that may be part of an outage.

    Attributes:
        mark: Number of keys that had been taken from the input when it failed. A success of a key
            taken later was requested after the failure, and so shows that the API works.
    """

    job: Job[K]
    error: SiteAssistError
    mark: int

    def is_settled(self) -> bool:
        """Whether this is the outcome of the ID, given that other IDs succeed.

        An error that is documented to be about the ID is, and so is throttling, because retry has
        waited as asked and the ID was throttled again. Any other error is only the second time:
        the first time may have been the end of an outage.
        """
        error = self.error
        if isinstance(error, RateLimitError | ServiceUnavailableError) and error.retry_after:
            return True
        return is_specific_to_id(error) or self.job.strikes > 0


@define(eq=False)
class Guard(Generic[K]):
    """Holds failures back until it is known whether other keys succeed.

    Attributes:
        window: Failures without a success after which an outage is suspected.
        proven: The key that succeeded last; None before the first.
        any_succeeded: Whether any key has succeeded.
        held: The failures held back.
        since: When the oldest held failure occurred, by the clock.
    """

    window: int = WINDOW
    proven: K | None = None
    any_succeeded: bool = False
    held: list[Held[K]] = field(factory=list[Held[K]])
    since: float = 0.0

    def succeeded(self, job: Job[K]) -> list[Held[K]]:
        """Note a success; returns and releases the failures from before it was requested."""
        self.proven, self.any_succeeded, self.window = job.key, True, WINDOW
        if not self.held:
            return []
        return self.release([held for held in self.held if held.mark <= job.index])

    def note(self, job: Job[K], error: SiteAssistError) -> None:
        """Note a final error: a documented 404 shows that the API works, if nothing has yet."""
        if not self.any_succeeded and isinstance(error, NotFoundError):
            self.proven, self.any_succeeded, self.window = job.key, True, WINDOW

    def hold(self, job: Job[K], error: SiteAssistError, taken: int, now: float) -> bool:
        """Hold a failure back; True if it is time to probe."""
        if not self.held:
            self.since = now
        self.held.append(Held(job, error, taken))
        return len(self.held) >= self.window or is_refusal_of_all(error)

    def release(self, some: list[Held[K]]) -> list[Held[K]]:
        """Release those of `some` that are held; returns them."""
        released = [held for held in self.held if held in some]
        self.held = [held for held in self.held if held not in some]
        return released


def probe_delays() -> Iterator[float]:
    """Seconds before each probe of an outage."""
    delay = FIRST_PROBE
    while True:
        yield delay
        delay = min(LONGEST_PROBE, 2 * delay)
