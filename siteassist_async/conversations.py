"""Conversations by id: one, or as many as there are."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from attrs import frozen

from siteassist_async.bulk import Options, each
from siteassist_async.codec import check_asked, decode_asked, record_asked
from siteassist_async.errors import ConfigurationError, SiteAssistError
from siteassist_async.ids import parse_id
from siteassist_async.models import Conversation
from siteassist_async.outage import WAIT
from siteassist_async.parking import parking
from siteassist_async.wire import Operation, Response, T

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable

    from siteassist_async.clock import Clock
    from siteassist_async.events import Event


class MakeRequest(Protocol):
    """`SiteAssist.request`."""

    def __call__(
        self, operation: Operation[T], subject: str, *, bulk: bool = False
    ) -> Awaitable[T]:
        """Make a request with the client's options; the deadline counts from now."""
        ...


def _conversation(response: Response, conversation_id: str) -> Conversation:
    return decode_asked(response.body, conversation_id)


def _checked(response: Response, conversation_id: str) -> Response:
    check_asked(response.body, conversation_id)
    return response


def _record(response: Response, conversation_id: str) -> bytes:
    return record_asked(response.body, conversation_id)


def _weighed(response: Response, conversation_id: str) -> tuple[Conversation, int]:
    return decode_asked(response.body, conversation_id), len(response.body)


# One endpoint, and what is made of its response.
_GET = "conversations.get", "GET", "/conversations/{id}"
GET = Operation(*_GET, _conversation)
GET_RAW = Operation(*_GET, _checked)
GET_RECORD = Operation(*_GET, _record)
GET_WEIGHED = Operation(*_GET, _weighed)


@frozen
class Fetched:
    """An id's outcome: its conversation. `id` is as given."""

    id: str
    conversation: Conversation


@frozen
class Failed:
    """An id's outcome: why there is no conversation. `id` is as given."""

    id: str
    error: SiteAssistError


class Conversations:
    """What can be done with conversations; `client.conversations` is one.

    An id is a UUID, or its text in any case. All calls share the client's connections, slots and
    pace. Beside what is named, each raises the errors of `siteassist_async.errors` as they come.
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
            InvalidIdError: The id is no UUID; nothing was sent.
            NotFoundError: There is no such conversation.
            DeadlineExceededError: The client's `deadline` passed, waits and retries included.
        """
        return await self._request(GET, parse_id(conversation_id))

    async def get_raw(self, conversation_id: str | UUID) -> Response:
        """Fetch one conversation as it came: status, headers and bytes.

        The body is JSON and the conversation asked for; nothing else of it was looked at. Errors
        are raised as by `get`.
        """
        return await self._request(GET_RAW, parse_id(conversation_id))

    async def get_record(self, conversation_id: str | UUID) -> bytes:
        """Fetch one conversation as a line of a JSON-lines file, without its line break.

        The JSON is what the server sent, unknown fields and all; only line breaks between its
        tokens are gone. It is made for bulk work: it waits as long as the API asks it to, and lets
        calls that somebody waits for go first.
        """
        return await self._request(GET_RECORD, parse_id(conversation_id), bulk=True)

    def get_many(
        self,
        ids: Iterable[str | UUID] | AsyncIterable[str | UUID],
        *,
        ordered: bool = False,
        wait: float = WAIT,
    ) -> AsyncGenerator[Fetched | Failed, None]:
        """Fetch many conversations at once and yield one outcome an id, as they come.

        The ids are read as slots come free, and the outcomes that wait for the caller are bounded
        in number and in bytes, so that any number of ids needs the same memory. An id that is asked
        for again while it is in flight shares that request. With `ordered` the outcomes come in the
        ids' order. Each id has the client's `deadline` for itself, and without one waits as long as
        the API asks; meanwhile others are fetched. Calls of `get` go before them.

        A failure is an id's outcome only where the API said so of that id, or where others were
        answered: what fails otherwise is requested once more when others are. Where 20 in a row
        fail (100 where none was ever answered), one that was answered is requested again; if that
        fails too it is an outage. Then nothing further is read, and all goes on as soon as there is
        an answer.

        Leaving the loop ends what is in flight: at once where the generator is closed (as
        `contextlib.aclosing` does), else when it is collected.

        Args:
            ids: Any iterable, async iterable or async iterator; read in one task and one context.
            ordered: Yield in the order of the ids.
            wait: Seconds to wait through an outage. The ids that failed in it have no outcome then:
                an OutageError ends the loop, for yielding the rest of the ids as failures would
                say something of them that nobody knows.

        Raises:
            AuthenticationError: The token is not accepted: an id that was answered before is
                refused too, or where none was, the same id twice.
            PaymentRequiredError: As above, of the project's plan.
            OutageError: Nothing was answered for `wait` seconds.
            ConfigurationError: `ids` is a single id.
        """
        if isinstance(ids, str | bytes | UUID):
            raise ConfigurationError(
                f"get_many takes an iterable of ids, not a single {type(ids).__name__}: "
                "use get, or pass a list"
            )
        return self._get_many(ids, ordered=ordered, wait=wait)

    async def _get_many(
        self,
        ids: Iterable[str | UUID] | AsyncIterable[str | UUID],
        *,
        ordered: bool,
        wait: float,
    ) -> AsyncGenerator[Fetched | Failed, None]:
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


class _Flights:
    """The requests in flight, so that the same id is asked for once at a time."""

    def __init__(self, request: MakeRequest) -> None:
        self._request = request
        # By id; a future only where somebody has come later.
        self._flying: dict[str, asyncio.Future[tuple[Conversation, int]] | None] = {}

    async def fetch(self, given: str | UUID) -> tuple[Conversation, int]:
        conversation_id = parse_id(given)
        if conversation_id in self._flying:
            return await self._join(conversation_id)
        self._flying[conversation_id] = None
        try:
            fetched = await self._request(GET_WEIGHED, conversation_id, bulk=True)
        except BaseException as error:
            joined = self._flying.pop(conversation_id)
            if joined is not None:
                _fail(joined, error)
            raise
        joined = self._flying.pop(conversation_id)
        if joined is not None:
            joined.set_result(fetched)
        return fetched

    async def _join(self, conversation_id: str) -> tuple[Conversation, int]:
        joined = self._flying[conversation_id]
        if joined is None:
            joined = self._flying[conversation_id] = asyncio.get_running_loop().create_future()
        with parking(math.inf):  # it holds nothing, and the other may be asked to wait for long
            return await asyncio.shield(joined)


def _fail(joined: asyncio.Future[tuple[Conversation, int]], error: BaseException) -> None:
    if isinstance(error, SiteAssistError):
        joined.set_exception(error)
        joined.exception()  # seen: who has joined may have left
    else:
        joined.cancel()
