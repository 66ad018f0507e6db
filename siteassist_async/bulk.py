"""Many awaits at once, bounded, one outcome a key."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable, Sequence
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

from attrs import define, frozen

from siteassist_async.clock import SYSTEM_CLOCK, Clock
from siteassist_async.errors import CertificateError, OutageError, SiteAssistError
from siteassist_async.events import Event, OutageEnded, OutageStarted
from siteassist_async.logs import log_call
from siteassist_async.outage import (
    WAIT,
    WINDOW,
    Guard,
    Held,
    Job,
    ends_all,
    is_final,
    is_own_word,
    is_refusal_of_all,
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
"""Bytes that may wait for a slow caller; those in flight come on top."""

MOST_PARKED = 1000
"""Keys that may wait for their own sake at once, beside those in flight."""

UNPROVEN = 5
"""So many times as many failures in a row are needed where nothing was ever answered: those further
on in the input may be."""


@frozen
class Options(Generic[K]):
    """How bulk work deals with trouble.

    Attributes:
        wait: Seconds to wait while nothing is answered, before giving up.
        strict: Let no failure be an outcome before anything was answered, not of a few keys
            either: it may be the token's or the URL's.
        proven: A key that was answered by an earlier run.
        elsewhere: Gives keys from all over the input, to be asked where none was ever answered.
        stopped: Whether to begin nothing more.
        emit: Hears of outages.
    """

    wait: float = WAIT
    strict: bool = False
    proven: K | None = None
    elsewhere: Callable[[], Sequence[K]] | None = None
    stopped: Callable[[], bool] = lambda: False
    clock: Clock = SYSTEM_CLOCK
    emit: Callable[[Event], None] = log_call


class Input(Protocol[K]):
    """Where keys come from, one at a time.

    Attributes:
        key: The one taken last.
        exhausted: No more will come.
        fault: What reading them raised.
    """

    key: K
    exhausted: bool
    fault: Exception | None

    def begin(self, wake: Callable[[], None], ended: Callable[[asyncio.Task[None]], None]) -> None:
        """Call `wake` from now on where there are keys again, or no more; `ended` with a task."""
        ...

    def take(self) -> bool:
        """Take the next key, if there is one at the moment."""
        ...

    async def stop(self) -> None:
        """Read no more."""
        ...


@define
class Outage:
    """Nothing is answered any more.

    Attributes:
        since: When that began, by the clock.
        error: What came last.
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
    """Fetch every key, at most `limit` at once, and yield one outcome a key as it comes.

    A key is read from the input only when there is a slot for it, and at most `limit` outcomes
    wait for the caller, or as many as weigh `MOST_BYTES`, so that memory does not depend on the
    input's length; a slow caller slows the fetching. With `ordered` the outcomes come in the keys'
    order, which holds back those behind a slow one. Keys that wait because the API asked them to
    make room for others, up to `MOST_PARKED`.

    A failure that may be everyone's is held until it is known whether others are answered: see
    `Guard`. Where nothing is answered any more, nothing further is read, one key that was answered
    is asked for now and then, and what failed meanwhile is asked for again afterwards; after
    `options.wait` seconds an OutageError ends it all.

    The input is read in one task and one context. Leaving early (close the generator, as
    `contextlib.aclosing` does) or being cancelled cancels what is in flight and waits for its end.
    In place of all that is to come a ClientClosedError is raised at once, and so is whatever
    `fetch` raises beside a `SiteAssistError`, and a 401 or 402 of a key that was answered before,
    or twice of one where none was. What the input itself raises comes after the outcomes of the
    keys before it.
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
    """Tasks that share one input, and the outcomes that wait for the caller.

    `fill` begins; whoever takes outcomes otherwise than by `take` calls it after them. `weigh`
    tells the bytes of a value.

    Attributes:
        active: Keys that are being fetched.
        outcomes: Those that the caller may take.
        outage: Where nothing is answered at the moment.
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
        answered = options.proven is not None
        window = WINDOW if answered or options.elsewhere else WINDOW * UNPROVEN
        self._guard = Guard[K](window, options.proven, answered)
        self._again: deque[Job[K]] = deque()
        self._early: dict[int, tuple[K, V | SiteAssistError]] = {}
        # Of the keys those that are being fetched, that wait for their own sake, and all.
        self.active = self._parked = self._taken = 0
        self._settled = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._checking = self._stopped = self._woken = False
        self._changed = asyncio.Event()
        self._fault: BaseException | None = None
        self._context = copy_context()
        self._hosted = self._context.copy()
        self._hosted.run(HOST.set, self)
        self._input.begin(self._wake, self._ended)

    async def has_outcomes(self) -> bool:
        """Wait until there are some; False where no more will come."""
        while self._fault is None:
            if self.outcomes:
                return True
            if self._is_done():
                if self._input.fault is not None:
                    raise self._input.fault
                return False
            self._changed.clear()
            await self._changed.wait()
        raise self._fault

    def take(self) -> tuple[K, V | SiteAssistError]:
        """Take the next outcome, and begin what there is room for then."""
        key, result = self.outcomes.popleft()
        if self._weigh is not None and not isinstance(result, SiteAssistError):
            self._weight -= self._weigh(result)
        if self.active < self._limit:
            self.fill()
        return key, result

    async def stop(self) -> None:
        """Cancel what is in flight, and wait for its end."""
        self._stopped = True  # a fetch may swallow the cancellation
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._input.stop()

    def fill(self) -> None:
        """Begin as many as there are keys and room for."""
        while (job := self._next()) is not None:
            self._spawn(self._work(job), self._hosted)

    def park(self) -> None:
        """As `Host.park`."""
        self.active -= 1
        self._parked += 1
        self.fill()
        if self._input.exhausted and not self.active:
            self._look()  # one answer tells the pacer whose refusals these are

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

    def _is_done(self) -> bool:
        # What is held or to be asked for again has a task that sees to it, unless all is to end.
        return not self._tasks and (self._input.exhausted or self._options.stopped())

    def _next(self) -> Job[K] | None:
        """Take a key, if there is room and there is one."""
        if self.active >= self._limit or self._checking or self._stopped:
            return None
        if self._again and not self._options.stopped():
            self.active += 1
            return self._again.popleft()
        if not self._has_room() or not self._input.take():
            return None
        self.active += 1
        self._taken += 1
        return Job(self._input.key, self._taken - 1)

    def _has_room(self) -> bool:
        waiting = self.active + len(self.outcomes) + len(self._early)
        fits = waiting < 2 * self._limit and self._weight < MOST_BYTES
        return fits and self._parked < MOST_PARKED

    async def _work(self, job: Job[K] | None) -> None:
        while job is not None:
            try:
                value = await self._fetch(job.key)
            except SiteAssistError as error:
                self.active -= 1
                self._failed(job, error)
            except BaseException:
                self.active -= 1
                raise
            else:
                self.active -= 1
                self._answered(job, value)
            job = self._next()
        self._look_if_idle()

    def _answered(self, job: Job[K], value: V) -> None:
        guard = self._guard
        guard.proven = job.key
        if guard.held or not guard.answered:
            self._let_go(guard.succeeded(job))
        if self._weigh is not None:
            self._weight += self._weigh(value)
        self._settle(job, value)

    def _failed(self, job: Job[K], error: SiteAssistError) -> None:
        if ends_all(error):
            raise error
        if is_final(error) or error.isolated:
            self._guard.heard(job, error)
            self._settle(job, error)
        elif self._guard.hold(job, error, self._taken, self._options.clock.now()):
            self._look()

    def _settle(self, job: Job[K], result: V | SiteAssistError) -> None:
        if self._fault is not None:
            return  # it comes in place of all that is to come
        if self._ordered:
            self._early[job.index] = job.key, result
            while self._settled in self._early:
                self.outcomes.append(self._early.pop(self._settled))
                self._settled += 1
        else:
            self.outcomes.append((job.key, result))
        self._changed.set()

    def _let_go(self, released: list[Held[K]], *, in_outage: bool = False) -> None:
        """Settle what failed while others are answered, or ask for it once more.

        What failed in an outage is asked for again, whatever it was.
        """
        for held in released:
            if held.is_settled() and not in_outage:
                self._settle(held.job, held.error)
            else:
                held.job.strikes += 1
                self._again.append(held.job)

    def _look_if_idle(self) -> None:
        """Look closer where nothing else is under way that could tell."""
        if self._guard.held and not (self.active or self._parked):
            self._look()

    def _look(self) -> None:
        if not (self._checking or self._stopped or self._options.stopped()):
            self._checking, self._woken = True, False
            self._spawn(self._check(), self._context)

    async def _check(self) -> None:
        """Find out whether anything is answered, and wait until it is."""
        guard = self._guard
        try:
            if not self._is_a_handful():
                failed = await self._wait_for_answer()
                self._let_go(guard.release(failed), in_outage=self.outage is not None)
            elif not (self.active or self._parked):  # else those may be answered yet
                for held in guard.release(guard.held):
                    self._settle(held.job, held.error)
        finally:
            self._checking = False
            self.outage = None
        self.fill()
        self._look_if_idle()

    def _is_a_handful(self) -> bool:
        """Whether a few keys failed and nothing else is known: then that is their outcome."""
        guard = self._guard
        return (
            not (self._options.strict or guard.answered)
            and self._input.exhausted
            and len(guard.held) < WINDOW
            and not any(is_refusal_of_all(held.error) for held in guard.held)
        )

    async def _wait_for_answer(self) -> list[Held[K]]:
        """Ask until something is answered; returns the failures that came before that was asked."""
        options, clock = self._options, self._options.clock
        began = self._guard.since if self._guard.held else clock.now()
        delays = probe_delays()
        while True:
            before = list(self._guard.held)
            error = await self._ask(self._candidates())
            if error is None:
                break
            self._give_up_if_hopeless(error, waited=clock.now() - began)
            if self.outage is None:
                self.outage = Outage(began, error)
                options.emit(OutageStarted(error, options.wait))
            self.outage.error = error
            if not await self._pause(min(next(delays), began + options.wait - clock.now())):
                return []
        if self.outage is not None:
            options.emit(OutageEnded(clock.now() - self.outage.since))
        return before

    async def _pause(self, seconds: float) -> bool:
        """Wait before the next probe; False where all is to end, or the input tells more."""
        clock = self._options.clock
        until = clock.now() + seconds
        while not (self._options.stopped() or self._is_more_to_try()):
            left = until - clock.now()
            if left <= 0:
                return True
            await clock.sleep(min(left, 1.0))
        return False

    def _is_more_to_try(self) -> bool:
        """Whether the input has gone on, and so few keys failed that others may be answered."""
        guard = self._guard
        return self._woken and not guard.answered and len(guard.held) < guard.window

    async def _ask(self, keys: Sequence[K]) -> SiteAssistError | None:
        """Ask for keys until one is answered; why none was."""
        guard, options = self._guard, self._options
        last: SiteAssistError | None = None
        for key in keys:
            try:
                await self._fetch(key)
            except SiteAssistError as error:
                if ends_all(error):
                    raise
                lenient = not (options.strict or guard.answered)
                if is_final(error) or (lenient and is_own_word(error)):
                    return None
                last = error
            else:
                guard.proven, guard.answered, guard.window = key, True, WINDOW
                return None
        return last

    def _candidates(self) -> Sequence[K]:
        """One that was answered; where none was, one that failed and, at first, others."""
        guard, elsewhere = self._guard, self._options.elsewhere
        if guard.answered:
            return [cast("K", guard.proven)]
        failed = [held.job.key for held in guard.held[-1:]]
        return failed if self.outage or elsewhere is None else [*failed, *elsewhere()]

    def _give_up_if_hopeless(self, error: SiteAssistError, *, waited: float) -> None:
        guard, options = self._guard, self._options
        if is_refusal_of_all(error):
            raise error
        if not guard.answered and (
            isinstance(error, CertificateError) or (options.strict and needs_a_person(error))
        ):
            raise error
        if waited >= options.wait:
            raise OutageError(error, waited) from error


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
    """Keys of an iterator, each step in one context."""

    key: K

    def __init__(self, keys: Iterator[K]) -> None:
        self.exhausted = False
        self.fault: Exception | None = None
        self._keys = keys
        self._context = copy_context()

    def begin(self, wake: Callable[[], None], ended: Callable[[asyncio.Task[None]], None]) -> None:
        """There is nothing to wait for."""

    def take(self) -> bool:
        """As `Input.take`."""
        if self.exhausted:
            return False
        try:
            self.key = self._context.run(next, self._keys)
        except StopIteration:
            self.exhausted = True
        except Exception as error:  # noqa: BLE001 - the input is the caller's code; told to them last
            self.exhausted, self.fault = True, error
        return not self.exhausted

    async def stop(self) -> None:
        """There is nothing to end."""


class AsyncInput(Generic[K]):
    """Keys of an async iterator of sequences, read in one task: the next when none is left."""

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
        self._reader.add_done_callback(ended)  # it may be cancelled by what it waits for

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
                self._wanted.clear()  # last, for it was set again while the block was read
                wake()
        except StopAsyncIteration:
            pass
        except Exception as error:  # noqa: BLE001 - the input is the caller's code; told to them last
            self.fault = error
        self.exhausted = True
        wake()
