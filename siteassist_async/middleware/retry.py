"""Retry middleware: makes the attempts of a call, within its deadline."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import evolve
from tenacity import AsyncRetrying, RetryCallState, stop_never

from siteassist_async.closing import Closing
from siteassist_async.errors import (
    DeadlineExceededError,
    ServiceUnavailableError,
    SiteAssistError,
)
from siteassist_async.events import (
    CallEnded,
    CallStarted,
    Event,
    EventStream,
    RetryScheduled,
    next_call,
)
from siteassist_async.logs import HTTP
from siteassist_async.middleware.retry_policy import (
    RetryPolicy,
    RetryState,
    decide,
    is_alone,
    is_outcome_unknown,
    may_repeat,
    requested_delay,
)
from siteassist_async.parking import parking

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from siteassist_async.clock import Clock
    from siteassist_async.wire import Request


V = TypeVar("V")


class RetryBudget:
    """The retries that a client may still make; successes refill it.

    In an outage it runs empty, so that retries do not multiply the load on the API.
    """

    def __init__(self, size: float | None) -> None:
        self._size = self._left = float("inf") if size is None else size

    def spend(self) -> bool:
        """Take one retry; False if none is left."""
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def earn(self) -> None:
        """Count a success, which earns a fifth of a retry."""
        self._left = min(self._size, self._left + 0.2)


class Retrying:
    """Makes the attempts of a call, and enforces its deadline across attempts and waits.

    The error that is finally raised has `attempts` and `elapsed` set. A delay that would end after
    the deadline does not start: the error is raised at once.
    """

    def __init__(  # noqa: PLR0913 - what retrying depends on, each by its name
        self,
        policy: RetryPolicy,
        clock: Clock,
        *,
        budget: RetryBudget,
        events: EventStream[Event],
        closing: Closing | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._budget = budget
        self._events = events
        self._closing = closing or Closing()
        self._jitter = jitter

    def __call__(
        self, request: Request, send: Callable[[Request], Awaitable[V]]
    ) -> Coroutine[Any, Any, V]:
        """Send until an attempt succeeds or no retry is allowed."""
        # Without listeners and debug logs, calls do not pay for events.
        events = self._events
        if (events.listeners and events.is_heard()) or HTTP.isEnabledFor(logging.DEBUG):
            return self._observed(request, send)
        return self._call(request, send)

    async def _observed(self, request: Request, send: Callable[[Request], Awaitable[V]]) -> V:
        request.tally.call = call = next_call()
        about = (call, request.operation.name, request.subject, request.bulk)
        emit = self._events.emit
        emit(CallStarted(*about))
        started = self._clock.now()
        try:
            value = await self._call(request, send)
        except BaseException as error:
            emit(CallEnded(*about, self._clock.now() - started, request.tally.sent, error))
            raise
        emit(CallEnded(*about, self._clock.now() - started, request.tally.sent, None))
        return value

    async def _call(self, request: Request, send: Callable[[Request], Awaitable[V]]) -> V:
        started = self._clock.now()
        # Most calls need no second attempt, so the retry machinery is set up only after a failure.
        try:
            if request.deadline is not None:
                value = await self._run_within(request.deadline - started, request, send)
            else:
                try:
                    value = await send(request)
                except SiteAssistError as error:
                    progress = RetryState(request.patience)
                    # Also keeps the frames of tenacity out of most tracebacks.
                    if not self._plan(request, progress, error):
                        raise
                    value = await self._go_on(request, send, progress, error)
        except SiteAssistError as error:
            error.attempts = request.tally.sent
            error.elapsed = self._clock.now() - started
            error.isolated = is_alone(self._policy, request.tally.throttled_alone)
            if not request.operation.repeatable and is_outcome_unknown(error):
                error.outcome_unknown = True
            raise
        self._budget.earn()
        return value

    async def _run_within(
        self, seconds: float, request: Request, send: Callable[[Request], Awaitable[V]]
    ) -> V:
        progress = RetryState(request.patience)
        ending = asyncio.timeout(seconds)
        try:
            async with ending:
                try:
                    return await send(request)
                except SiteAssistError as error:
                    if not self._plan(request, progress, error):
                        raise
                    return await self._go_on(request, send, progress, error)
        except TimeoutError as error:
            if isinstance(error, SiteAssistError) or not ending.expired():
                raise
            cause = progress.last_error or error
            exceeded = DeadlineExceededError(f"no response within {seconds:.3g} s")
            exceeded.outcome_unknown = not request.operation.repeatable and request.tally.sent > 0
            raise exceeded from cause

    async def _go_on(
        self,
        request: Request,
        send: Callable[[Request], Awaitable[V]],
        progress: RetryState,
        first: SiteAssistError,
    ) -> V:
        # Setting up tenacity costs a fifth of a request, so it is done after the first failure. The
        # failure is replayed as tenacity's first attempt; its retry is planned already.
        replayed = planned = False

        async def attempt() -> V:
            nonlocal replayed
            if not replayed:
                replayed = True
                raise first
            return await send(evolve(request, patience=progress.patience))

        def is_retryable(state: RetryCallState) -> bool:
            nonlocal planned
            if not planned:
                planned = True
                return True
            error = state.outcome.exception() if state.outcome else None
            return isinstance(error, SiteAssistError) and self._plan(request, progress, error)

        # Only a wait that the API asked for is parked, so that bulk work fetches another key
        # meanwhile. Backoff is not: in an outage, it would park key after key.
        async def sleep(seconds: float) -> None:
            with (
                self._closing.interrupting(),
                parking(seconds) if progress.is_parked else nullcontext(),
            ):
                await self._clock.sleep(seconds)

        # One instance for each call: a shared one would mix up the results of concurrent calls.
        retrying = AsyncRetrying(
            retry=is_retryable,
            wait=lambda _: progress.delay,
            sleep=sleep,
            stop=stop_never,
            reraise=True,
        )
        return await retrying(attempt)

    def _plan(self, request: Request, progress: RetryState, error: SiteAssistError) -> bool:
        progress.last_error = error
        progress.throttled_alone = request.tally.throttled_alone
        if not request.operation.repeatable and not may_repeat(error):
            return False
        retry = decide(self._policy, error, progress, self._jitter(), bulk=request.bulk)
        if retry is None:
            return False
        if request.deadline is not None and self._clock.now() + retry.delay >= request.deadline:
            return False
        if retry.spends_attempt:
            # Bulk work has no budget: it handles outages by itself, and must not use up the budget
            # of interactive calls.
            if not (request.bulk or self._budget.spend()):
                error.budget_spent = True
                return False
            progress.spent += 1
        else:
            progress.throttled += 1
            progress.unavailable += isinstance(error, ServiceUnavailableError)
        if requested_delay(error):
            progress.patience = max(0.0, progress.patience - retry.delay)
        progress.delay = retry.delay
        progress.is_parked = not retry.spends_attempt
        tally, name = request.tally, request.operation.name
        self._events.emit(
            RetryScheduled(tally.call, name, request.subject, tally.sent, retry.delay, error)
        )
        return True
