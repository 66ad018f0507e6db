"""Events: everything that a client does, as values that can be listened to.

    def listener(event: Event) -> None:
        if isinstance(event, AttemptEnded) and event.duration > 1.0:
            print(f"{event.operation} {event.subject}: {event.status} after {event.duration:.2f} s")

    client = SiteAssist(on_event=listener)          # or: client.events.subscribe(listener)

A call is everything from `client.conversations.get(…)` to its result; each id of a bulk call is one
call. It makes attempts, each of which is one request on the wire. What a call waits for before an
attempt, and before a retry, has events of its own. All durations are in seconds.

The events of one call share its `call` number and come in this order: CallStarted, then for each
attempt WaitStarted and WaitEnded where it had to wait, AttemptStarted, AttemptEnded and, where
another follows, RetryScheduled; at last CallEnded. Every started event has its ended event, a
cancelled call included. GateClosed, RateChanged and WindowChanged come from the pacer, which
clients of the same project share: each of them reports what the requests of all have caused.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Generic, Literal, TypeAlias, TypeVar

from attrs import field, frozen

from siteassist_async.errors import SiteAssistError

_LOG = logging.getLogger("siteassist_async.events")

WaitReason: TypeAlias = Literal["pace", "gate", "slots", "retry_after"]
"""The learned rate, a pause that the API asked for, a free slot, or the pause of this id alone."""


@frozen
class CallStarted:
    """A call has begun.

    Attributes:
        call: Its number, unique within the process.
        operation: The name of its operation, such as "conversations.get".
        subject: What it is about: a conversation's id.
        bulk: Whether it is one of many, as opposed to a call that somebody waits for.
    """

    call: int
    operation: str
    subject: str
    bulk: bool


@frozen
class CallEnded:
    """A call has its result, was given up or cancelled.

    Attributes:
        duration: From its start, waits included.
        attempts: Requests that were sent.
        error: What is raised; None for a success.
    """

    call: int
    operation: str
    subject: str
    bulk: bool
    duration: float
    attempts: int
    error: BaseException | None = field(repr=False)


@frozen
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


@frozen
class AttemptEnded:
    """A response was read to its end, or the attempt has failed.

    Attributes:
        duration: On the wire: neither waits nor the decoding of the response count.
        status: None where no whole response came.
        size: Bytes of the body, decompressed.
        error: What the attempt raises; None for a success.
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


@frozen
class WaitStarted:
    """An attempt cannot start at once.

    Attributes:
        reason: What it waits for first.
        expected: How long, as it looks now.
    """

    call: int
    operation: str
    subject: str
    bulk: bool
    reason: WaitReason
    expected: float


@frozen
class WaitEnded:
    """The attempt starts, or its wait was given up.

    Attributes:
        duration: How long it waited.
    """

    call: int
    operation: str
    subject: str
    bulk: bool
    reason: WaitReason
    duration: float


@frozen
class RetryScheduled:
    """An attempt has failed, and another will be made.

    Attributes:
        attempt: The one that failed, 1 for the first.
        delay: Seconds until the next.
        error: Why it failed.
    """

    call: int
    operation: str
    subject: str
    attempt: int
    delay: float
    error: SiteAssistError = field(repr=False)


@frozen
class GateClosed:
    """No request starts for `seconds` from now.

    `asked` where the API named the time, else it is the client's own backoff.
    """

    seconds: float
    asked: bool = True


@frozen
class RateChanged:
    """A refusal or a restored rate set the rate to `rate` requests per second.

    Its growth between two refusals has no events: `client.pacer.snapshot()` shows it.
    """

    rate: float


@frozen
class WindowChanged:
    """At most `limit` requests are in flight from now on."""

    limit: int


@frozen
class OutageStarted:
    """Nothing is answered any more: a bulk call pauses and probes.

    Attributes:
        error: What the last probe met.
        wait: Seconds after which the bulk call gives up.
    """

    error: SiteAssistError = field(repr=False)
    wait: float


@frozen
class OutageEnded:
    """Requests are answered again: the bulk call goes on."""

    duration: float


PaceEvent: TypeAlias = GateClosed | RateChanged | WindowChanged
"""What a pacer reports."""

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
"""Called at each event; what it returns is ignored."""

E = TypeVar("E")

_numbers = itertools.count(1)


class EventStream(Generic[E]):
    """Listeners, and what they are called with.

    Attributes:
        listeners: Those who listen now, by a key of their own.

    Args:
        log: Called with each event too, before the listeners.
    """

    def __init__(self, log: Callable[[E], None]) -> None:
        self._log = log
        # One operation each, so that threads may share a stream: a pacer's is its clients'.
        self.listeners: dict[object, Callable[[E], object]] = {}

    def subscribe(self, listener: Callable[[E], object]) -> Callable[[], None]:
        """Call `listener` at each event from now on; returns a function that ends it.

        It is called in the thread and task of what caused the event, and must be quick. What it
        raises is logged and goes no further: no request is lost by a listener's fault.
        """
        key = object()
        self.listeners[key] = listener

        def unsubscribe() -> None:
            self.listeners.pop(key, None)

        return unsubscribe

    def emit(self, event: E) -> None:
        """Call all listeners."""
        self._log(event)
        for listener in tuple(self.listeners.values()):
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - the listener is the user's, the request goes on
                _LOG.exception("an event listener failed on %r", event)


def next_call() -> int:
    """A number for a call."""
    return next(_numbers)
