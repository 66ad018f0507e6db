"""A list of conversations or messages in memory, which a client asks for pages of."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from contract_bodies import NOON, wire, wire_message
from fakes import ID, ONCE, TOKEN, FakeClock, FakePacer

from siteassist_async import Response, SiteAssist
from siteassist_async.emulator import conversation_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from siteassist_async import Request, Send

Json = dict[str, Any]


def summary(conversation_id: str, **changes: object) -> Json:
    """A conversation as it is listed."""
    listed = {**wire(id=conversation_id, lastInteractionAt=NOON), "lastMessage": None, **changes}
    return {
        key: value for key, value in listed.items() if key not in {"messages", "lastInterationAt"}
    }


def summaries(count: int) -> list[Json]:
    """So many conversations, a minute between each two."""
    return [
        summary(id_, createdAt=f"2026-01-01T{n // 60:02}:{n % 60:02}:00.000Z")
        for n, id_ in enumerate(conversation_ids(count))
    ]


def messages(count: int) -> list[Json]:
    """So many messages of the documented conversation."""
    return [wire_message(id=f"m{n}", chatId=ID) for n in range(count)]


class Pages:
    """Middleware that answers with pages of `items`, and keeps what it was asked for.

    Attributes:
        asked: The queries.
        most: Items in a page, whatever is asked for.
        change: Called with the page and what was asked for before it is sent; may return another.
        held: Requests wait while this is not set.
        waiting: The requests that wait.
    """

    def __init__(self, items: Sequence[Json], *, most: int = 1000) -> None:
        self.items = list(items)
        self.asked: list[dict[str, str]] = []
        self.most = most
        self.change: Callable[[Json, int, int], object] | None = None
        self.held = asyncio.Event()
        self.held.set()
        self.waiting = self.most_waiting = 0

    @property
    def offsets(self) -> list[int]:
        """The offsets asked for."""
        return [int(query["offset"]) for query in self.asked]

    async def __call__(self, request: Request, send: Send) -> Response:
        """Send nothing on."""
        del send
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}
        self.asked.append(query)
        self.waiting += 1
        self.most_waiting = max(self.waiting, self.most_waiting)
        try:
            await self.held.wait()
            await asyncio.sleep(0)
        finally:
            self.waiting -= 1
        offset, limit = int(query["offset"]), int(query["limit"])
        data = self.items[offset : offset + min(limit, self.most)]
        page: Json = {"object": "list", "data": data}
        if not request.subject:
            page |= {"total": len(self.items), "limit": limit, "offset": offset}
        sent = page if self.change is None else self.change(page, offset, limit)
        return sent if isinstance(sent, Response) else Response(200, {}, json.dumps(sent).encode())


def client_of_pages(pages: Pages, *, concurrency: int = 32) -> SiteAssist:
    """A client that asks for these pages."""
    return SiteAssist(
        TOKEN,
        base_url="http://127.0.0.1:1/v2",
        middleware=[pages],
        retry=ONCE,
        concurrency=concurrency,
        clock=FakeClock(),
        pacer=FakePacer(),
    )
