"""Lists: item by item, page by page, several pages at once, and all of a list that changes."""

from __future__ import annotations

import asyncio
import gc
import pickle
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from attrs import frozen
from fakes import ID, TOKEN, FakeClock, settle
from hypothesis import example, given
from hypothesis import strategies as st
from pages import Json, Pages, client_of_pages, messages, summaries, summary

from siteassist_async import (
    ClientClosedError,
    ConfigurationError,
    DeadlineExceededError,
    InternalServerError,
    InvalidIdError,
    Listing,
    NotFoundError,
    Page,
    Response,
    SiteAssist,
    SiteAssistError,
    UnusablePageError,
    UnusableResponseError,
)
from siteassist_async.emulator import Emulator, Status, conversation_ids
from siteassist_async.listing import MOST_AHEAD, Complete

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER = {"orderBy": "createdAt", "orderDir": "asc"}


async def ids_of(listing: Listing[Any]) -> list[str]:
    """The ids that a listing gives."""
    return [item.id async for item in listing]


async def collect(listing: Listing[Any], got: list[str]) -> None:
    """Keep the ids, those before an error too."""
    async for item in listing:
        got.append(item.id)  # noqa: PERF401 - one by one


async def pages_of(listing: Listing[Any], offset: int | None = None) -> list[Page[Any]]:
    """The pages that a listing gives."""
    return [page async for page in listing.pages(offset=offset)]


async def test_the_emulators_project_is_listed(clock: FakeClock) -> None:
    """Over a socket: for a screen by the latest interaction, and all of it by its age."""
    async with (
        Emulator(token=TOKEN, conversations=230, spelling="current") as api,
        SiteAssist(TOKEN, base_url=api.url, clock=clock) as client,
    ):
        found = [summary async for summary in client.conversations.list(limit=20)]
        times = [summary.last_interaction_at for summary in found]
        assert times == sorted(times, reverse=True)
        assert len(found) == 20
        every = [summary async for summary in client.conversations.every()]
        assert {summary.id for summary in every} == set(conversation_ids(230))
        assert [s.created_at for s in every] == sorted(s.created_at for s in every)
        whole = await client.conversations.get(found[0].id)
        assert whole.messages[-1] == found[0].last_message
        assert whole.title == found[0].title
        listed = [message async for message in client.messages.list(found[0].id, page_size=3)]
        assert tuple(listed) == whole.messages
        users = [m async for m in client.messages.list(found[0].id, role="user")]
        assert users == [message for message in whole.messages if message.role == "user"]


async def test_nothing_is_lost_of_a_project_that_changes(clock: FakeClock) -> None:
    """Nothing comes twice, and what is new comes at the end."""
    async with (
        Emulator(token=TOKEN, conversations=300, changing=True) as api,
        SiteAssist(TOKEN, base_url=api.url, clock=clock) as client,
    ):
        found = await ids_of(client.conversations.every(page_size=20))
        assert len(set(found)) == len(found) > 300
        assert set(found) >= set(conversation_ids(300))
        opened = await ids_of(client.conversations.every(status="open", page_size=20))
        assert 0 < len(opened) < len(found)
        dated = await ids_of(client.conversations.every(since=datetime(2026, 1, 1, tzinfo=UTC)))
        assert set(dated) == set(found[300:]) | set(dated)
        assert set(dated).isdisjoint(conversation_ids(300))


async def test_pages_say_where_they_are() -> None:
    """And where the next one begins."""
    server = Pages(summaries(25))
    async with client_of_pages(server) as client:
        pages = await pages_of(client.conversations.list(page_size=10))
        assert [(len(p.items), p.total, p.offset, p.next_offset) for p in pages] == [
            (10, 25, 0, 10),
            (10, 25, 10, 20),
            (5, 25, 20, None),
        ]
        again = await pages_of(client.conversations.list(page_size=10), offset=pages[1].next_offset)
        assert again == pages[2:]
        assert await pages_of(client.conversations.list(offset=20)) == pages[2:]
        past = await pages_of(client.conversations.every(offset=40))
        assert past == [Page((), 25, 40, None)]


@pytest.mark.parametrize(
    ("limit", "sizes"), [(0, []), (1, [1]), (10, [10]), (14, [10, 4]), (25, [10, 10, 5]), (99, 3)]
)
async def test_a_limit_bounds_the_items(limit: int, sizes: object) -> None:
    """And asks for no more than that, whatever the server sends."""
    server = Pages(summaries(25))
    async with client_of_pages(server) as client:
        listing = client.conversations.list(limit=limit, page_size=10)
        assert await ids_of(listing) == [item["id"] for item in server.items[:limit]]
        asked = [int(query["limit"]) for query in server.asked]
        assert (asked if limit < 99 else len(asked)) == sizes
        server.change = lambda page, offset, _: {**page, "data": server.items[offset:]}
        assert len(await ids_of(listing)) == min(25, limit)
        rest = [page async for page in listing.pages(offset=10)]
        assert sum(len(page.items) for page in rest) == max(0, min(25, limit) - 10)
    server = Pages(messages(25))
    async with client_of_pages(server) as client:
        listed = client.messages.list(ID, limit=limit, page_size=10)
        assert len(await ids_of(listed)) == min(25, limit)


async def test_what_is_asked_for() -> None:
    """Only the parameters that were given, by their names on the wire."""
    server = Pages([])
    async with client_of_pages(server) as client:
        await ids_of(client.conversations.list())
        await ids_of(
            client.conversations.list(
                status="open",
                order_by="last_interaction_at",
                descending=False,
                page_size=7,
                offset=3,
            )
        )
        await ids_of(client.conversations.list(order_by="created_at", descending=True))
        await ids_of(client.conversations.every(status="closed"))
        await ids_of(client.messages.list(ID, role="user", status="complete"))
    size = {"limit": "100", "offset": "0"}
    older = {"orderBy": "lastInteractionAt", "orderDir": "asc"}
    assert server.asked == [
        size,
        {"status": "open", **older, "limit": "7", "offset": "3"},
        {"orderBy": "createdAt", "orderDir": "desc", **size},
        {**ORDER, **size},
        {"role": "user", "status": "complete", "limit": "1000", "offset": "0"},
    ]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"status": "ajar"}, "status must be one of 'open', 'closed', not 'ajar'"),
    ({"order_by": "createdAt"}, "order_by must be one of 'id', 'created_at', .* not 'createdAt'"),
    ({"limit": -1}, "limit must be a whole number of 0 or more, not -1"),
    ({"limit": True}, "limit must be"),
    ({"page_size": 0}, "page_size must be a whole number from 1 to 100, not 0"),
    ({"page_size": 101}, "page_size must be"),
    ({"offset": "7"}, "offset must be a whole number of 0 or more, not '7'"),
]
WRONG_OF_ALL: list[tuple[dict[str, Any], str]] = [
    ({"status": "ajar"}, "status must be"),
    ({"page_size": 101}, "page_size must be"),
    ({"offset": 0.5}, "offset must be"),
    (
        {"since": datetime(2026, 2, 1, tzinfo=UTC), "until": datetime(2026, 1, 1, tzinfo=UTC)},
        "until must not be before since",
    ),
    ({"since": "2026-01-01"}, "since must be a datetime with its offset .* not '2026-01-01'"),
    ({"until": datetime(2026, 1, 1)}, "until must be a datetime with its offset"),  # noqa: DTZ001 - the point
]
WRONG_OF_MESSAGES: list[tuple[dict[str, Any], str]] = [
    ({"role": "robot"}, "role must be one of 'user', 'assistant', 'human_agent', not 'robot'"),
    ({"status": "done"}, "status must be one of 'complete', 'streaming', 'error', not 'done'"),
    ({"page_size": 1001}, "page_size must be a whole number from 1 to 1000, not 1001"),
    ({"limit": None, "offset": -1}, "offset must be"),
]


async def test_what_is_wrong_is_said_before_anything_is_sent() -> None:
    """By name and value, when the listing is made."""
    server = Pages([])
    async with client_of_pages(server) as client:
        for wrong, said in WRONG:
            with pytest.raises(ConfigurationError, match=said):
                client.conversations.list(**wrong)
        for wrong, said in WRONG_OF_ALL:
            with pytest.raises(ConfigurationError, match=said):
                client.conversations.every(**wrong)
        for wrong, said in WRONG_OF_MESSAGES:
            with pytest.raises(ConfigurationError, match=said):
                client.messages.list(ID, **wrong)
        with pytest.raises(InvalidIdError):
            client.messages.list("x")
        with pytest.raises(ConfigurationError, match="offset must be"):
            client.conversations.list().pages(offset=-1)
    assert server.asked == []


async def test_several_pages_at_once_come_in_order() -> None:
    """One alone at first: who reads a single page pays for a single request."""
    server = Pages(summaries(200))
    async with client_of_pages(server) as client:
        listing = client.conversations.list(page_size=5)
        async with aclosing(listing.pages()) as pages:
            await anext(pages)
            await settle()
            assert server.offsets == [0]
            seen = [page.offset async for page in pages]
        assert seen == list(range(5, 200, 5))
        assert sorted(server.offsets) == [0, *seen]
        assert server.most_waiting == MOST_AHEAD
        assert await ids_of(listing) == [item["id"] for item in server.items]


async def test_a_client_of_one_connection_has_one_request_in_flight() -> None:
    """Besides the one that the caller waits for, none waits in vain."""
    server = Pages(summaries(50))
    async with client_of_pages(server, concurrency=1) as client:
        assert len(await ids_of(client.conversations.every(page_size=5))) == 50
    assert server.most_waiting == 1


async def test_a_server_that_sends_less_than_asked_for() -> None:
    """The listing goes on by what was received, and several pages at once are used all the same."""
    server = Pages(summaries(200), most=7)
    async with client_of_pages(server) as client:
        for listing in (client.conversations.list(page_size=10), client.conversations.every()):
            server.asked.clear()
            assert await ids_of(listing) == [item["id"] for item in server.items]
            assert sorted(server.offsets) == list(range(0, 200, 7))


async def test_a_page_that_is_shorter_than_the_others() -> None:
    """What was asked for on a wrong assumption is thrown away."""
    server = Pages(summaries(100))

    def shorter(page: Json, offset: int, _: int) -> Json:
        return {**page, "data": page["data"][:3]} if offset in {20, 50} else page

    server.change = shorter
    async with client_of_pages(server) as client:
        pages = await pages_of(client.conversations.every(page_size=10))
        assert [i.id for page in pages for i in page.items] == [i["id"] for i in server.items]
        assert [page.offset for page in pages][:6] == [0, 10, 20, 23, 33, 43]


async def leave_by_break(listing: Listing[Any]) -> None:
    """As most people do."""
    async for _ in listing:
        break


async def leave_by_closing(listing: Listing[Any]) -> None:
    """As careful people do."""
    async with aclosing(listing.pages()) as pages:
        for _ in range(5):
            await anext(pages)


async def fail_at(listing: Listing[Any], offset: int) -> None:
    """Read up to a page."""
    async for page in listing.pages():
        if page.offset >= offset:
            raise KeyError(page)


async def leave_by_an_error(listing: Listing[Any]) -> None:
    """As bugs do."""
    with pytest.raises(KeyError):
        await fail_at(listing, 20)


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_closing, leave_by_an_error])
async def test_who_leaves_leaves_no_request(leave: Callable[..., Any]) -> None:
    """The tasks end, even those whose pages were assumed wrongly."""
    server = Pages(summaries(200))
    tasks = asyncio.all_tasks()
    async with client_of_pages(server) as client:
        await leave(client.conversations.every(page_size=5))
        gc.collect()
        await settle()
        assert asyncio.all_tasks() == tasks
        assert server.waiting == 0


async def test_a_cancelled_reader_leaves_no_request() -> None:
    """Whatever it is waiting for."""
    server = Pages(summaries(200))
    tasks = asyncio.all_tasks()
    async with client_of_pages(server) as client:

        async def read() -> None:
            async for page in client.conversations.list(page_size=5).pages():
                if page.offset == 50:
                    server.held.clear()

        reading = asyncio.create_task(read())
        await settle()
        assert server.waiting == MOST_AHEAD
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert asyncio.all_tasks() == tasks
        assert server.waiting == 0


async def test_closing_the_client_ends_a_listing() -> None:
    """With an error that says so, and where it was."""
    server = Pages(summaries(20))
    client = client_of_pages(server)
    pages = client.conversations.list(page_size=5).pages()
    await anext(pages)
    await client.close()
    client = SiteAssist(TOKEN, base_url="http://127.0.0.1:1/v2")
    await client.close()
    with pytest.raises(ClientClosedError) as caught:
        await ids_of(client.conversations.list(offset=3))
    assert caught.value.next_offset == 3
    await pages.aclose()


async def test_a_failed_page_says_where_to_go_on() -> None:
    """What came before it was given, and nothing of what comes after it."""
    server = Pages(summaries(50))

    def fails(page: Json, offset: int, _: int) -> object:
        return Response(500, {}, b"") if offset == 20 else page

    server.change = fails
    async with client_of_pages(server) as client:
        for listing in (
            client.conversations.list(page_size=5),
            client.conversations.every(page_size=5),
        ):
            got: list[str] = []
            with pytest.raises(InternalServerError, match="continue at offset 20") as caught:
                await collect(listing, got)
            error = caught.value
            assert (error.next_offset, len(got)) == (20, 20)
            assert pickle.loads(pickle.dumps(error)).next_offset == 20
            server.change = None
            rest = await pages_of(listing, offset=error.next_offset)
            got += [item.id for page in rest for item in page.items]
            assert got == [item["id"] for item in server.items]
            server.change = fails
    assert SiteAssistError().next_offset is None


async def test_a_failed_page_is_asked_for_again(clock: FakeClock) -> None:
    """As any call is, and the deadline is that of each page."""
    async with (
        Emulator(token=TOKEN, conversations=30) as api,
        SiteAssist(TOKEN, base_url=api.url, clock=clock, deadline=30) as client,
    ):
        api.script_pages(Status(503, retry_after=5), Status(500))
        assert len(await ids_of(client.conversations.every(page_size=10))) == 30
        assert api.counters.requests == 5
        api.script_pages(Status(503, retry_after=25), Status(503, retry_after=25))
        with pytest.raises((DeadlineExceededError, SiteAssistError)) as caught:
            await ids_of(client.conversations.list())
        assert caught.value.next_offset == 0


async def test_a_listing_is_bulk_work_if_it_is_whole() -> None:
    """Calls of others go first; a list on a screen is a call of its own."""
    server = Pages([])
    kinds: list[bool] = []

    async def note(request: Any, send: Any) -> Response:  # noqa: ANN401 - as any middleware
        kinds.append(request.bulk)
        return await server(request, send)

    async with client_of_pages(server).with_options(middleware=[note]) as client:
        await ids_of(client.conversations.list())
        await ids_of(client.conversations.every())
        await ids_of(client.messages.list(ID))
    assert kinds == [False, True, False]


async def test_a_full_listing_filters_what_it_gets() -> None:
    """By status and age; the pages keep their offsets and the total of all."""
    items = [
        {**item, "status": "closed" if number % 2 else "open"}
        for number, item in enumerate(summaries(30))
    ]
    server = Pages(items)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    async with client_of_pages(server) as client:
        every = client.conversations.every
        closed = [item["id"] for item in items[1::2]]
        assert await ids_of(every(status="closed")) == closed
        pages = await pages_of(every(status="closed", page_size=10))
        assert [(len(p.items), p.total, p.offset) for p in pages] == [
            (5, 30, 0),
            (5, 30, 10),
            (5, 30, 20),
        ]
        since, until = start + timedelta(minutes=5), start + timedelta(minutes=8)
        wanted = [item["id"] for item in items[5:8]]
        assert await ids_of(every(since=since, until=until)) == wanted
        assert await ids_of(every(since=since)) == [item["id"] for item in items[5:]]


async def test_an_id_comes_once() -> None:
    """In a full listing, as equal times have no order; a list for a screen gives what it gets."""
    items = summaries(12)
    items[5] = items[4]
    items[9] = items[2]
    server = Pages([*items, items[11]])
    async with client_of_pages(server) as client:
        found = await ids_of(client.conversations.every(page_size=5))
        assert len(set(found)) == len(found) == 10
        assert len(await ids_of(client.conversations.list(page_size=5))) == 13


@frozen
class Dated:
    """An item of a list."""

    id: str
    created_at: datetime


def dated(number: int, time: int) -> Dated:
    """An item, and a number for its time."""
    return Dated(str(number), datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time))


@given(
    times=st.lists(st.integers(0, 20), min_size=20, max_size=20) | st.just([*range(20)]),
    pages=st.lists(
        st.lists(st.integers(0, 19), max_size=5)
        | st.integers(0, 15).map(lambda first: [*range(first, first + 5)]),
        max_size=12,
    ),
    few=st.sampled_from([0, 1_000]),
)
@example([*range(20)], [[0], [5], [6], [5, 8], [0, 9]], 1_000)
@example([*range(20)], [[0], [5], [5, 6], [7], [7, 8]], 0)
def test_an_id_that_was_there_is_noticed_in_any_order(
    times: list[int], pages: list[list[int]], few: int
) -> None:
    """Whatever pages come, in order or not: each item is kept the first time."""
    watch = Complete[Dated](None)
    seen: set[int] = set()
    for page in pages:
        items = [dated(number, times[number]) for number in page]
        fresh = [number for number in dict.fromkeys(page) if number not in seen]
        with patch("siteassist_async.listing.FEW", few):
            if page and not fresh:
                with pytest.raises(UnusablePageError, match="listed before"):
                    watch.keep(items)
            else:
                assert [int(item.id) for item in watch.keep(items)] == fresh
        seen.update(page)


@pytest.mark.parametrize("step", [1, 0, -1])
def test_the_ids_that_are_remembered_are_limited(
    monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The memory of a full listing does not depend on its length, nor on its order."""
    monkeypatch.setattr("siteassist_async.listing.REMEMBERED", 10)
    watch = Complete[Dated](None)

    def keep(*numbers: int) -> list[int]:
        return [int(item.id) for item in watch.keep([dated(n, n * step) for n in numbers])]

    for number in range(100):
        found = keep(number, number + 1, number + 1)
        assert found == ([number + 1] if number else [0, 1])
        assert sum(page.count for page in vars(watch)["_pages"]) <= 10
        assert len(vars(watch)["_seen"]) <= 10
    with pytest.raises(UnusablePageError):
        keep(95)


def test_the_ids_of_items_in_order_are_limited_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are kept for a repetition that may come."""
    monkeypatch.setattr("siteassist_async.listing.REMEMBERED", 10)
    watch = Complete[Dated](None)
    for number in range(0, 100, 2):
        watch.keep([dated(number, number), dated(number + 1, number + 1)])
        assert sum(page.count for page in vars(watch)["_pages"]) <= 10
    with pytest.raises(UnusablePageError):
        watch.keep([dated(90, 90)])
    assert [item.id for item in watch.keep([dated(89, 89)])] == ["89"]


def test_many_ids_to_look_up_are_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it takes long to read them anew where pages in order and others take turns."""
    monkeypatch.setattr("siteassist_async.listing.FEW", 3)
    watch = Complete[Dated](None)
    for numbers, looked_up in (([0, 1], 0), ([1, 2], 3), ([3], 0), ([0, 4], 5), ([5, 6], 7)):
        watch.keep([dated(number, number) for number in numbers])
        assert len(vars(watch)["_seen"]) == looked_up


def test_ids_are_not_looked_up_while_items_are_in_order() -> None:
    """After a repetition, the set is empty again with the next page in order."""
    watch = Complete[Dated](None)
    for numbers, looked_up in (([0, 1], 0), ([1, 2], 3), ([3, 4], 0), ([4, 5], 3), ([6], 0)):
        watch.keep([dated(number, number) for number in numbers])
        assert len(vars(watch)["_seen"]) == looked_up


async def refused(listing: Listing[Any], says: str, offset: int) -> None:
    """A listing ends with an error."""
    with pytest.raises(UnusablePageError, match=says) as caught:
        await ids_of(listing)
    assert caught.value.next_offset == offset
    assert isinstance(caught.value, UnusableResponseError)


async def test_an_offset_that_was_not_asked_for_is_refused() -> None:
    """In any list: its pages are others than they seem to be."""
    server = Pages(summaries(20))
    server.change = lambda page, offset, _: {**page, "offset": 0 if offset else offset}
    async with client_of_pages(server) as client:
        said = "asked for the page at offset 5, got the one at 0"
        await refused(client.conversations.list(page_size=5), said, 5)
        await refused(client.conversations.every(page_size=5), said, 5)


async def test_a_server_that_ignores_offsets_is_refused() -> None:
    """Where each page is the first one, a listing would never end, or lack the others."""
    server = Pages(summaries(20))
    server.change = lambda page, _, limit: {**page, "data": server.items[:limit]}
    async with client_of_pages(server) as client:
        await refused(client.conversations.every(page_size=5), "listed before", 5)
    server = Pages(messages(20))
    server.change = lambda page, _, limit: {**page, "data": server.items[:limit]}
    async with client_of_pages(server) as client:
        await refused(client.messages.list(ID, page_size=5), "listed before", 5)
        assert len(await ids_of(client.messages.list(ID))) == 20


async def test_an_empty_page_in_the_middle_is_refused() -> None:
    """By a full listing, if there are others after it; if there are none, the total was wrong."""
    server = Pages(summaries(20))
    server.change = lambda page, offset, _: {**page, "data": []} if offset == 10 else page
    async with client_of_pages(server) as client:
        await refused(client.conversations.every(page_size=5), "offset 10 is empty", 10)
        assert len(await ids_of(client.conversations.list(page_size=5))) == 10
        server.change = lambda page, _offset, _limit: {**page, "total": 99}
        assert len(await ids_of(client.conversations.every(page_size=5))) == 20
        assert len(await ids_of(client.conversations.list(page_size=5))) == 20


@pytest.mark.parametrize("totals", [[20, 15, 12, 30], [5, 5, 5, 5], [0, 0, 0, 0], [99, 20, 20, 20]])
async def test_a_total_that_moves_loses_nothing(totals: list[int]) -> None:
    """A full listing believes none that is less than what it got."""
    server = Pages(summaries(20))
    moving = {0: 0, 5: 1, 10: 2, 15: 3}
    server.change = lambda page, at, _: {**page, "total": totals[moving.get(at, 3)]}
    async with client_of_pages(server) as client:
        if totals[0] != 5:  # a total that is reached exactly is the end
            assert len(await ids_of(client.conversations.every(page_size=5))) == 20


async def test_what_comes_while_it_is_listed_comes_at_the_end() -> None:
    """The latest total decides."""
    server = Pages(summaries(30))
    more = server.items[20:]
    del server.items[20:]

    def grow(page: Json, offset: int, _: int) -> Json:
        if offset == 15 and more:
            server.items += more[:7]
            more.clear()
        return {**page, "total": len(server.items)}

    server.change = grow
    async with client_of_pages(server) as client:
        assert len(await ids_of(client.conversations.every(page_size=5))) == 27


async def test_messages_end_with_a_short_page() -> None:
    """There is no total: one request for all but the longest conversations."""
    for count, requests in ((0, 1), (7, 1), (10, 2), (25, 3)):
        server = Pages(messages(count))
        async with client_of_pages(server) as client:
            pages = await pages_of(client.messages.list(ID, page_size=10))
        assert [m.id for page in pages for m in page.items] == [m["id"] for m in server.items]
        assert len(server.asked) == requests
        assert pages[0].total is None
        assert pages[-1].next_offset is None


async def test_messages_of_no_conversation(clock: FakeClock) -> None:
    """As that conversation itself."""
    async with (
        Emulator(token=TOKEN) as api,
        SiteAssist(TOKEN, base_url=api.url, clock=clock) as client,
    ):
        api.missing(ID)
        with pytest.raises(NotFoundError) as caught:
            await ids_of(client.messages.list(ID.upper()))
        assert caught.value.next_offset == 0


async def test_odd_ids_are_kept_apart() -> None:
    """What is not a UUID is an item like any other."""
    ids = ["a", "A", "a_", "0xa", " a", ""]
    server = Pages([summary(id_) for id_ in ids])
    async with client_of_pages(server) as client:
        assert await ids_of(client.conversations.every(page_size=2)) == ids
