"""Again, if that may help: how often, how long after, and never past the deadline."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from attrs import define, evolve, frozen
from tenacity import AsyncRetrying, RetryCallState, stop_never

from siteassist_async.errors import (
    APIError,
    CertificateError,
    ConfigurationError,
    DeadlineExceededError,
    DisconnectedError,
    RateLimitError,
    ServiceUnavailableError,
    SiteAssistError,
    TransportError,
    WrongConversationError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from siteassist_async.clock import Clock
    from siteassist_async.wire import Request, Response, Send

_LOG = logging.getLogger("siteassist_async")

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
"""The statuses that may pass: the documented ones, a proxy's 504 and a server's 408."""


@frozen
class RetryPolicy:
    """How often and how late a failed attempt is made again; a GET changes nothing, so it may be.

    Tried again are the statuses in `RETRIED`, timeouts, broken connections and truncated answers,
    and an answer to another request. Not tried again: every other status, a certificate that
    cannot be trusted, a body that breaks the contract, and a 429 which names no time and whose
    code is not that of the rate limit, for that is a quota used up.

    The delay before attempt n+1 is drawn between 0 and `first_delay` · 2^(n-1), at most
    `longest_delay` (full jitter); never less than the API asks for. Where a 429 or 503 names a
    time, the wait counts against `patience` and the deadline, and the attempt does not count; a
    server that goes on refusing is asked ever less often, however short the time that it names.

    Attributes:
        attempts: Requests for one call, the first included.
        first_delay: Seconds.
        longest_delay: Seconds.
        patience: Seconds that one call may wait in all because the API asked it to.
        budget: Retries that a client may have in hand; each costs one, and each success earns a
            fifth of one back, so that an outage is not answered by five times the load. None: no
            bound, as a job wants it.
    """

    attempts: int = 5
    first_delay: float = 0.5
    longest_delay: float = 20.0
    patience: float = 600.0
    budget: float | None = 100.0

    def __attrs_post_init__(self) -> None:
        if self.attempts < 1:
            raise ConfigurationError(
                f"RetryPolicy.attempts must be at least 1, not {self.attempts}"
            )
        for name in ("first_delay", "longest_delay", "patience", "budget"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ConfigurationError(f"RetryPolicy.{name} must be 0 or more, not {value}")


@frozen
class Retry:
    """What follows a failure: another attempt after `delay` seconds."""

    delay: float
    spends_attempt: bool = True


@define
class Progress:
    """How far one call has come."""

    patience: float
    """Seconds left to wait because the API asks for it."""
    spent: int = 1
    """Attempts that count."""
    refused: int = 0
    """Attempts that do not, because the API named a time to wait."""
    delay: float = 0.0
    """Seconds before the next attempt."""
    last_error: SiteAssistError | None = None


def decide(
    policy: RetryPolicy, error: SiteAssistError, progress: Progress, jitter: float
) -> Retry | None:
    """Choose what follows a failure; None: the error is the outcome.

    `jitter` is drawn from [0, 1).
    """
    asked = _asked(error)
    if asked > progress.patience:
        return None
    if asked and isinstance(error, RateLimitError | ServiceUnavailableError):
        # The jitter parts the many processes that were all told the same second.
        backoff = jitter * _longest(policy, progress.refused - policy.attempts)
        delay = max(asked * (1 + jitter / 10), backoff)
        return Retry(min(delay, progress.patience), spends_attempt=False)
    if progress.spent >= policy.attempts or not _may_pass(error):
        return None
    if isinstance(error, DisconnectedError) and progress.spent == 1:
        return Retry(0.0)  # an idle connection that the server had closed: a new one will do
    return Retry(max(jitter * _longest(policy, progress.spent - 1), asked))


def _longest(policy: RetryPolicy, doublings: int) -> float:
    if doublings < 0:
        return 0.0
    return min(policy.longest_delay, policy.first_delay * 2.0 ** min(doublings, 60))


def _asked(error: SiteAssistError) -> float:
    return max(0.0, error.retry_after or 0.0) if isinstance(error, APIError) else 0.0


def _may_pass(error: SiteAssistError) -> bool:
    if isinstance(error, RateLimitError):
        return error.code in {None, "RATE_LIMIT_EXCEEDED"}
    if isinstance(error, APIError):
        return error.status in RETRIED
    return isinstance(error, TransportError | WrongConversationError) and not isinstance(
        error, CertificateError
    )


class RetryBudget:
    """The retries that a client has in hand."""

    def __init__(self, size: float | None) -> None:
        self._size = self._left = float("inf") if size is None else size

    def spend(self) -> bool:
        """Take one, if there is one."""
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def earn(self) -> None:
        """Count a success."""
        self._left = min(self._size, self._left + 0.2)


@define
class RetryStats:
    """What a client's retrying has come to."""

    retries: int = 0
    """Attempts beyond the first of a call."""
    waited: float = 0.0
    """Seconds asked to be waited before them; those of calls at once add up."""


class Retrying:
    """Makes a call's attempts, and keeps its deadline over them and the waits between.

    The error that comes out carries the `attempts` made and the seconds `elapsed`. A wait that
    would end past the deadline is not begun: the error is raised at once.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        clock: Clock,
        *,
        budget: RetryBudget,
        stats: RetryStats,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._budget = budget
        self._stats = stats
        self._jitter = jitter

    async def __call__(self, request: Request, send: Send) -> Response:
        """Send until an answer is had or nothing more may help."""
        started = self._clock.now()
        # Most calls need no second attempt, and all would pay for what is entered before the first.
        try:
            if request.deadline is not None:
                response = await self._run_within(request.deadline - started, request, send)
            else:
                try:
                    response = await send(request)
                except SiteAssistError as error:
                    response = await self._go_on(request, send, Progress(request.patience), error)
        except SiteAssistError as error:
            error.attempts = request.tally.sent
            error.elapsed = self._clock.now() - started
            raise
        self._budget.earn()
        return response

    async def _run_within(self, seconds: float, request: Request, send: Send) -> Response:
        progress = Progress(request.patience)
        ending = asyncio.timeout(seconds)
        try:
            async with ending:
                try:
                    return await send(request)
                except SiteAssistError as error:
                    return await self._go_on(request, send, progress, error)
        except TimeoutError as error:
            if isinstance(error, SiteAssistError) or not ending.expired():
                raise
            cause = progress.last_error or error
            raise DeadlineExceededError(f"no answer within {seconds:.3g} s") from cause

    async def _go_on(
        self, request: Request, send: Send, progress: Progress, first: SiteAssistError
    ) -> Response:
        # Entering tenacity costs as much as a fifth of a request, so its first attempt is a replay.
        replayed = False

        async def attempt() -> Response:
            nonlocal replayed
            if not replayed:
                replayed = True
                raise first
            return await send(evolve(request, patience=progress.patience))

        def may_help(state: RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome else None
            return isinstance(error, SiteAssistError) and self._plan(request, progress, error)

        # One for each call: shared ones mix up their calls' results.
        retrying = AsyncRetrying(
            retry=may_help,
            wait=lambda _: progress.delay,
            sleep=self._clock.sleep,
            stop=stop_never,
            reraise=True,
        )
        return await retrying(attempt)

    def _plan(self, request: Request, progress: Progress, error: SiteAssistError) -> bool:
        progress.last_error = error
        retry = decide(self._policy, error, progress, self._jitter())
        if retry is None or self._is_too_late(request, retry):
            return False
        if retry.spends_attempt:
            if not self._budget.spend():
                return False
            progress.spent += 1
        else:
            progress.refused += 1
        if _asked(error):
            progress.patience = max(0.0, progress.patience - retry.delay)
        progress.delay = retry.delay
        self._stats.retries += 1
        self._stats.waited += retry.delay
        _LOG.info("%s: again in %.2f s after: %s", request.conversation_id, retry.delay, error)
        return True

    def _is_too_late(self, request: Request, retry: Retry) -> bool:
        if request.deadline is None:
            return False
        return self._clock.now() + retry.delay >= request.deadline
