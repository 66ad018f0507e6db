"""Many awaits at once, bounded, one outcome a key."""

from __future__ import annotations

import asyncio
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
        async for outcome in pool:
            yield outcome
    finally:
        await pool.stop()


class _Pool(Generic[K, V]):
    """Workers that share one input, and the outcomes that wait for the caller."""

    def __init__(
        self,
        keys: Iterable[K] | AsyncIterable[K],
        fetch: Callable[[K], Awaitable[V]],
        *,
        limit: int,
        ordered: bool,
        fatal: Callable[[SiteAssistError], bool],
    ) -> None:
        self._keys = aiter(keys) if isinstance(keys, AsyncIterable) else iter(keys)
        self._fetch = fetch
        self._limit = limit
        self._ordered = ordered
        self._fatal = fatal
        self._reading = asyncio.Lock()  # two __anext__ at once break an async generator
        self._room = asyncio.Semaphore(2 * limit)  # in flight, or waiting for the caller
        self._workers: set[asyncio.Task[None]] = set()
        self._waiting: dict[int, tuple[K, V | SiteAssistError]] = {}
        self._changed = asyncio.Event()
        self._read = self._yielded = 0
        self._exhausted = self._stopped = False
        self._input_fault: Exception | None = None
        self._fault: BaseException | None = None
        self._spawn()

    def __aiter__(self) -> AsyncIterator[tuple[K, V | SiteAssistError]]:
        return self

    async def __anext__(self) -> tuple[K, V | SiteAssistError]:
        while True:
            if self._fault is not None:
                raise self._fault
            index = self._yielded if self._ordered else next(iter(self._waiting), -1)
            if index in self._waiting:
                self._yielded += 1
                self._room.release()
                return self._waiting.pop(index)
            if not self._workers:
                raise self._input_fault or StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()

    async def stop(self) -> None:
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
        self._fault = self._fault or fault
        self._changed.set()

    async def _work(self) -> None:
        while not self._stopped:
            await self._room.acquire()
            async with self._reading:
                key = await self._next()
                index = self._read
                self._read += 1
            if isinstance(key, _End):
                return
            if len(self._workers) < self._limit:
                self._spawn()
            try:
                result: V | SiteAssistError = await self._fetch(key)
            except SiteAssistError as error:
                if self._fatal(error):
                    raise
                result = error
            self._waiting[index] = (key, result)
            self._changed.set()

    async def _next(self) -> K | _End:
        try:
            if self._exhausted:
                return _End()
            if isinstance(self._keys, AsyncIterator):
                return await anext(self._keys)
            return next(self._keys)
        except (StopIteration, StopAsyncIteration):
            pass
        except Exception as error:  # noqa: BLE001 - the input is the caller's code; told to them last
            self._input_fault = error
        self._exhausted = True
        return _End()


class _End:
    """The input has no more keys."""
