"""Listing: all conversations of a project in pages, beside a hand-written loop with msgspec."""

from __future__ import annotations

import asyncio
from datetime import datetime  # noqa: TC003 - msgspec reads annotations when the program runs
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Literal

import aiohttp
import msgspec
import with_msgspec  # noqa: TC002 - as above
from outcome import Outcome, Table, Target, parse, publish
from rounds import FULL, QUICK, Clock, Results, Spent, Stopwatch, play
from server import TOKEN, Site, listing

from siteassist_async import SiteAssist

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

COUNT, PAGE = 100_000, 100
CLOCKS: dict[Clock, str] = {"cpu": "CPU time a page", "wall": "Wall time a page"}

BY_HAND = "aiohttp loop by hand, msgspec's structs"
EVERY = "siteassist_async, every"
LIST = "siteassist_async, list"


class Summary(msgspec.Struct, rename="camel"):
    """A conversation as it is listed."""

    object: Literal["conversation"]
    id: str
    created_at: datetime
    updated_at: datetime
    status: str
    last_interaction_at: datetime
    closed_at: datetime | None = None
    close_reason: str | None = None
    is_human_handled: bool = False
    human_agent: with_msgspec.HumanAgent | None = None
    title: str | None = None
    last_message: with_msgspec.Message | None = None


class Page(msgspec.Struct):
    """A page of them."""

    data: list[Summary]
    total: int
    offset: int


async def by_hand(site: Site) -> int:
    """Read all pages, one after another."""
    decode = msgspec.json.Decoder(Page).decode
    headers = {"Authorization": f"Bearer {TOKEN}"}
    found = offset = 0
    async with aiohttp.ClientSession(headers=headers) as session:
        while True:
            async with session.get(
                f"{site.base_url}/conversations",
                params={
                    "orderBy": "createdAt",
                    "orderDir": "asc",
                    "limit": PAGE,
                    "offset": offset,
                },
            ) as response:
                response.raise_for_status()
                page = decode(await response.read())
            for _ in page.data:
                found += 1
            offset += len(page.data)
            if not page.data or offset >= page.total:
                return found


async def ours(site: Site, *, every: bool) -> int:
    """Read all pages, several at once."""
    found = 0
    async with SiteAssist(TOKEN, base_url=site.base_url) as client:
        conversations = client.conversations
        async for _ in conversations.every() if every else conversations.list():
            found += 1
    return found


CONTENDERS: dict[str, Callable[[Site], Awaitable[int]]] = {
    BY_HAND: by_hand,
    EVERY: partial(ours, every=True),
    LIST: partial(ours, every=False),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = parse(__doc__ or "", argv, ids=COUNT)
    effort = QUICK if options.effort is QUICK else FULL
    # The ratios of single rounds vary by a quarter, so three times as many as usual.
    publish(measure(options.ids, 3 * effort.rounds), options.json)


def measure(count: int, rounds: int) -> Outcome:
    """List so many conversations by each contender in each round."""
    with listing(count) as server:
        kind, site = server.kind, server.sites[0]
        runs = {name: partial(_run, read, site, count) for name, read in CONTENDERS.items()}
        results = play(runs, rounds, Random(count))
    rows: dict[str, list[float | None]] = {
        name: [
            value
            for clock in CLOCKS
            for value in (
                results.microseconds(name, clock),
                results.cost(name, BY_HAND, clock).median,
            )
        ]
        for name in CONTENDERS
    }
    title = f"{count:,} conversations in pages of {PAGE}, each with its last message ({kind})"
    columns = [name for words in CLOCKS.values() for name in (f"{words}, µs", "x by hand")]
    return Outcome("listing", [Table(title, columns, rows)], [*_targets(results)])


def _targets(results: Results) -> list[Target]:
    return [
        Target(f"{name}, CPU, x {BY_HAND}", results.cost(name, BY_HAND).median, at_most=1.3)
        for name in (EVERY, LIST)
    ]


def _run(read: Callable[[Site], Awaitable[int]], site: Site, count: int) -> Spent:
    async def timed() -> Spent:
        with Stopwatch() as watch:
            found = await read(site)
        if found != count:
            raise AssertionError(f"{found:,} of {count:,}")
        return watch.spent / max(1, count // PAGE)

    return asyncio.run(timed())


if __name__ == "__main__":
    main()
