"""Pacing middleware: a slot and a time to start for each attempt."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from siteassist_async.errors import (
    APIError,
    RateLimitError,
    ServiceUnavailableError,
    ThrottledError,
    UnusableResponseError,
)
from siteassist_async.events import Event, EventStream, WaitEnded, WaitReason, WaitStarted
from siteassist_async.forks import renew_in_children
from siteassist_async.logs import NOTICEABLE
from siteassist_async.pacing import Pacer, Permit, RateLimitHint, Start, StartTooLateError
from siteassist_async.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Mapping

    from siteassist_async.clock import Clock
    from siteassist_async.closing import Closing
    from siteassist_async.wire import Request, Response, Send


LONGEST_INTERVAL = 1.0
"""Seconds between two starts at a pace: no patience is so short that it ends amid them."""


class Pacing:
    """Lets an attempt start when one of the client's slots is free and the pacer says so.

    An attempt that could not be answered before the call's deadline, by the wait ahead of it and
    the time that answers take of late, is not made: a ThrottledError comes at once, and so where
    its start is further off than the call's patience.
    """

    def __init__(
        self,
        pacer: Pacer,
        concurrency: int,
        clock: Clock,
        *,
        closing: Closing,
        events: EventStream[Event],
    ) -> None:
        self._pacer = pacer
        self._concurrency = concurrency
        self._slots = Slots(concurrency)
        self._clock = clock
        self._closing = closing
        self._events = events
        renew_in_children(self)

    def renew(self) -> None:
        """Begin with all slots free in a process that was forked: its parent's hold the others."""
        self._slots = Slots(self._concurrency)

    async def __call__(self, request: Request, send: Send) -> Response:
        """Send when it may start, and let the pacer know how it ended."""
        slots = self._slots
        permit = self._pacer.acquire_nowait(request.subject, slots, bulk=request.bulk)
        if permit is None:
            permit = await self._wait(request)
        try:
            response = await send(request)
        except BaseException as error:
            slots.release()
            _settle(permit, request, error)
            raise
        slots.release()  # first, so that who waits for it finds it
        permit.succeeded(RateLimitHint.from_headers(response.headers, epoch=time.time()))
        return response

    async def _wait(self, request: Request) -> Permit:
        latest = math.inf
        if request.patience < math.inf:
            latest = self._clock.now() + max(request.patience, LONGEST_INTERVAL)
        wait = _Wait(request, self._events, self._clock)
        start = Start(
            request.subject,
            self._slots,
            bulk=request.bulk,
            deadline=math.inf if request.deadline is None else request.deadline,
            latest=latest,
            on_wait=wait.begin,
        )
        try:
            with self._closing.interrupting():
                return await self._pacer.acquire(start)
        except StartTooLateError as error:
            raise ThrottledError(reason=error.reason, wait=error.wait) from error
        finally:
            wait.end()


class _Wait:
    """The waits of one attempt, as events; at most one is under way."""

    def __init__(self, request: Request, events: EventStream[Event], clock: Clock) -> None:
        self._about = (
            request.tally.call,
            request.operation.name,
            request.subject,
            request.bulk,
        )
        self._is_heard = bool(request.tally.call)
        self._events = events
        self._clock = clock
        self._reason: WaitReason | None = None
        self._began = 0.0

    def begin(self, reason: WaitReason, expected: float) -> None:
        """Wait for another reason than before, if anybody hears of it."""
        self.end()
        if self._is_heard or expected > NOTICEABLE:
            self._reason, self._began = reason, self._clock.now()
            self._events.emit(WaitStarted(*self._about, reason, expected))

    def end(self) -> None:
        """Wait no longer."""
        reason, self._reason = self._reason, None
        if reason is not None:
            took = self._clock.now() - self._began
            self._events.emit(WaitEnded(*self._about, reason, took))


def _settle(permit: Permit, request: Request, error: BaseException) -> None:
    match error:
        case RateLimitError() | ServiceUnavailableError():
            alone = permit.throttled(
                error.retry_after,
                limited=isinstance(error, RateLimitError),
                hint=_hint(error.headers),
            )
            request.tally.refused_alone += alone
        case APIError():
            permit.succeeded(_hint(error.headers))
        case UnusableResponseError():
            permit.succeeded()
        case _:
            permit.abandoned()


def _hint(headers: Mapping[str, str]) -> RateLimitHint | None:
    return RateLimitHint.from_headers(headers, epoch=time.time())
