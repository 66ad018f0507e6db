"""What the tests of bulk fetching share: an input, a fetch, and a loop over all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from siteassist_async import (
    NotFoundError,
    SiteAssistError,
)
from siteassist_async.bulk import each

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterable,
        AsyncIterator,
        Awaitable,
        Callable,
        Iterable,
        Iterator,
    )

    Outcome = tuple[int, int | SiteAssistError]


MISSING = NotFoundError("no", code="CONVERSATION_NOT_FOUND")


class Input:
    """Keys that know how far they were read, as an iterable and as an async one."""

    def __init__(self, keys: Iterable[int], fault: Exception | None = None) -> None:
        self.read = 0
        self._keys = keys
        self._fault = fault

    def plain(self) -> Iterator[int]:
        """The keys, then the fault."""
        for key in self._keys:
            self.read += 1
            yield key
        if self._fault is not None:
            raise self._fault

    async def asynchronous(self) -> AsyncIterator[int]:
        """As `plain`, with a turn of the loop before each key."""
        for key in self.plain():
            await asyncio.sleep(0)
            yield key


class Fetch:
    """Fetches a key's square in as many turns of the loop as `turns` says, and counts."""

    def __init__(self, turns: Callable[[int], int] = lambda _: 1) -> None:
        self.keys: list[int] = []
        self.flying = self.most = self.cancelled = 0
        self._turns = turns

    async def __call__(self, key: int) -> int:
        """Raise MISSING for each seventh key."""
        self.keys.append(key)
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            for _ in range(self._turns(key)):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.flying -= 1
        if key % 7 == 6:
            raise MISSING
        return key * key


async def collect(
    keys: Iterable[int] | AsyncIterable[int],
    fetch: Callable[[int], Awaitable[int]],
    *,
    limit: int = 4,
    ordered: bool = False,
) -> list[Outcome]:
    """All outcomes in a list; no task is left behind."""
    outcomes = [outcome async for outcome in each(keys, fetch, limit=limit, ordered=ordered)]
    assert len(asyncio.all_tasks()) == 1
    return outcomes


def expected(keys: Iterable[int]) -> list[Outcome]:
    """What `Fetch` makes of the keys."""
    return [(key, MISSING if key % 7 == 6 else key * key) for key in keys]
