"""Pacing middleware: each attempt waits for a free slot and for the pacer's permit."""

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
"""Seconds between two starts at the slowest pace; patience is never taken to be shorter."""


class Pacing:
    """Starts an attempt when the client has a free slot and the pacer permits it.

    If the expected wait plus the recent response time goes beyond the call's deadline, or the
    expected wait beyond its patience, ThrottledError is raised at once and nothing is sent.
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
        """Free all slots in a forked process: requests of the parent hold them only there."""
        self._slots = Slots(self._concurrency)

    async def __call__(self, request: Request, send: Send) -> Response:
        """Send the request once it may start, and settle its permit with the outcome."""
        slots = self._slots
        permit = self._pacer.acquire_nowait(request.subject, slots, bulk=request.bulk)
        if permit is None:
            permit = await self._wait(request)
        try:
            response = await send(request)
        except BaseException as error:
            slots.release()
            match error:
                case RateLimitError() | ServiceUnavailableError():
                    alone = permit.throttled(
                        error.retry_after,
                        limited=isinstance(error, RateLimitError),
                        hint=_hint(error.headers),
                    )
                    request.tally.throttled_alone += alone
                case APIError():
                    permit.succeeded(_hint(error.headers))
                case UnusableResponseError():
                    permit.succeeded()
                case _:
                    permit.abandoned()
            raise
        slots.release()  # before settling, which may start the next waiting call
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
    """Emits the waits of one attempt as events; at most one is in progress."""

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
        """Start a wait, ending the one before; short waits are reported only to listeners."""
        self.end()
        if self._is_heard or expected > NOTICEABLE:
            self._reason, self._began = reason, self._clock.now()
            self._events.emit(WaitStarted(*self._about, reason, expected))

    def end(self) -> None:
        """End the wait in progress, if there is one."""
        reason, self._reason = self._reason, None
        if reason is not None:
            took = self._clock.now() - self._began
            self._events.emit(WaitEnded(*self._about, reason, took))


def _hint(headers: Mapping[str, str]) -> RateLimitHint | None:
    return RateLimitHint.from_headers(headers, epoch=time.time())
