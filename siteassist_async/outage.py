"""Failures of one id, and failures of everything: what an error says, and when to look closer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from attrs import define, field

from siteassist_async.errors import (
    APIError,
    AuthenticationError,
    ClientClosedError,
    InvalidIdError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    ServiceUnavailableError,
    SiteAssistError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

K = TypeVar("K")

WINDOW = 20
"""So many failures in a row, and no answer, are no accident."""

WAIT = 300.0
"""Seconds that bulk work waits while nothing is answered, unless it is told otherwise."""

FIRST_PROBE, LONGEST_PROBE = 1.0, 15.0
"""Seconds from one probe in an outage to the next: at first, and at most."""

_OWN_CODES = {
    400: "INVALID_REQUEST_BODY",
    403: "FORBIDDEN",
    404: "CONVERSATION_NOT_FOUND",
    409: "CONFLICT",
    422: "VALIDATION_ERROR",
}


def is_own_word(error: SiteAssistError) -> bool:
    """Whether an error is the API's word on the id asked for, by its documented code."""
    return isinstance(error, APIError) and error.code == _OWN_CODES.get(error.status, "")


def is_final(error: SiteAssistError) -> bool:
    """Whether an error settles its id whatever happens to others: no id, or none that exists."""
    if isinstance(error, NotFoundError):
        return is_own_word(error)
    return isinstance(error, InvalidIdError)


def is_refusal_of_all(error: SiteAssistError) -> bool:
    """Whether every further request is likely to fail the same way: 401 and 402."""
    return isinstance(error, AuthenticationError | PaymentRequiredError)


def ends_all(error: SiteAssistError) -> bool:
    """Whether nothing more can come: the client is closed."""
    return isinstance(error, ClientClosedError)


def needs_a_person(error: SiteAssistError) -> bool:
    """Whether an error, where nothing else ever came, is about the token, the plan or the URL.

    A 403 is, as of another project's token; and a 404 without a code, as of a server that is not
    the API.
    """
    if isinstance(error, NotFoundError):
        return error.code is None
    return is_refusal_of_all(error) or isinstance(error, PermissionDeniedError)


def _names_a_time(error: SiteAssistError) -> bool:
    return isinstance(error, RateLimitError | ServiceUnavailableError) and bool(error.retry_after)


@define(eq=False)
class Job(Generic[K]):
    """A key, and how often it failed in a way that may not be its own.

    Attributes:
        index: Its place in the input.
    """

    key: K
    index: int
    strikes: int = 0


@define(eq=False)
class Held(Generic[K]):
    """A failure that may be everyone's; `mark` is how many keys were taken when it came."""

    job: Job[K]
    error: SiteAssistError
    mark: int

    def is_settled(self) -> bool:
        """Whether it is the id's outcome once others are known to be answered.

        The API's own word is, and so is a refusal, for the id waited and was refused again. All
        else is so the second time: the first may have been the end of an outage.
        """
        return is_own_word(self.error) or _names_a_time(self.error) or self.job.strikes > 0


@define(eq=False)
class Guard(Generic[K]):
    """Holds failures until it is known whether others are answered.

    Attributes:
        window: So many failures and no answer are no accident.
        proven: The last key that had an answer of use; None before the first.
        answered: Whether there was any.
        since: When the first of the failures came that are held.
    """

    window: int = WINDOW
    proven: K | None = None
    answered: bool = False
    held: list[Held[K]] = field(factory=list[Held[K]])
    since: float = 0.0

    def succeeded(self, job: Job[K]) -> list[Held[K]]:
        """Note an answer of use; returns the failures that ended before it was asked for."""
        self.proven, self.answered, self.window = job.key, True, WINDOW
        if not self.held:
            return []
        return self.release([held for held in self.held if held.mark <= job.index])

    def heard(self, job: Job[K], error: SiteAssistError) -> None:
        """Note an error that is the API's answer: where it has given no other, this will do."""
        if not self.answered and isinstance(error, NotFoundError):
            self.proven, self.answered, self.window = job.key, True, WINDOW

    def hold(self, job: Job[K], error: SiteAssistError, taken: int, now: float) -> bool:
        """Hold a failure; whether it is time to look closer."""
        if not self.held:
            self.since = now
        self.held.append(Held(job, error, taken))
        return len(self.held) >= self.window or is_refusal_of_all(error)

    def release(self, some: list[Held[K]]) -> list[Held[K]]:
        """Let go of those of them that are held."""
        released = [held for held in self.held if held in some]
        self.held = [held for held in self.held if held not in some]
        return released


def probe_delays() -> Iterator[float]:
    """Seconds before each probe of an outage."""
    delay = FIRST_PROBE
    while True:
        yield delay
        delay = min(LONGEST_PROBE, 2 * delay)
