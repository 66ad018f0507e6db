"""The pacer interface: a pacer decides when each attempt may start."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from attrs import field

from siteassist_async.events import EventStream, PaceEvent, WaitReason
from siteassist_async.immutable import define, frozen
from siteassist_async.logs import log_pace
from siteassist_async.slots import Slots

if TYPE_CHECKING:
    from siteassist_async.pacing.hints import RateLimitHint


class StartTooLateError(Exception):
    """A request cannot start early enough.

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
    """The state of a pacer at one moment.

    Attributes:
        rate: Current rate in requests per second; None without a limit.
        ceiling: The limit as last measured, in requests per second.
        gate: Seconds until the gate opens; 0 if it is open.
        in_flight: Number of requests in flight.
        limit: Maximum number of requests in flight.
        succeeded: Number of requests that were not throttled, whatever their status.
        throttled: Number of requests that received a 429 or 503.
        waited: Seconds in total for which the gate has been closed.
        parked: Number of IDs that were throttled and have not succeeded since.
        waiting: Number of calls that wait to start.
        not_sent: Number of calls rejected with ThrottledError.
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
    """The permission to send a request now; settle it with one of its methods, exactly once.

    Attributes:
        sent: When the request started, by the pacer's clock.
        subject: The ID it is about.
        bulk: Whether it is part of bulk work, as opposed to an interactive call.
        number: The number of the start, counted by the pacer.
        pacer: The pacer to notify of the outcome; None once the permit is settled.
    """

    sent: float
    subject: Hashable
    bulk: bool
    number: int
    pacer: Pacer | None = field(default=None, repr=False)

    def succeeded(self, hint: RateLimitHint | None = None) -> None:
        """The API responded and did not throttle, whatever the status."""
        pacer, self.pacer = self.pacer, None
        if pacer is None:
            raise _settled_before()
        pacer.succeeded(self, hint)

    def throttled(
        self, retry_after: float | None, *, limited: bool, hint: RateLimitHint | None = None
    ) -> bool:
        """The API throttled the request: by a 429 where `limited`, else by a 503.

        Returns whether it throttles only this subject, while it serves others.
        """
        return self._settle().throttled(self, retry_after, limited=limited, hint=hint)

    def abandoned(self) -> None:
        """The request ended without information about the rate limit: an error, a cancellation."""
        self._settle().abandoned(self)

    def _settle(self) -> Pacer:
        pacer, self.pacer = self.pacer, None
        if pacer is None:
            raise _settled_before()
        return pacer


def _settled_before() -> RuntimeError:
    return RuntimeError("this permit is already settled")


@frozen
class Start:
    """What an attempt requests from a pacer: one of the client's slots, and a time to start.

    Attributes:
        subject: The ID that the request is about.
        slots: The client's slots. The pacer takes one, and the client releases it.
        bulk: Whether it is part of bulk work, as opposed to an interactive call.
        deadline: When the response must arrive at the latest, by the pacer's clock.
        latest: When the request must start at the latest, by the pacer's clock.
        on_wait: Called if it has to wait, with the reason and the expected seconds.
    """

    subject: Hashable
    slots: Slots
    bulk: bool = False
    deadline: float = math.inf
    latest: float = math.inf
    on_wait: Callable[[WaitReason, float], None] = lambda _reason, _expected: None


class Pacer(ABC):
    """Decides when each attempt may start; `client.pacer` is one.

    For a pacer of your own, such as one that several machines share, implement `acquire`. Override
    `succeeded`, `throttled` and `abandoned` if it depends on outcomes. Your `__init__` must call
    `super().__init__()`.

    ```python
    import asyncio
    import time

    from siteassist_async import SiteAssist
    from siteassist_async.pacing import Pacer, Permit, Start


    class Shared(Pacer):
        async def acquire(self, start: Start) -> Permit:
            await start.slots.acquire()
            try:
                await asyncio.sleep(0.02)  # take a token from a store that the machines share
            except BaseException:
                start.slots.release()
                raise
            return Permit(time.monotonic(), start.subject, start.bulk, 1, self)


    client = SiteAssist(pacer=Shared())
    ```

    Attributes:
        events: The stream of its events: GateClosed, RateChanged, WindowChanged.
    """

    def __init__(self) -> None:
        self.events: EventStream[PaceEvent] = EventStream(log_pace)

    @abstractmethod
    async def acquire(self, start: Start) -> Permit:
        """Wait for a slot and for permission to start; if cancelled, neither is held.

        Raises:
            StartTooLateError: It cannot start by `start.latest`, or not early enough to receive
                its response by `start.deadline`.
        """

    def acquire_nowait(self, subject: Hashable, slots: Slots, *, bulk: bool) -> Permit | None:
        """Start at once if possible and no call waits, taking a slot; None: use `acquire`."""
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
        """Return the current state."""
        return PaceSnapshot()

    def subscribe(self, listener: Callable[[PaceEvent], object]) -> Callable[[], None]:
        """Call `listener` with each event of the pacer; returns a function that unsubscribes it."""
        return self.events.subscribe(listener)
