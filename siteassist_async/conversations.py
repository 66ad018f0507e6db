"""Conversations by id: one, or as many as there are."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol, cast

from attrs import frozen

from siteassist_async.bulk import each
from siteassist_async.codec import check_asked, decode_asked, record_asked
from siteassist_async.errors import SiteAssistError
from siteassist_async.ids import parse_id
from siteassist_async.models import Conversation

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
    from uuid import UUID

    from siteassist_async.wire import Request, Response, Send


class NewRequest(Protocol):
    """Makes a request for one id with the client's options."""

    def __call__(
        self,
        conversation_id: str,
        accept: Callable[[bytes, str], object],
        patience: float | None = None,
    ) -> Request:
        """Count the deadline from now."""
        ...


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

    def __init__(self, new_request: NewRequest, send: Send, *, concurrency: int) -> None:
        self._new_request = new_request
        self._send = send
        self._concurrency = concurrency

    async def get(self, conversation_id: str | UUID) -> Conversation:
        """Fetch one conversation with its messages.

        Raises:
            InvalidIdError: The id is no UUID; nothing was sent.
            NotFoundError: There is no such conversation.
            DeadlineExceededError: The client's `deadline` passed, waits and retries included.
        """
        request = self._new_request(parse_id(conversation_id), decode_asked)
        return cast("Conversation", (await self._send(request)).value)

    async def get_raw(self, conversation_id: str | UUID) -> Response:
        """Fetch one conversation as it came: status, headers and bytes.

        The body is JSON and the conversation asked for; nothing else of it was looked at. Errors
        are raised as by `get`.
        """
        return await self._send(self._new_request(parse_id(conversation_id), check_asked))

    async def get_record(self, conversation_id: str | UUID) -> bytes:
        """Fetch one conversation as a line of a JSON-lines file, without its line break.

        The JSON is what the server sent, unknown fields and all; only line breaks between its
        tokens are gone. It waits as long as the API asks it to.
        """
        request = self._new_request(parse_id(conversation_id), record_asked, patience=math.inf)
        return cast("bytes", (await self._send(request)).value)

    async def get_many(
        self,
        ids: Iterable[str | UUID] | AsyncIterable[str | UUID],
        *,
        ordered: bool = False,
    ) -> AsyncGenerator[Fetched | Failed, None]:
        """Fetch many conversations at once and yield one outcome an id, as they come.

        The ids are read as slots come free and outcomes wait for the caller in a bounded number,
        so that any number of ids needs the same memory. An id that is asked for again while it is
        in flight shares that request. With `ordered` the outcomes come in the ids' order. Each id
        has the client's `deadline` for itself, and without one waits as long as the API asks.

        Leaving the loop ends what is in flight: at once where the generator is closed (as
        `contextlib.aclosing` does), else when it is collected.

        Raises:
            AuthenticationError: The token is not accepted: every further request would fail.
            PaymentRequiredError: As above, of the project's plan.
        """
        flights = _Flights(self._new_request, self._send)
        outcomes = each(ids, flights.fetch, limit=self._concurrency, ordered=ordered)
        async with aclosing(outcomes):
            async for given, result in outcomes:
                if isinstance(result, SiteAssistError):
                    yield Failed(str(given), result)
                else:
                    yield Fetched(str(given), result)


class _Flights:
    """The requests in flight, so that the same id is asked for once at a time."""

    def __init__(self, new_request: NewRequest, send: Send) -> None:
        self._new_request = new_request
        self._send = send
        # By id; a future only where somebody has come later.
        self._flying: dict[str, asyncio.Future[Conversation] | None] = {}

    async def fetch(self, given: str | UUID) -> Conversation:
        conversation_id = parse_id(given)
        if conversation_id in self._flying:
            return await self._join(conversation_id)
        self._flying[conversation_id] = None
        request = self._new_request(conversation_id, decode_asked, patience=math.inf)
        try:
            conversation = cast("Conversation", (await self._send(request)).value)
        except BaseException as error:
            joined = self._flying.pop(conversation_id)
            if joined is not None:
                _fail(joined, error)
            raise
        joined = self._flying.pop(conversation_id)
        if joined is not None:
            joined.set_result(conversation)
        return conversation

    async def _join(self, conversation_id: str) -> Conversation:
        joined = self._flying[conversation_id]
        if joined is None:
            joined = self._flying[conversation_id] = asyncio.get_running_loop().create_future()
        return await asyncio.shield(joined)


def _fail(joined: asyncio.Future[Conversation], error: BaseException) -> None:
    if isinstance(error, SiteAssistError):
        joined.set_exception(error)
        joined.exception()  # seen: who has joined may have left
    else:
        joined.cancel()
