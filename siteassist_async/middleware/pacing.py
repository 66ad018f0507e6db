"""A slot and a start time for each attempt; a refusal closes the gate for all."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from siteassist_async.errors import (
    APIError,
    RateLimitError,
    ServiceUnavailableError,
    UnusableResponseError,
)
from siteassist_async.forks import renew_in_children
from siteassist_async.pacing import Pacer, RateLimitHint, StartTooLateError
from siteassist_async.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Mapping

    from siteassist_async.clock import Clock
    from siteassist_async.wire import Request, Response, Send


LONGEST_INTERVAL = 1.0
"""Seconds between two starts at a pace: no patience is so short that it ends amid them."""


class Pacing:
    """Lets an attempt start when one of the client's slots is free and the pacer says so.

    A start that would lie past the call's deadline, or further off than its patience, is not
    waited for: a RateLimitError comes at once, with the seconds left as its `retry_after`.
    """

    def __init__(self, pacer: Pacer, concurrency: int, clock: Clock) -> None:
        self._pacer = pacer
        self._concurrency = concurrency
        self._slots = Slots(concurrency)
        self._clock = clock
        renew_in_children(self)

    def renew(self) -> None:
        """Begin with all slots free in a process that was forked: its parent's hold the others."""
        self._slots = Slots(self._concurrency)

    async def __call__(self, request: Request, send: Send) -> Response:
        """Send in turn, and tell the pacer what came of it."""
        slots = self._slots
        if slots.free:
            slots.free -= 1
        else:
            self._refuse_what_is_too_late(request)  # those before it may hold all slots till then
            await slots.wait()
        try:
            sent = self._pacer.acquire_nowait()
            if sent is None:
                sent = await self._wait(request)
            try:
                response = await send(request)
            except BaseException as error:
                self._learn(sent, error)
                raise
            hint = RateLimitHint.from_headers(response.headers, epoch=time.time())
            self._pacer.granted(sent, hint)
            return response
        finally:
            slots.release()

    async def _wait(self, request: Request) -> float:
        try:
            return await self._pacer.acquire(self._latest(request))
        except StartTooLateError as error:
            raise _too_late(error.retry_after) from error

    def _refuse_what_is_too_late(self, request: Request) -> None:
        opens_in = self._pacer.opens_in()
        if not opens_in:
            return
        left = request.patience
        if request.deadline is not None:
            left = min(left, request.deadline - self._clock.now())
        if opens_in > left:
            raise _too_late(opens_in)

    def _latest(self, request: Request) -> float | None:
        if request.patience == math.inf:
            return request.deadline
        latest = self._clock.now() + max(request.patience, LONGEST_INTERVAL)
        return latest if request.deadline is None else min(latest, request.deadline)

    def _learn(self, sent: float, error: BaseException) -> None:
        match error:
            case RateLimitError() | ServiceUnavailableError():
                self._pacer.refused(
                    sent,
                    error.retry_after,
                    limited=isinstance(error, RateLimitError),
                    hint=_hint(error.headers),
                )
            case APIError():
                self._pacer.granted(sent, _hint(error.headers))
            case UnusableResponseError():
                self._pacer.granted(sent)
            case _:
                self._pacer.released(sent)


def _too_late(retry_after: float) -> RateLimitError:
    return RateLimitError("the API asks to wait longer than this call may", retry_after=retry_after)


def _hint(headers: Mapping[str, str]) -> RateLimitHint | None:
    return RateLimitHint.from_headers(headers, epoch=time.time())
