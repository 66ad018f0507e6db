"""Pacers: what decides when each attempt may start."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from siteassist_async.events import EventStream, PaceEvent, WaitReason
from siteassist_async.logs import log_pace
from siteassist_async.slots import Slots

if TYPE_CHECKING:
    from siteassist_async.pacing.hints import RateLimitHint


class StartTooLateError(Exception):
    """The request cannot start early enough.

    Attributes:
        wait: Seconds until it could have started.
        reason: What it would have waited for.
    """

    def __init__(self, wait: float, reason: WaitReason = "pace") -> None:
        super().__init__(f"the next request may start in {wait:.3g} s, which is too late")
        self.wait = wait
        self.reason = reason


@frozen
class PaceSnapshot:
    """What a pacer knows at one moment.

    Attributes:
        rate: Requests per second now; None while nothing paces.
        ceiling: The limit as it was last measured, in requests per second.
        gate: Seconds until the gate opens.
        in_flight: Requests.
        limit: Requests that may be in flight.
        succeeded: Requests, as are those `throttled`: answered by a 429 or 503.
        waited: Seconds for which the gate has been closed.
        parked: Ids that were throttled and not answered since.
        waiting: Calls that wait for a start.
        not_sent: Calls that were not sent, because they could not be answered in time.
    """

    rate: float | None = None
    ceiling: float | None = None
    gate: float = 0.0
    in_flight: int = 0
    limit: int = 0
    succeeded: int = 0
    throttled: int = 0
    waited: float = 0.0
    parked: int = 0
    waiting: int = 0
    not_sent: int = 0


@define(eq=False)
class Permit:
    """A request that may be sent now; settle it by one of its methods, exactly once.

    Attributes:
        sent: When it started, by the pacer's clock.
        subject: What it is about: a conversation's id.
        bulk: Whether it is one of many, as opposed to a call that somebody waits for.
        number: Counts all starts of a pacer.
        pacer: Who hears how it ended; None once it has.
    """

    sent: float
    subject: Hashable
    bulk: bool
    number: int
    pacer: Pacer | None = field(default=None, repr=False)

    def succeeded(self, hint: RateLimitHint | None = None) -> None:
        """The API answered and did not throttle, whatever the status."""
        pacer, self.pacer = self.pacer, None
        if pacer is None:
            raise _settled_before()
        pacer.succeeded(self, hint)

    def throttled(
        self, retry_after: float | None, *, limited: bool, hint: RateLimitHint | None = None
    ) -> bool:
        """The API throttled the request: by a 429 where `limited`, else by a 503.

        Returns whether it throttles this subject alone, while it answers others.
        """
        return self._settle().throttled(self, retry_after, limited=limited, hint=hint)

    def abandoned(self) -> None:
        """The request ended in a way that teaches nothing: an error, a cancellation."""
        self._settle().abandoned(self)

    def _settle(self) -> Pacer:
        pacer, self.pacer = self.pacer, None
        if pacer is None:
            raise _settled_before()
        return pacer


def _settled_before() -> RuntimeError:
    return RuntimeError("this permit is already settled")


def _ignore(reason: WaitReason, expected: float) -> None:
    """Nobody wants to know of the wait."""


@frozen
class Start:
    """What an attempt asks a pacer for: one of the client's slots, and a time to start.

    Attributes:
        subject: What the request is about: a conversation's id.
        slots: Those of the client. The pacer takes one; the client releases it.
        bulk: Whether it is one of many, as opposed to a call that somebody waits for.
        deadline: When it must be answered, by the pacer's clock.
        latest: When it must have started, by the pacer's clock.
        on_wait: To be called where it must wait, with the reason and the expected seconds.
    """

    subject: Hashable
    slots: Slots
    bulk: bool = False
    deadline: float = math.inf
    latest: float = math.inf
    on_wait: Callable[[WaitReason, float], None] = _ignore


class Pacer(ABC):
    """Decides when each attempt may start; `client.pacer` is one.

    For a pace of your own, as one that several machines share, implement `acquire`. Override what
    the pace depends on: `succeeded`, `throttled`, `abandoned`.

        class Shared(Pacer):
            async def acquire(self, start: Start) -> Permit:
                await start.slots.acquire()
                try:
                    await take_a_token_from_redis()
                except BaseException:
                    start.slots.release()
                    raise
                return Permit(time.monotonic(), start.subject, start.bulk, 1, self)

        client = SiteAssist(pacer=Shared())

    Attributes:
        events: What the pacer reports: GateClosed, RateChanged, WindowChanged.
    """

    def __init__(self) -> None:
        self.events: EventStream[PaceEvent] = EventStream(log_pace)

    @abstractmethod
    async def acquire(self, start: Start) -> Permit:
        """Wait for a slot and a time to start; a call that is cancelled holds neither.

        Raises:
            StartTooLateError: It cannot start by `start.latest`, or not early enough to be
                answered by `start.deadline`.
        """

    def acquire_nowait(self, subject: Hashable, slots: Slots, *, bulk: bool) -> Permit | None:
        """Start at once, where that is possible and nobody waits; None: await `acquire`."""
        del subject, slots, bulk
        return None

    def succeeded(self, permit: Permit, hint: RateLimitHint | None) -> None:  # noqa: B027 - may be ignored
        """As `Permit.succeeded`."""

    def throttled(
        self,
        permit: Permit,
        retry_after: float | None,
        *,
        limited: bool,
        hint: RateLimitHint | None,
    ) -> bool:
        """As `Permit.throttled`."""
        del permit, retry_after, limited, hint
        return False

    def abandoned(self, permit: Permit) -> None:  # noqa: B027 - may be ignored
        """As `Permit.abandoned`."""

    def snapshot(self) -> PaceSnapshot:
        """The state at this moment."""
        return PaceSnapshot()

    def subscribe(self, listener: Callable[[PaceEvent], object]) -> Callable[[], None]:
        """Call `listener` at each change of the pace; returns a function that ends it."""
        return self.events.subscribe(listener)
