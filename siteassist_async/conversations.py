"""The conversations resource: fetch one conversation or any number of them, and list them."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from siteassist_async.codec import (
    check_requested,
    decode_requested,
    decode_summaries,
    order_name,
    record_requested,
)
from siteassist_async.errors import ConfigurationError, SiteAssistError
from siteassist_async.ids import parse_id
from siteassist_async.immutable import frozen
from siteassist_async.listing import Anything, Complete, Listing, Sent, one_of, whole
from siteassist_async.models import Conversation, ConversationSummary
from siteassist_async.parking import parking
from siteassist_async.wire import Operation, Response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable

    from siteassist_async.clock import Clock
    from siteassist_async.events import Event
    from siteassist_async.wire import MakeRequest


def _checked(response: Response, conversation_id: str) -> Response:
    check_requested(response.body, conversation_id)
    return response


def _page(response: Response, _: str) -> Sent[ConversationSummary]:
    page = decode_summaries(response.body)
    return Sent(page.data, page.total, page.offset)


# One endpoint, and the ways to read its response.
_GET = "conversations.get", "GET", "/conversations/{id}"
GET = Operation(*_GET, lambda response, asked: decode_requested(response.body, asked))
GET_RAW = Operation(*_GET, _checked)
GET_RECORD = Operation(*_GET, lambda response, asked: record_requested(response.body, asked))
GET_WEIGHED = Operation(
    *_GET,
    lambda response, asked: (decode_requested(response.body, asked), len(response.body)),
)

LIST = Operation("conversations.list", "GET", "/conversations", _page)

ListedStatus = Literal["open", "closed"]
"""A status that conversations can be listed by."""

OrderBy = Literal[
    "id",
    "created_at",
    "updated_at",
    "last_interaction_at",
    "status",
    "closed_at",
    "is_human_handled",
    "title",
]
"""An attribute that conversations can be listed in the order of."""

_OLDEST_FIRST = {"orderBy": "createdAt", "orderDir": "asc"}

MOST_SUMMARIES = 100
"""The documented maximum of conversations in one page."""


@frozen
class Fetched:
    """A successful outcome of `get_many`; `id` is the ID as it was given."""

    id: str
    conversation: Conversation


@frozen
class Failed:
    """A failed outcome of `get_many`; `id` is the ID as it was given."""

    id: str
    error: SiteAssistError


class Conversations:
    """The conversations of a project: `client.conversations`.

    An ID is a UUID, or its text in upper or lower case. All calls share the client's connections,
    slots and pacer. Besides the errors documented below, each may raise any of
    `siteassist_async.errors`.
    """

    def __init__(
        self,
        request: MakeRequest,
        *,
        concurrency: int,
        clock: Clock,
        emit: Callable[[Event], None],
    ) -> None:
        self._request = request
        self._concurrency = concurrency
        self._clock = clock
        self._emit = emit

    async def get(self, conversation_id: str | UUID) -> Conversation:
        """Fetch one conversation with its messages.

        Raises:
            InvalidIdError: The ID is not a UUID; nothing was sent.
            NotFoundError: There is no such conversation.
            DeadlineExceededError: The client's `deadline` passed, which includes waits and retries.
        """
        return await self._request(GET, parse_id(conversation_id))

    async def get_raw(self, conversation_id: str | UUID) -> Response:
        """Fetch one conversation undecoded: status, headers and body.

        The body is checked to be JSON and the requested conversation; nothing else in it is
        validated. Raises the errors of `get`.
        """
        return await self._request(GET_RAW, parse_id(conversation_id))

    async def get_record(self, conversation_id: str | UUID) -> bytes:
        """Fetch one conversation as a line of a JSON-lines file, without its line break.

        The JSON is exactly what the server sent, including unknown fields; only line breaks between
        its tokens are removed. It is meant for bulk work: it waits for as long as the API asks, and
        interactive calls go first.
        """
        return await self._request(GET_RECORD, parse_id(conversation_id), bulk=True)

    def get_many(
        self,
        ids: Iterable[str | UUID] | AsyncIterable[str | UUID],
        *,
        ordered: bool = False,
        wait: float = 300.0,
    ) -> AsyncGenerator[Fetched | Failed, None]:
        """Fetch many conversations concurrently, yielding one outcome per ID as it completes.

        IDs are read only as fast as they are fetched, and the outcomes that wait for the caller are
        limited in number and in bytes, so memory use does not depend on the number of IDs. An ID
        that comes again while it is in flight shares that request. With `ordered`, outcomes come in
        the order of the IDs. The client's `deadline` applies to each ID separately; without one, an
        ID waits for as long as the API asks, while others are fetched. Calls of `get` go first.

        A failure is yielded only if it is documented to be about that ID, or if other IDs succeed;
        in the latter case the ID is requested once more first. After 20 failures in a row (100 if
        no ID has succeeded yet), an ID that succeeded before is requested again. If that fails
        too, there is an outage: no further IDs are read until a request succeeds.

        Leaving the loop cancels the requests in flight: at once if the generator is closed (use
        `contextlib.aclosing`), otherwise when it is garbage-collected.

        ```python
        import asyncio

        from siteassist_async import Failed, Fetched, SiteAssist


        async def main(ids: list[str]) -> None:
            async with SiteAssist() as client:
                async for outcome in client.conversations.get_many(ids):
                    match outcome:
                        case Fetched(id=id, conversation=conversation):
                            print(id, conversation.status)
                        case Failed(id=id, error=error):
                            print(id, error)


        asyncio.run(main(["123e4567-e89b-12d3-a456-426614174000"]))
        ```

        Args:
            ids: Any iterable, async iterable or async iterator; read in one task and one context.
            ordered: Yield in the order of the IDs.
            wait: Seconds to wait through an outage before OutageError is raised. IDs that failed
                during the outage then have no outcome, because nothing is known about them.

        Raises:
            AuthenticationError: The token is rejected, which is confirmed by a second request: for
                an ID that succeeded before or, if there is none, for the same ID.
            PaymentRequiredError: The project's plan does not allow it; confirmed in the same way.
            OutageError: No request succeeded for `wait` seconds.
            ConfigurationError: `ids` is a single ID.
        """
        if isinstance(ids, str | bytes | UUID):
            raise ConfigurationError(
                f"get_many takes an iterable of IDs, not a single {type(ids).__name__}: "
                "use get, or pass a list"
            )
        return self._get_many(ids, ordered=ordered, wait=wait)

    def list(  # noqa: PLR0913 - the documented parameters, each by its name
        self,
        *,
        status: ListedStatus | None = None,
        order_by: OrderBy | None = None,
        descending: bool | None = None,
        limit: int | None = None,
        page_size: int = MOST_SUMMARIES,
        offset: int = 0,
    ) -> Listing[ConversationSummary]:
        """List conversations as a screen shows them: by default, the latest interaction first.

        In most orders, conversations change places while they are listed, so that some come twice
        and others are missed. Use `every` to get all of them.

        Args:
            status: Only those with this status.
            order_by: None for the API's default, the last interaction.
            descending: None for the API's default, which is True.
            limit: Maximum number of conversations in all.
            page_size: Conversations per request, up to 100.
            offset: Conversations to skip.

        Raises:
            ConfigurationError: An argument is invalid. All other errors are raised as the listing
                is read, with `next_offset`.
        """
        query: dict[str, str] = {}
        if status is not None:
            query["status"] = one_of("status", status, ListedStatus)
        if order_by is not None:
            query["orderBy"] = order_name(one_of("order_by", order_by, OrderBy))
        if descending is not None:
            query["orderDir"] = "desc" if descending else "asc"
        return Listing(
            partial(self._list, query, bulk=False),
            Anything[ConversationSummary],
            page_size=whole("page_size", page_size, 1, MOST_SUMMARIES),
            offset=whole("offset", offset, 0),
            limit=None if limit is None else whole("limit", limit, 0),
            at_once=self._concurrency,
        )

    def every(
        self,
        *,
        status: ListedStatus | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = MOST_SUMMARIES,
        offset: int = 0,
    ) -> Listing[ConversationSummary]:
        """List all conversations, the oldest first, even if they change meanwhile.

        The order is that of `created_at`, in which a new conversation comes last. All of them are
        requested, and filtered here: a conversation that is closed would move the others otherwise.
        Each comes once; for that, the last 100,000 IDs are remembered. In pages of 100 they take
        about 4 MB, or 17 MB if the times are not in order.

        It is bulk work: it waits for as long as the API asks, and interactive calls go first.

        Args:
            status: Only those with this status when they are listed.
            since: Only those created at this time or later.
            until: Only those created before this time.
            page_size: Conversations per request, up to 100.
            offset: Conversations to skip, those included that are filtered out.

        Raises:
            ConfigurationError: An argument is invalid, such as a time without an offset from UTC,
                or an `until` before `since`.
            UnusablePageError: As the listing is read: going on could miss conversations. Like all
                other errors, it has `next_offset`.
        """
        wanted = _Wanted(
            None if status is None else one_of("status", status, ListedStatus),
            _moment("since", since),
            _moment("until", until),
        )
        if since is not None and until is not None and until < since:
            raise ConfigurationError(
                f"until must not be before since: {until.isoformat()} is before {since.isoformat()}"
            )
        return Listing(
            partial(self._list, _OLDEST_FIRST, bulk=True),
            partial(Complete[ConversationSummary], wanted if wanted.filters else None),
            page_size=whole("page_size", page_size, 1, MOST_SUMMARIES),
            offset=whole("offset", offset, 0),
            at_once=self._concurrency,
        )

    def _list(
        self, query: dict[str, str], offset: int, size: int, *, bulk: bool
    ) -> Awaitable[Sent[ConversationSummary]]:
        return self._request(LIST, query={**query, "limit": size, "offset": offset}, bulk=bulk)

    async def _get_many(
        self,
        ids: Iterable[str | UUID] | AsyncIterable[str | UUID],
        *,
        ordered: bool,
        wait: float,
    ) -> AsyncGenerator[Fetched | Failed, None]:
        # Late, as services that fetch single conversations need none of it.
        from siteassist_async.bulk import Options, each  # noqa: PLC0415 - see above

        flights = _Flights(self._request)
        options = Options[str | UUID](wait=wait, clock=self._clock, emit=self._emit)
        outcomes = each(
            ids,
            flights.fetch,
            limit=self._concurrency,
            ordered=ordered,
            weigh=itemgetter(1),
            options=options,
        )
        async with aclosing(outcomes):
            async for given, result in outcomes:
                if isinstance(result, SiteAssistError):
                    yield Failed(str(given), result)
                else:
                    yield Fetched(str(given), result[0])


@frozen
class _Wanted:
    """Which conversations a full listing keeps."""

    status: str | None
    since: datetime | None
    until: datetime | None

    @property
    def filters(self) -> bool:
        """Whether it leaves any out."""
        return (self.status, self.since, self.until) != (None, None, None)

    def __call__(self, summary: ConversationSummary) -> bool:
        return (
            (self.status is None or summary.status == self.status)
            and (self.since is None or summary.created_at >= self.since)
            and (self.until is None or summary.created_at < self.until)
        )


def _moment(name: str, value: datetime | None) -> datetime | None:
    if value is None or (isinstance(value, datetime) and value.tzinfo is not None):  # pyright: ignore[reportUnnecessaryIsInstance] # the user's code
        return value
    raise ConfigurationError(
        f"{name} must be a datetime with its offset from UTC, such as "
        f"datetime(2026, 1, 1, tzinfo=UTC), not {value!r}"
    )


class _Flights:
    """The requests in flight: the same ID is requested only once at a time."""

    def __init__(self, request: MakeRequest) -> None:
        self._request = request
        # By ID; the future is created only once a second caller joins.
        self._flying: dict[str, asyncio.Future[tuple[Conversation, int]] | None] = {}

    async def fetch(self, given: str | UUID) -> tuple[Conversation, int]:
        conversation_id = parse_id(given)
        if conversation_id in self._flying:
            joined = self._flying[conversation_id]
            if joined is None:
                joined = self._flying[conversation_id] = asyncio.get_running_loop().create_future()
            with parking(math.inf):  # it gives up its place: the other request may wait long
                return await asyncio.shield(joined)
        self._flying[conversation_id] = None
        try:
            fetched = await self._request(GET_WEIGHED, conversation_id, bulk=True)
        except BaseException as error:
            joined = self._flying.pop(conversation_id)
            if joined is not None and isinstance(error, SiteAssistError):
                joined.set_exception(error)
                joined.exception()  # mark it as retrieved: the caller that joined may be gone
            elif joined is not None:
                joined.cancel()
            raise
        joined = self._flying.pop(conversation_id)
        if joined is not None:
            joined.set_result(fetched)
        return fetched
