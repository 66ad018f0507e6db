"""A slot and a start time for each attempt; a refusal closes the gate for all."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from siteassist_async.errors import (
    APIError,
    RateLimitError,
    ServiceUnavailableError,
    UnusableResponseError,
)
from siteassist_async.pacing import Pacer, RateLimitHint, StartTooLateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from siteassist_async.clock import Clock
    from siteassist_async.wire import Request, Response, Send


class Pacing:
    """Lets an attempt start when one of the client's slots is free and the pacer says so.

    A start that would lie past the call's deadline, or further off than its patience, is not
    waited for: a RateLimitError comes at once, with the seconds left as its `retry_after`.
    """

    def __init__(self, pacer: Pacer, concurrency: int, clock: Clock) -> None:
        self._pacer = pacer
        self._slots = asyncio.Semaphore(concurrency)
        self._clock = clock

    async def __call__(self, request: Request, send: Send) -> Response:
        """Send in turn, and tell the pacer what came of it."""
        async with self._slots:
            sent = await self._turn(request)
            try:
                response = await send(request)
            except BaseException as error:
                self._learn(sent, error)
                raise
            self._pacer.granted(sent, _hint(response.headers))
            return response

    async def _turn(self, request: Request) -> float:
        latest = self._clock.now() + request.patience
        if request.deadline is not None:
            latest = min(latest, request.deadline)
        try:
            return await self._pacer.acquire(None if latest == math.inf else latest)
        except StartTooLateError as error:
            raise RateLimitError(
                "the API asks to wait longer than this call may", retry_after=error.retry_after
            ) from error

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


def _hint(headers: Mapping[str, str]) -> RateLimitHint | None:
    return RateLimitHint.from_headers(headers, epoch=time.time())
