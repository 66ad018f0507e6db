"""Many awaits at once, bounded, one outcome a key."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
)
from typing import Generic, TypeVar

from siteassist_async.errors import (
    AuthenticationError,
    ClientClosedError,
    PaymentRequiredError,
    SiteAssistError,
)
from siteassist_async.slots import Slots

K = TypeVar("K")
V = TypeVar("V")


def ends_all(error: SiteAssistError) -> bool:
    """Whether every further request must fail the same way: 401, 402, a closed client."""
    return isinstance(error, AuthenticationError | PaymentRequiredError | ClientClosedError)


async def each(
    keys: Iterable[K] | AsyncIterable[K],
    fetch: Callable[[K], Awaitable[V]],
    *,
    limit: int,
    ordered: bool = False,
    fatal: Callable[[SiteAssistError], bool] = ends_all,
) -> AsyncGenerator[tuple[K, V | SiteAssistError], None]:
    """Fetch every key, at most `limit` at once, and yield one outcome a key as it comes.

    A key is read from the input only when there is a slot for it, and at most `limit` outcomes
    wait for the caller, so that memory does not depend on the input's length; a slow caller slows
    the fetching. With `ordered` the outcomes come in the keys' order, which holds back those
    behind a slow one.

    Leaving early (close the generator, as `contextlib.aclosing` does) or being cancelled cancels
    what is in flight and waits for its end. An error for which `fatal` holds is raised at once in
    place of all that is to come, and so is whatever `fetch` raises beside a `SiteAssistError`.
    What the input itself raises comes after the outcomes of the keys before it.
    """
    pool = _Pool(keys, fetch, limit=limit, ordered=ordered, fatal=fatal)
    try:
        while await pool.has_outcomes():
            while pool.outcomes:
                pool.room.release()
                yield pool.outcomes.popleft()
    finally:
        await pool.stop()


async def batches(
    keys: AsyncIterable[K], fetch: Callable[[K], Awaitable[V]], *, limit: int
) -> AsyncGenerator[list[tuple[K, V | SiteAssistError]], None]:
    """As `each`, but yield all outcomes at once that wait.

    They hold their slots, and their list its content, until the next are asked for.
    """
    pool = _Pool(keys, fetch, limit=limit, ordered=False, fatal=ends_all)
    try:
        while await pool.has_outcomes():
            taken = list(pool.outcomes)
            pool.outcomes.clear()
            yield taken
            for _ in taken:
                pool.room.release()
            taken.clear()  # whoever waits for the next still has it
    finally:
        await pool.stop()


class _Pool(Generic[K, V]):
    """Workers that share one input, and the outcomes that wait for the caller.

    Attributes:
        outcomes: Those that the caller may take; for each it gives back one slot of `room`.
        room: Slots for the keys that are in flight or wait for the caller.
    """

    def __init__(
        self,
        keys: Iterable[K] | AsyncIterable[K],
        fetch: Callable[[K], Awaitable[V]],
        *,
        limit: int,
        ordered: bool,
        fatal: Callable[[SiteAssistError], bool],
    ) -> None:
        self.outcomes: deque[tuple[K, V | SiteAssistError]] = deque()
        self.room = Slots(2 * limit)
        self._keys = aiter(keys) if isinstance(keys, AsyncIterable) else iter(keys)
        self._fetch = fetch
        self._limit = limit
        self._ordered = ordered
        self._fatal = fatal
        self._turn = Slots(1)  # two __anext__ at once break an async generator
        self._workers: set[asyncio.Task[None]] = set()
        self._early: dict[int, tuple[K, V | SiteAssistError]] = {}
        self._changed = asyncio.Event()
        self._read = self._settled = 0
        self._exhausted: _End | None = None
        self._stopped = False
        self._input_fault: Exception | None = None
        self._fault: BaseException | None = None
        self._spawn()

    async def has_outcomes(self) -> bool:
        """Wait until there are some; False where no more will come."""
        while self._fault is None:
            if self.outcomes:
                return True
            if not self._workers:
                if self._input_fault is not None:
                    raise self._input_fault
                return False
            self._changed.clear()
            await self._changed.wait()
        raise self._fault

    async def stop(self) -> None:
        """Cancel what is in flight, and wait for its end."""
        self._stopped = True  # a fetch may swallow the cancellation
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def _spawn(self) -> None:
        worker = asyncio.create_task(self._work())
        self._workers.add(worker)
        worker.add_done_callback(self._ended)

    def _ended(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        fault = asyncio.CancelledError() if worker.cancelled() else worker.exception()
        if fault is not None:
            self._fault = self._fault or fault
            self.outcomes.clear()
        self._changed.set()

    async def _work(self) -> None:
        room = self.room
        while not self._stopped:
            if room.free:
                room.free -= 1
            else:
                await room.wait()
            key = await self._next()
            if isinstance(key, _End):
                return
            index = self._read
            self._read += 1
            if len(self._workers) < self._limit:
                self._spawn()
            try:
                result: V | SiteAssistError = await self._fetch(key)
            except SiteAssistError as error:
                if self._fatal(error):
                    raise
                result = error
            self._settle(index, (key, result))

    def _settle(self, index: int, outcome: tuple[K, V | SiteAssistError]) -> None:
        if self._fault is not None:
            return  # it comes in place of all that is to come
        if self._ordered:
            self._early[index] = outcome
            while self._settled in self._early:
                self.outcomes.append(self._early.pop(self._settled))
                self._settled += 1
        else:
            self.outcomes.append(outcome)
        self._changed.set()

    async def _next(self) -> K | _End:
        try:
            if isinstance(self._keys, AsyncIterator):
                return await self._read_in_turn(self._keys)
            return next(self._keys) if self._exhausted is None else self._exhausted
        except (StopIteration, StopAsyncIteration):
            pass
        except Exception as error:  # noqa: BLE001 - the input is the caller's code; told to them last
            self._input_fault = error
        self._exhausted = _End()
        return self._exhausted

    async def _read_in_turn(self, keys: AsyncIterator[K]) -> K | _End:
        turn = self._turn
        if turn.free:
            turn.free -= 1
        else:
            await turn.wait()
        try:
            return await anext(keys) if self._exhausted is None else self._exhausted
        finally:
            turn.release()


class _End:
    """The input has no more keys."""
