"""Responses to values and errors."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, cast

from siteassist_async.codec import decode_details, decode_error
from siteassist_async.codec.text import EXCERPT, excerpt
from siteassist_async.errors import (
    APIError,
    ConfigurationError,
    ConnectionFailedError,
    ConversationDetails,
    ResponseTooLargeError,
    UnusableResponseError,
    WrongConversationError,
    error_class,
)
from siteassist_async.events import AttemptEnded, AttemptStarted, Event, EventStream
from siteassist_async.retry_after import longest, seconds_from_body, seconds_from_headers
from siteassist_async.tracebacks import cut
from siteassist_async.wire import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from siteassist_async.clock import Clock
    from siteassist_async.wire import Request, Send


DEEPEST_DETAILS = 32
"""Levels of an error's `raw_details` that are kept; deeper ones would break repr and pickle."""


NO_TOKEN = "[token]"  # noqa: S105 - what stands for one
"""What a token is replaced by, and so what is looked for where none was sent."""

LARGE = 2**18
"""Bytes from which a body is decoded in a thread.

What holds the event loop meanwhile is any single call that holds the GIL: those of the codec are
bounded by the size of the body and the number of its values.
"""


class Decode:
    """Reads the value of each response; stands above the user's middleware, below retry.

    So middleware may return a response of its own, stored or invented, whatever is asked for.
    """

    async def __call__(self, request: Request, send: Send) -> object:
        """Send, and read what comes."""
        handled = sys.exception()
        response = await send(request)
        if not isinstance(response, Response) or not isinstance(response.body, bytes):  # pyright: ignore[reportUnnecessaryIsInstance] # the user's code
            raise _unusable_response(response)
        operation = request.operation
        if response.status not in operation.statuses:
            raise _error(response, request.tally.token)
        try:
            if len(response.body) < LARGE:
                return operation.read(response, request.subject)
            return await asyncio.to_thread(operation.read, response, request.subject)
        except UnusableResponseError as error:
            cut(error, handled)
            chosen = _judge(error, request.tally.token, response)
            del response  # or the body would live as long as the error
            if chosen is error:
                raise
            raise chosen from error


def _unusable_response(response: object) -> ConfigurationError:
    if isinstance(response, Response):
        what = f"a Response whose body is a {type(response.body).__name__}"
    else:
        what = f"a {type(response).__name__}"
    return ConfigurationError(f"middleware must return a Response with a body of bytes, not {what}")


class RaiseForStatus:
    """Raises the error that a response is; stands right above the transport.

    Of an error, whatever repeats the token is removed. An error about another conversation, be it
    a 404, closes its connection: what comes next over it would be a stranger's too. A 404 is a
    NotFoundError all the same: the status decides.
    """

    def __init__(self, events: EventStream[Event], clock: Clock) -> None:
        self._events = events
        self._clock = clock

    def __call__(self, request: Request, send: Send) -> Awaitable[Response]:
        """Send, and raise where that is no success."""
        return (self._observed if request.tally.call else _raising)(request, send)

    async def _observed(self, request: Request, send: Send) -> Response:
        """Send between two events: neither a wait nor the reading of the value counts here."""
        tally, emit = request.tally, self._events.emit
        about = (tally.call, request.operation.name, request.subject, tally.sent + 1)
        asked = (*about, request.method, request.url)
        emit(AttemptStarted(*asked))
        began = self._clock.now()
        try:
            response = await _raising(request, send)
        except BaseException as error:
            status = error.status if isinstance(error, APIError) else None
            emit(AttemptEnded(*asked, self._clock.now() - began, status, 0, error))
            raise
        took, size = self._clock.now() - began, len(response.body)
        emit(AttemptEnded(*asked, took, response.status, size, None))
        return response


async def _raising(request: Request, send: Send) -> Response:
    response = await send(request)
    if response.status not in request.operation.statuses:
        error = _error(response, request.tally.token)
        if _is_about_another(error, request.subject):
            response.close_connection()
        raise error
    return response


def _judge(
    error: UnusableResponseError, sent: str, response: Response
) -> UnusableResponseError | ConnectionFailedError:
    """Choose what is raised; close the connection where what comes next over it is in doubt."""
    token = sent or NO_TOKEN
    error.args = (_hide(str(error.args[0]), token),)
    error.excerpt = error.excerpt and _beginning(response.body, token)
    if isinstance(error, WrongConversationError):
        response.close_connection()
    elif not isinstance(error, ResponseTooLargeError) and _ends_early(response.body):
        response.close_connection()
        return ConnectionFailedError("the response is truncated: incomplete JSON")
    return error


def _ends_early(body: bytes) -> bool:
    """Whether a body is the beginning of an object: nothing else tells where no length is sent."""
    return body.lstrip().startswith(b"{") and not body.rstrip().endswith(b"}")


def _error(response: Response, sent: str) -> APIError:
    token = sent or NO_TOKEN
    headers = {
        _hide(name.lower(), token.lower()): _hide(value, token)
        for name, value in response.headers.items()
    }
    body = decode_error(response.body.replace(token.encode(), NO_TOKEN.encode()))
    details = _without(token, body.details)
    cls = error_class(response.status)
    return cls(
        _hide(body.message, token),
        status=response.status,
        code=body.code and _hide(body.code, token),
        details=decode_details(details, cls.details_class),
        raw_details=details,
        retry_after=longest(
            seconds_from_body(body.retry_after),
            seconds_from_headers(response.headers),
        ),
        headers=headers,
    )


def _is_about_another(error: APIError, conversation_id: str) -> bool:
    details = error.details
    if not isinstance(details, ConversationDetails):
        return False
    return details.conversation_id.lower() != conversation_id


def _hide(text: str, token: str) -> str:
    return text.replace(token, NO_TOKEN)


def _without(token: str, value: object, depth: int = DEEPEST_DETAILS) -> object:
    """Hide the token wherever JSON's escapes had hidden it from the search in the bytes."""
    if isinstance(value, str):
        return _hide(value, token)
    if isinstance(value, list):
        items = cast("list[object]", value)
        return [_without(token, item, depth - 1) for item in items] if depth else None
    if isinstance(value, dict):
        members = cast("dict[str, object]", value).items()
        return (
            {_hide(k, token): _without(token, v, depth - 1) for k, v in members} if depth else None
        )
    return value


def _beginning(body: bytes, token: str) -> str:
    """The body's excerpt, which must not end amid the token."""
    return excerpt(body[: EXCERPT + len(token)].replace(token.encode(), NO_TOKEN.encode()))
