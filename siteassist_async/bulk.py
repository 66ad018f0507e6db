"""Bulk work: fetch many keys concurrently, with bounded memory and one outcome per key."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable, Sequence
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

from siteassist_async.clock import SYSTEM_CLOCK, Clock
from siteassist_async.errors import (
    CertificateError,
    OutageError,
    SiteAssistError,
    TransportError,
)
from siteassist_async.events import Event, OutageEnded, OutageStarted
from siteassist_async.immutable import define, frozen
from siteassist_async.logs import log_call
from siteassist_async.outage import (
    FIRST_PROBE,
    WAIT,
    WINDOW,
    Guard,
    Held,
    Job,
    ends_bulk_work,
    is_final,
    is_refusal_of_all,
    is_specific_to_id,
    needs_a_person,
    probe_delays,
)
from siteassist_async.parking import HOST

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Coroutine,
        Iterable,
        Iterator,
    )

K = TypeVar("K")
V = TypeVar("V")

MOST_BYTES = 2**26
"""Bytes of results that may wait for a slow caller, not counting requests in flight."""

MOST_PARKED = 1000
"""Keys that may be parked at once (waiting because of their own `Retry-After`), besides those in
flight."""

UNPROVEN = 5
"""Factor on the outage threshold while no key has succeeded yet: later keys may be fine."""


@frozen
class Options(Generic[K]):
    """How bulk work handles failures.

    Attributes:
        wait: Seconds to wait through an outage before giving up.
        strict: Accept no failure as an outcome before any key has succeeded, not even for a
            handful of keys: the token or the base URL may be wrong.
        proven: A key that succeeded in an earlier run; used to probe.
        elsewhere: Returns keys sampled from the whole input, to probe while none has succeeded.
        stopped: Returns True once no further work should start.
        emit: Receives OutageStarted and OutageEnded.
    """

    wait: float = WAIT
    strict: bool = False
    proven: K | None = None
    elsewhere: Callable[[], Sequence[K]] | None = None
    stopped: Callable[[], bool] = lambda: False
    clock: Clock = SYSTEM_CLOCK
    emit: Callable[[Event], None] = log_call


class Input(Protocol[K]):
    """A source of keys, read one at a time.

    Attributes:
        key: The key that was taken last.
        exhausted: Whether there are no more keys.
        fault: The exception that reading the input raised, if any.
    """

    key: K
    exhausted: bool
    fault: Exception | None

    def begin(self, wake: Callable[[], None], ended: Callable[[asyncio.Task[None]], None]) -> None:
        """Start reading.

        `wake` is called when keys become available and when the input ends; `ended` is called with
        the task that reads, if there is one, when it finishes.
        """
        ...

    def take(self) -> bool:
        """Take the next key into `key`; False if none is available at the moment."""
        ...

    async def stop(self) -> None:
        """Stop reading."""
        ...


@define
class Outage:
    """An outage: requests for all keys fail.

    Attributes:
        since: When it started, by the clock.
        error: The most recent error.
    """

    since: float
    error: SiteAssistError


async def each(  # noqa: PLR0913 - the options of bulk work, each by its name
    keys: Iterable[K] | AsyncIterable[K],
    fetch: Callable[[K], Awaitable[V]],
    *,
    limit: int,
    ordered: bool = False,
    weigh: Callable[[V], int] | None = None,
    options: Options[K] | None = None,
) -> AsyncGenerator[tuple[K, V | SiteAssistError], None]:
    """Fetch every key with at most `limit` in flight, yielding one outcome per key as it completes.

    Backpressure: a key is read from the input only when one of `limit` places is free, and at most
    `limit` outcomes (or `MOST_BYTES` of them, measured by `weigh`) wait for the caller. So memory
    does not depend on the length of the input, and a slow caller slows the fetching down. With
    `ordered`, outcomes come in the order of the keys, and those behind a slow key wait for it. A
    key that waits for its own `Retry-After` gives up its place; up to `MOST_PARKED` may do so.

    A failure that may be part of an outage is held back until it is known whether other keys
    succeed: see `Guard`. During an outage no further keys are read, a key that succeeded before is
    probed at growing intervals, and everything that failed meanwhile is fetched again afterwards.
    After `options.wait` seconds, OutageError is raised.

    The input is read in one task and one context. Closing the generator early (as
    `contextlib.aclosing` does) or cancelling it cancels the requests in flight and waits for them.

    Raised at once, in place of all outcomes that have not been yielded yet: ClientClosedError,
    anything that `fetch` raises other than a `SiteAssistError`, and a 401 or 402 that is confirmed
    by a key that succeeded before or, if there is none, by a second request. An exception of the
    input is raised after the outcomes of the keys before it.
    """
    pool = Pool(input_of(keys), fetch, limit=limit, ordered=ordered, weigh=weigh, options=options)
    try:
        pool.fill()
        while await pool.has_outcomes():
            while pool.outcomes:
                yield pool.take()
    finally:
        await pool.stop()


class Pool(Generic[K, V]):
    """Worker tasks that share one input, and the outcomes that wait for the caller.

    Call `fill` to start, and again after taking outcomes from `outcomes` directly rather than with
    `take`. `weigh` returns the size of a value in bytes.

    Attributes:
        active: Number of keys in flight.
        outcomes: Outcomes that are ready for the caller.
        outage: The current outage, if there is one.
    """

    def __init__(  # noqa: PLR0913 - as of `each`
        self,
        keys: Input[K],
        fetch: Callable[[K], Awaitable[V]],
        *,
        limit: int,
        ordered: bool = False,
        weigh: Callable[[V], int] | None = None,
        options: Options[K] | None = None,
    ) -> None:
        self.outcomes: deque[tuple[K, V | SiteAssistError]] = deque()
        self.outage: Outage | None = None
        self._input = keys
        self._fetch = fetch
        self._limit = limit
        self._ordered = ordered
        self._weigh = weigh
        self._weight = 0
        self._options = options = options or Options()
        succeeded = options.proven is not None
        window = WINDOW if succeeded or options.elsewhere else WINDOW * UNPROVEN
        self._guard = Guard[K](window, options.proven, succeeded)
        self._again: deque[Job[K]] = deque()
        self._early: dict[int, tuple[K, V | SiteAssistError]] = {}
        # Numbers of keys: in flight, parked, and taken from the input so far.
        self.active = self._parked = self._taken = 0
        self._settled = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._checking = self._stopped = self._woken = self._all_parked = False
        self._changed = asyncio.Event()
        self._fault: BaseException | None = None
        self._context = copy_context()
        self._hosted = self._context.copy()
        self._hosted.run(HOST.set, self)
        self._input.begin(self._wake, self._ended)

    async def has_outcomes(self) -> bool:
        """Wait until an outcome is ready; False once there will be no more."""
        while self._fault is None:
            if self.outcomes:
                return True
            # Held failures and keys to be fetched again always have a task that handles them,
            # unless the work is being stopped.
            if not self._tasks and (self._input.exhausted or self._options.stopped()):
                if self._input.fault is not None:
                    raise self._input.fault
                return False
            self._changed.clear()
            await self._changed.wait()
        raise self._fault

    def take(self) -> tuple[K, V | SiteAssistError]:
        """Take the next outcome, and start fetching the keys that there is room for now."""
        key, result = self.outcomes.popleft()
        if self._weigh is not None and not isinstance(result, SiteAssistError):
            self._weight -= self._weigh(result)
        if self.active < self._limit:
            self.fill()
        return key, result

    async def stop(self) -> None:
        """Cancel the requests in flight, and wait for them to end."""
        self._stopped = True  # a fetch may swallow the cancellation
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._input.stop()

    def fill(self) -> None:
        """Start fetching as many keys as are available and as there is room for."""
        while (job := self._next()) is not None:
            self._spawn(self._work(job), self._hosted)

    def park(self) -> None:
        """As `Host.park`."""
        self.active -= 1
        self._parked += 1
        self.fill()
        if self._input.exhausted and not self.active:
            # Only parked keys are left. If they were throttled again, one success shows the pacer
            # that the API throttles these keys and not all requests.
            if self._all_parked:
                self._check_soon()
            self._all_parked = True

    def unpark(self) -> None:
        """As `Host.unpark`."""
        self.active += 1
        self._parked -= 1

    def _wake(self) -> None:
        self._woken = True
        self.fill()
        self._changed.set()

    def _spawn(self, work: Coroutine[object, object, None], context: Context) -> None:
        task = asyncio.get_running_loop().create_task(work, context=context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        fault = asyncio.CancelledError() if task.cancelled() else task.exception()
        if fault is not None:
            self._fault = self._fault or fault
            self._stopped = True
            self.outcomes.clear()
        self._changed.set()

    def _next(self) -> Job[K] | None:
        """Take the next key; None if there is no room or no key."""
        if self.active >= self._limit or self._checking or self._stopped:
            return None
        if self._again and not self._options.stopped():
            self.active += 1
            return self._again.popleft()
        # Backpressure: keys in flight and outcomes that the caller has not taken yet.
        waiting = self.active + len(self.outcomes) + len(self._early)
        has_room = waiting < 2 * self._limit and self._weight < MOST_BYTES
        if not has_room or self._parked >= MOST_PARKED or not self._input.take():
            return None
        self.active += 1
        self._taken += 1
        return Job(self._input.key, self._taken - 1)

    async def _work(self, job: Job[K] | None) -> None:
        guard = self._guard
        while job is not None:
            try:
                value = await self._fetch(job.key)
            except SiteAssistError as error:
                self.active -= 1
                if ends_bulk_work(error):
                    raise
                if is_final(error) or error.isolated:
                    guard.note(job, error)
                    self._settle(job, error)
                # Not final, so it may be part of an outage: the next success or probe decides.
                elif guard.hold(job, error, self._taken, self._options.clock.now()):
                    self._check_soon()
            except BaseException:
                self.active -= 1
                raise
            else:
                self.active -= 1
                guard.proven = job.key
                self._all_parked = False
                if guard.held or not guard.any_succeeded:
                    self._resolve(guard.succeeded(job))
                if self._weigh is not None:
                    self._weight += self._weigh(value)
                self._settle(job, value)
            job = self._next()
        self._check_if_idle()

    def _settle(self, job: Job[K], result: V | SiteAssistError) -> None:
        if self._fault is not None:
            return  # the fault replaces all outcomes that are still to come
        if self._ordered:
            self._early[job.index] = job.key, result
            while self._settled in self._early:
                self.outcomes.append(self._early.pop(self._settled))
                self._settled += 1
        else:
            self.outcomes.append((job.key, result))
        self._changed.set()

    def _resolve(self, released: list[Held[K]], *, in_outage: bool = False) -> None:
        """Decide about failures now that other keys succeed: an outcome, or one more request.

        Keys that failed during an outage are always fetched again.
        """
        for held in released:
            if held.is_settled() and not in_outage:
                self._settle(held.job, held.error)
            else:
                held.job.strikes += 1
                self._again.append(held.job)

    def _check_if_idle(self) -> None:
        """Probe if failures are held and no request in flight can show whether keys succeed."""
        if self._guard.held and not (self.active or self._parked):
            self._check_soon()

    def _check_soon(self) -> None:
        if not (self._checking or self._stopped or self._options.stopped()):
            self._checking, self._woken = True, False
            self._spawn(self._check(), self._context)

    async def _check(self) -> None:
        """Find out whether requests succeed, and wait through the outage if they do not."""
        guard = self._guard
        try:
            # Of an input that is too short to tell an outage, each failure is an outcome.
            is_a_handful = (
                not (self._options.strict or guard.any_succeeded)
                and self._input.exhausted
                and len(guard.held) < WINDOW
                and not any(is_refusal_of_all(held.error) for held in guard.held)
            )
            if not is_a_handful:
                failed = await self._wait_for_answer()
                self._resolve(guard.release(failed), in_outage=self.outage is not None)
            elif not (self.active or self._parked):  # otherwise one of those may still succeed
                for held in guard.release(guard.held):
                    self._settle(held.job, held.error)
        finally:
            self._checking = False
            self.outage = None
        self.fill()
        self._check_if_idle()

    async def _wait_for_answer(self) -> list[Held[K]]:
        """Probe until a request succeeds; returns the failures from before that probe was sent."""
        options, clock = self._options, self._options.clock
        began = self._guard.since if self._guard.held else clock.now()
        end = began + options.wait
        delays = probe_delays()
        while True:
            before = list(self._guard.held)
            error = await self._probe(end)
            if error is None:
                break
            self._give_up_if_hopeless(error, began)
            if self.outage is None:
                self.outage = Outage(began, error)
                options.emit(OutageStarted(error, options.wait))
            self.outage.error = error
            # Sooner towards the end, so that a server that is back just before it is found. A probe
            # is cut off there, and none starts then.
            left = end - clock.now()
            pause = min(next(delays), left / 2)
            if not await self._pause(clock.now() + pause if left > FIRST_PROBE else end):
                return []
            self._give_up_if_hopeless(error, began)
        if self.outage is not None:
            options.emit(OutageEnded(clock.now() - self.outage.since))
        return before

    async def _pause(self, until: float) -> bool:
        """Wait before the next probe; False if the work is stopped or there are new keys."""
        guard, clock = self._guard, self._options.clock
        while True:
            # New keys matter while too few have failed to assume an outage.
            try_more = self._woken and not guard.any_succeeded and len(guard.held) < guard.window
            if try_more or self._options.stopped():
                return False
            left = until - clock.now()
            if left <= 0:
                return True
            await clock.sleep(min(left, 1.0))

    async def _probe(self, end: float) -> SiteAssistError | None:
        """Request a key that succeeded before or, without one, keys that failed and sampled ones.

        Returns None if one succeeds, else an error. In an outage, the requests are cut off at
        `end`, and have failed as the last probe.
        """
        guard, outage, elsewhere = self._guard, self.outage, self._options.elsewhere
        if guard.any_succeeded:
            keys = [cast("K", guard.proven)]
        else:
            keys = [held.job.key for held in guard.held[-1:]]
            if outage is None and elsewhere is not None:
                keys += elsewhere()
        first, *others = keys
        limit = asyncio.timeout(None if outage is None else end - self._options.clock.now())
        try:
            async with limit:
                error = await self._probe_key(first)
                unconnected = isinstance(error, TransportError) and not error.sent
                if not others or error is None or unconnected:  # then others would fail as well
                    return error
                errors = await asyncio.gather(*map(self._probe_key, others))
                return None if None in errors else errors[-1]
        except TimeoutError:
            if outage is None or not limit.expired():
                raise
            return outage.error

    async def _probe_key(self, key: K) -> SiteAssistError | None:
        guard, options = self._guard, self._options
        try:
            await self._fetch(key)
        except SiteAssistError as error:
            if ends_bulk_work(error):
                raise
            lenient = not (options.strict or guard.any_succeeded)
            about_it = is_final(error) or (lenient and is_specific_to_id(error))
            return None if about_it else error
        guard.proven, guard.any_succeeded, guard.window = key, True, WINDOW
        return None

    def _give_up_if_hopeless(self, error: SiteAssistError, began: float) -> None:
        guard, options, now = self._guard, self._options, self._options.clock.now()
        if is_refusal_of_all(error):
            raise error
        if not guard.any_succeeded and (
            isinstance(error, CertificateError) or (options.strict and needs_a_person(error))
        ):
            raise error
        if now >= began + options.wait:
            raise OutageError(error, now - began) from error


def input_of(keys: Iterable[K] | AsyncIterable[K]) -> Input[K]:
    """Read keys from an iterable, an async iterable or an async iterator."""
    if isinstance(keys, AsyncIterable):
        return AsyncInput(_one_by_one(aiter(keys)))
    if hasattr(keys, "__anext__"):
        return AsyncInput(_one_by_one(cast("AsyncIterator[K]", keys)))
    return _PlainInput(iter(keys))


async def _one_by_one(keys: AsyncIterator[K]) -> AsyncGenerator[Sequence[K], None]:
    while True:
        try:
            key = await anext(keys)
        except StopAsyncIteration:
            return
        yield [key]


class _PlainInput(Generic[K]):
    """The keys of an iterator; every step runs in the same context."""

    key: K

    def __init__(self, keys: Iterator[K]) -> None:
        self.exhausted = False
        self.fault: Exception | None = None
        self._keys = keys
        self._context = copy_context()

    def begin(self, wake: Callable[[], None], ended: Callable[[asyncio.Task[None]], None]) -> None:
        """Nothing to start: keys are read as they are taken."""

    def take(self) -> bool:
        """As `Input.take`."""
        if self.exhausted:
            return False
        try:
            self.key = self._context.run(next, self._keys)
        except StopIteration:
            self.exhausted = True
        except Exception as error:  # noqa: BLE001 - the input is the caller's code; raised after its outcomes
            self.exhausted, self.fault = True, error
        return not self.exhausted

    async def stop(self) -> None:
        """Nothing to stop."""


class AsyncInput(Generic[K]):
    """The keys of an async iterator of blocks, read in one task, a block at a time on demand."""

    key: K

    def __init__(self, blocks: AsyncIterator[Sequence[K]]) -> None:
        self.exhausted = False
        self.fault: Exception | None = None
        self._blocks = blocks
        self._ready: deque[K] = deque()
        self._wanted = asyncio.Event()

    def begin(self, wake: Callable[[], None], ended: Callable[[asyncio.Task[None]], None]) -> None:
        """As `Input.begin`."""
        self._reader = asyncio.get_running_loop().create_task(self._read(wake))
        self._reader.add_done_callback(ended)  # the input may cancel the task

    def take(self) -> bool:
        """As `Input.take`."""
        if self._ready:
            self.key = self._ready.popleft()
            return True
        self._wanted.set()
        return False

    async def stop(self) -> None:
        """As `Input.stop`."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _read(self, wake: Callable[[], None]) -> None:
        try:
            while True:
                await self._wanted.wait()
                self._ready.extend(await anext(self._blocks))
                self._wanted.clear()  # only now: `take` sets it again while the block is being read
                wake()
        except StopAsyncIteration:
            pass
        except Exception as error:  # noqa: BLE001 - the input is the caller's code; raised after its outcomes
            self.fault = error
        self.exhausted = True
        wake()
