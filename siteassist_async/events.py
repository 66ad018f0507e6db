"""Events: everything that a client does, as typed values for listeners.

```python
from siteassist_async import SiteAssist
from siteassist_async.events import AttemptEnded, Event


def report(event: Event) -> None:
    if isinstance(event, AttemptEnded) and event.duration > 1.0:
        print(f"{event.operation} {event.subject}: {event.status} after {event.duration:.2f} s")


client = SiteAssist(on_event=report)  # or: client.events.subscribe(report)
```

A call spans everything from `client.conversations.get(…)` to its result; each ID of a bulk call is
one call. A call makes attempts, and each attempt is one request on the wire. Waits before an
attempt and delays before a retry have their own events. All durations are in seconds.

Only calls that start while somebody listens have events. The events of a call share its `call`
number, and come in this order: CallStarted; for each attempt
WaitStarted and WaitEnded (if it had to wait), AttemptStarted, AttemptEnded, and RetryScheduled (if
another attempt follows); finally CallEnded. Every started event is followed by its ended event,
also in a cancelled call. GateClosed, RateChanged and WindowChanged come from the pacer, which
clients of the same project share, so each client reports what the requests of all have caused.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

from attrs import field

from siteassist_async.immutable import immutable

if TYPE_CHECKING:
    from siteassist_async.errors import SiteAssistError

_LOG = logging.getLogger("siteassist_async.events")

WaitReason: TypeAlias = Literal["pace", "gate", "slots", "retry_after"]
"""Why a call waits: for the learned rate ("pace"), a pause of all requests ("gate"), a free slot
("slots"), or the Retry-After of its own ID ("retry_after")."""


@immutable
class CallStarted:
    """A call started.

    Attributes:
        call: Its number, unique within the process.
        operation: The name of its operation, such as "conversations.get".
        subject: The ID of the conversation it is about.
        bulk: Whether it is part of bulk work, as opposed to an interactive call.
    """

    call: int
    operation: str
    subject: str
    bulk: bool


@immutable
class CallEnded:
    """A call succeeded, failed or was cancelled.

    Attributes:
        duration: From its start, including waits.
        attempts: Number of requests sent.
        error: The exception that is raised; None for a success.
    """

    call: int
    operation: str
    subject: str
    bulk: bool
    duration: float
    attempts: int
    error: BaseException | None = field(repr=False)


@immutable
class AttemptStarted:
    """A request is about to be sent.

    Attributes:
        attempt: 1 for the first of its call.
    """

    call: int
    operation: str
    subject: str
    attempt: int
    method: str
    url: str


@immutable
class AttemptEnded:
    """An attempt received its complete response, or failed.

    Attributes:
        duration: Time on the wire, without waits and without decoding the body.
        status: The HTTP status; None without a complete response.
        size: Size of the body in bytes, decompressed; 0 if the attempt failed.
        error: The exception that the attempt raises; None for a complete response with a status of
            success, even if its body then turns out to be unusable.
    """

    call: int
    operation: str
    subject: str
    attempt: int
    method: str
    url: str
    duration: float
    status: int | None
    size: int
    error: BaseException | None = field(repr=False)


@immutable
class WaitStarted:
    """An attempt cannot start at once.

    Attributes:
        reason: What it waits for first.
        expected: The estimated length of the wait.
    """

    call: int
    operation: str
    subject: str
    bulk: bool
    reason: WaitReason
    expected: float


@immutable
class WaitEnded:
    """A wait ended: the attempt starts, or it was given up.

    Attributes:
        duration: The length of the wait.
    """

    call: int
    operation: str
    subject: str
    bulk: bool
    reason: WaitReason
    duration: float


@immutable
class RetryScheduled:
    """An attempt failed and will be retried.

    Attributes:
        attempt: The number of the failed attempt, from 1.
        delay: Seconds until the next attempt.
        error: Why the attempt failed.
    """

    call: int
    operation: str
    subject: str
    attempt: int
    delay: float
    error: SiteAssistError = field(repr=False)


@immutable
class GateClosed:
    """All requests pause.

    Attributes:
        seconds: Length of the pause, from now.
        asked: Whether the API specified the time; otherwise it is the client's own backoff.
    """

    seconds: float
    asked: bool = True


@immutable
class RateChanged:
    """Throttling, or a restored rate, changed the rate.

    The growth of the rate without throttling has no events; see `client.pacer.snapshot()`.

    Attributes:
        rate: Requests per second.
    """

    rate: float


@immutable
class WindowChanged:
    """The maximum number of requests in flight changed.

    Attributes:
        limit: The new maximum.
    """

    limit: int


@immutable
class OutageStarted:
    """All requests fail: a bulk call pauses, and probes until a request succeeds.

    Attributes:
        error: The error of the last probe.
        wait: Seconds after which the bulk call gives up.
    """

    error: SiteAssistError = field(repr=False)
    wait: float


@immutable
class OutageEnded:
    """Requests succeed again: the bulk call resumes.

    Attributes:
        duration: Length of the outage, in seconds.
    """

    duration: float


PaceEvent: TypeAlias = GateClosed | RateChanged | WindowChanged
"""The events of a pacer."""

Event: TypeAlias = (
    CallStarted
    | CallEnded
    | AttemptStarted
    | AttemptEnded
    | WaitStarted
    | WaitEnded
    | RetryScheduled
    | OutageStarted
    | OutageEnded
    | PaceEvent
)

Listener: TypeAlias = Callable[[Event], object]
"""Called with each event; its return value is ignored."""

E = TypeVar("E")

_numbers = itertools.count(1)


class EventStream(Generic[E]):
    """A stream of events that listeners subscribe to.

    Attributes:
        listeners: The current listeners, by a unique key.

    Args:
        log: Called with each event before the listeners.
    """

    def __init__(self, log: Callable[[E], None]) -> None:
        self._log = log
        # Adding and removing is one atomic operation each: clients in several threads may share a
        # pacer, and so its stream.
        self.listeners: dict[object, Callable[[E], object]] = {}
        self._conditions: dict[object, Callable[[], bool]] = {}

    def subscribe(
        self, listener: Callable[[E], object], *, when: Callable[[], bool] | None = None
    ) -> Callable[[], None]:
        """Call `listener` with each event from now on; returns a function that unsubscribes it.

        It is called synchronously, in the thread and task that caused the event, so it must be
        quick. An exception that it raises is logged and does not affect the request.

        Args:
            listener: It.
            when: Asked at the start of each call whether the listener needs its events now. While
                no listener does, calls have no events, which saves their time.
        """
        key = object()
        if when is not None:
            self._conditions[key] = when
        self.listeners[key] = listener

        def unsubscribe() -> None:
            self.listeners.pop(key, None)
            self._conditions.pop(key, None)

        return unsubscribe

    def is_heard(self) -> bool:
        """Whether any listener needs the events of a call that starts now."""
        for key in tuple(self.listeners):
            when = self._conditions.get(key)
            if when is None or when():
                return True
        return False

    def emit(self, event: E) -> None:
        """Log an event and pass it to all listeners."""
        self._log(event)
        for listener in tuple(self.listeners.values()):
            try:
                listener(event)
            # The listener is the user's code, and the request goes on; a real cancellation of the
            # task is raised at an `await`, never here.
            except (Exception, asyncio.CancelledError):  # noqa: BLE001 - as above
                _LOG.exception("an event listener failed on %r", event)


def next_call() -> int:
    """Return a number for a new call, unique within the process."""
    return next(_numbers)
