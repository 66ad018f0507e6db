"""Listings: lists that the API sends in pages, read item by item or page by page."""

from __future__ import annotations

import asyncio
import marshal
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from operator import lt
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, get_args

from siteassist_async.errors import ConfigurationError, SiteAssistError, UnusablePageError
from siteassist_async.immutable import frozen, immutable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

T = TypeVar("T")

REMEMBERED = 100_000
"""IDs that a full listing remembers.

In pages of 100 they take about 4 MB, and 13 MB more if all have to be looked up.
"""

FEW = 1_000
"""IDs that are forgotten again if they do not have to be looked up any more."""

MOST_AHEAD = 4
"""Pages in flight or waiting for the caller, at most.

Enough for 4,000 conversations a second at a latency of 0.1 s. With more, decoded pages are out of
the processor's cache before they are read.
"""


@frozen
class Page(Generic[T]):
    """A page of a list.

    Attributes:
        items: The items, without those that the listing leaves out.
        total: Items in the list, those left out included; None where the API does not say.
        offset: The number of items before the page.
        next_offset: Where the next page begins; None for the last page. A later
            `pages(offset=next_offset)` continues there.
    """

    items: tuple[T, ...]
    total: int | None
    offset: int
    next_offset: int | None


@frozen
class Sent(Generic[T]):
    """A page as it was sent, with its total and offset if the API names them."""

    items: Sequence[T]
    total: int | None = None
    offset: int | None = None


class Watch(Protocol[T]):
    """Watches one walk through a list for contradictions.

    Attributes:
        is_complete: Whether the walk may end only where nothing can be missing.
    """

    is_complete: bool

    def keep(self, items: Sequence[T]) -> Sequence[T]:
        """Return those items of the next page that the caller gets.

        Raises:
            UnusablePageError: The page was there before.
        """
        ...


class Item(Protocol):
    """What has an ID."""

    @property
    def id(self) -> str:
        """The ID."""
        ...


class Dated(Item, Protocol):
    """What has an ID and a time."""

    @property
    def created_at(self) -> datetime:
        """The time, which never changes."""
        ...


ItemT = TypeVar("ItemT", bound=Item)
DatedT = TypeVar("DatedT", bound=Dated)


class Anything(Generic[T]):
    """For a list in any order, which may change in any way as it is read."""

    is_complete = False

    def keep(self, items: Sequence[T]) -> Sequence[T]:
        """Keep all."""
        return items


class Growing(Generic[ItemT]):
    """For a list that only grows, at its end: a page that is like the last one is a repetition."""

    is_complete = False

    def __init__(self) -> None:
        self._last: frozenset[str] = frozenset()

    def keep(self, items: Sequence[ItemT]) -> Sequence[ItemT]:
        """Keep all."""
        ids = frozenset([item.id for item in items])
        if ids and ids <= self._last:
            raise _repetition()
        self._last = ids
        return items


@immutable
class _Before:
    """What is remembered of a page: its latest time, the number of its items, and their IDs."""

    latest: datetime
    count: int
    ids: bytes


class Complete(Generic[DatedT]):
    """For a list of which nothing may be missed, the oldest first; remembers the last IDs.

    An item that comes again has the time that it had before. So IDs are kept in a compact form, and
    compared only where times are not in order: among items of the same millisecond, or if the list
    shifts. A set of all IDs would take three times the memory, and be out of the processor's cache.
    """

    is_complete = True

    def __init__(self, wanted: Callable[[DatedT], bool] | None) -> None:
        self._wanted = wanted
        self._pages: deque[_Before] = deque()
        self._count = 0
        self._latest = datetime.min.replace(tzinfo=UTC)
        self._seen: set[str] = set()
        self._since: datetime | None = None

    def keep(self, items: Sequence[DatedT]) -> Sequence[DatedT]:
        """Keep those that are wanted and were not there before."""
        fresh, times = items, [item.created_at for item in items]
        if all(map(lt, [self._latest, *times], times)):
            if len(self._seen) > FEW:
                self._seen.update([item.id for item in items])
            else:
                self._seen.clear()
                self._since = None
        else:
            times.sort()
            self._look_back(times[0])
            fresh = _unseen(items, self._seen)
            if not fresh:
                raise _repetition()
        if times:
            self._latest = max(self._latest, times[-1])
            self._remember(times[-1], [item.id for item in fresh])
        return fresh if self._wanted is None else list(filter(self._wanted, fresh))

    def _look_back(self, since: datetime) -> None:
        """Have the IDs of all pages that end at this time or later in the set."""
        until = self._since
        if until is None or since < until:
            self._since = since
            for page in self._pages:
                if since <= page.latest and (until is None or page.latest < until):
                    self._seen.update(marshal.loads(page.ids))  # noqa: S302 - written below

    def _remember(self, latest: datetime, ids: list[str]) -> None:
        self._pages.append(_Before(latest, len(ids), marshal.dumps(ids)))
        self._count += len(ids)
        while self._count > REMEMBERED:
            page = self._pages.popleft()
            self._count -= page.count
            if self._seen:
                self._seen.difference_update(marshal.loads(page.ids))  # noqa: S302 - written above


def _unseen(items: Sequence[ItemT], seen: set[str]) -> Sequence[ItemT]:
    """Return the items whose IDs are not in the set, and add them to it."""
    fresh: list[ItemT] = []
    for item in items:
        if item.id not in seen:
            seen.add(item.id)
            fresh.append(item)
    return fresh


def _repetition() -> UnusablePageError:
    message = "every item of the page was listed before: the server may ignore the offset"
    return UnusablePageError(message, path="data")


def one_of(name: str, value: str, allowed: object) -> str:
    """Check a value that may be one of a `Literal`.

    Raises:
        ConfigurationError: It is another one.
    """
    if value in get_args(allowed):
        return value
    choices = ", ".join(map(repr, get_args(allowed)))
    raise ConfigurationError(f"{name} must be one of {choices}, not {value!r}")


def whole(name: str, value: object, least: int, most: int | None = None) -> int:
    """Check a number of items.

    Raises:
        ConfigurationError: It is not a whole number within the bounds.
    """
    if type(value) is int and least <= value and (most is None or value <= most):
        return value
    bounds = f"from {least} to {most}" if most is not None else f"of {least} or more"
    raise ConfigurationError(f"{name} must be a whole number {bounds}, not {value!r}")


class Listing(Generic[T]):
    """A list that is fetched in pages, as it is read: `async for item in listing`.

    Each loop starts anew. Nothing is fetched before the first item or page is asked for; after the
    first page, up to four pages are fetched at once where the API names the total, and given in
    order. Leaving the loop cancels the requests in flight: at once if the generator is closed (use
    `contextlib.aclosing(listing.pages())`), otherwise when it is garbage-collected. The client's
    `deadline` applies to each page.

    Every error has `next_offset`, the offset of the page that failed: what came before it was
    given, and `pages(offset=error.next_offset)` goes on from there.
    """

    def __init__(  # noqa: PLR0913 - the options of a listing, each by its name
        self,
        fetch: Callable[[int, int], Awaitable[Sent[T]]],
        watch: Callable[[], Watch[T]],
        *,
        page_size: int,
        offset: int = 0,
        limit: int | None = None,
        at_once: int = 1,
    ) -> None:
        self._fetch = fetch
        self._watch = watch
        self._page_size = page_size
        self._offset = offset
        self._limit = limit
        self._at_once = min(MOST_AHEAD, at_once)

    async def __aiter__(self) -> AsyncGenerator[T, None]:
        async with aclosing(self.pages()) as pages:
            async for page in pages:
                for item in page.items:
                    yield item

    def pages(self, *, offset: int | None = None) -> AsyncGenerator[Page[T], None]:
        """Read page by page, from an offset instead of the listing's own, to the same end.

        Raises:
            ConfigurationError: The offset is not a whole number of 0 or more.
        """
        return self._pages(self._offset if offset is None else whole("offset", offset, 0))

    async def _pages(self, start: int) -> AsyncGenerator[Page[T], None]:
        end = None if self._limit is None else self._offset + self._limit
        if end is not None and end <= start:
            return
        watch, ahead = self._watch(), _Ahead(self._fetch, self._page_size, end, self._at_once)
        at: int | None = start
        try:
            while at is not None:
                try:
                    sent = await ahead.get(at)
                    page = await self._page(sent, at, end, watch)
                except SiteAssistError as error:
                    error.next_offset = at
                    raise
                ahead.fill(page, len(sent.items))
                yield page
                at = page.next_offset
        finally:
            await ahead.stop()

    async def _page(self, sent: Sent[T], at: int, end: int | None, watch: Watch[T]) -> Page[T]:
        """Check a page against what came before it, and find out where the next one begins."""
        if sent.offset not in {None, at}:
            raise UnusablePageError(
                f"asked for the page at offset {at}, got the one at {sent.offset}", path="offset"
            )
        items = sent.items if end is None else sent.items[: end - at]
        kept = tuple(watch.keep(items))
        following, received, total = at + len(items), len(sent.items), sent.total
        if following == end:
            is_last = True
        elif total is None:
            is_last = received < self._page_size
        elif not watch.is_complete:
            is_last = received == 0 or at + received >= total
        else:
            if received == 0 and at < total and (await self._fetch(total - 1, 1)).items:
                raise UnusablePageError(
                    f"the page at offset {at} is empty, but others come after it", path="data"
                )
            # A total that is less than what was received is wrong: there may be more.
            is_last = received == 0 or at + received == total
        return Page(kept, total, at, None if is_last else following)


class _Ahead(Generic[T]):
    """Fetches pages before they are asked for, on the assumption that each is as long as the last.

    A page that was fetched in vain, because one before it was shorter or longer, is discarded.
    """

    def __init__(
        self,
        fetch: Callable[[int, int], Awaitable[Sent[T]]],
        page_size: int,
        end: int | None,
        at_once: int,
    ) -> None:
        self._fetch = fetch
        self._page_size = page_size
        self._end = end
        self._at_once = at_once
        self._width = 0
        self._tasks: deque[tuple[int, asyncio.Task[Sent[T]]]] = deque()
        self._dropped: set[asyncio.Task[Sent[T]]] = set()

    async def get(self, offset: int) -> Sent[T]:
        """Return the page at an offset."""
        if self._tasks and self._tasks[0][0] != offset:
            self._drop()
        if not self._tasks:
            return await self._request(offset)
        return await self._tasks.popleft()[1]

    def fill(self, page: Page[T], received: int) -> None:
        """Fetch what is expected to come after a page; nothing after the first.

        Who reads a single page pays for a single request.
        """
        if page.next_offset is None or page.total is None:
            return
        at = self._tasks[-1][0] + received if self._tasks else page.next_offset
        last = page.total if self._end is None else min(page.total, self._end)
        while len(self._tasks) < self._width and at < last:
            task = asyncio.get_running_loop().create_task(self._request(at))
            self._tasks.append((at, task))
            at += received
        self._width = min(self._at_once, 2 * self._width or 1)

    async def stop(self) -> None:
        """Cancel what is in flight, and wait for it to end."""
        self._drop()
        await asyncio.gather(*self._dropped, return_exceptions=True)

    async def _request(self, offset: int) -> Sent[T]:
        size = self._page_size
        if self._end is not None:
            size = min(size, self._end - offset)
        return await self._fetch(offset, size)

    def _drop(self) -> None:
        for _, task in self._tasks:
            task.cancel()
            self._dropped.add(task)
            task.add_done_callback(self._ended)
        self._tasks.clear()
        self._width = 1

    def _ended(self, task: asyncio.Task[Sent[T]]) -> None:
        self._dropped.discard(task)
        if not task.cancelled():
            task.exception()  # mark it as retrieved: nobody wants this page any more
