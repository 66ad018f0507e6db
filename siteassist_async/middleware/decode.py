"""Decode middleware: turns responses into values and errors.

`Decode` runs above the user's middleware and reads values; `RaiseForStatus` runs right above the
transport and raises the errors of responses.
"""

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
    from siteassist_async.clock import Clock
    from siteassist_async.wire import Request, Send


DEEPEST_DETAILS = 32
"""Nesting levels of an error's `raw_details` to keep; deeper ones would break repr and pickle."""


NO_TOKEN = "[token]"  # noqa: S105 - a placeholder
"""Replaces the token in errors; also searched for (in vain) if no token was sent."""

LARGE = 2**18
"""Size in bytes from which a body is decoded in a thread.

The event loop is still blocked by every single call that holds the GIL. Those of the codec are
bounded by the limits on a body's size and on the number of its values.
"""


class Decode:
    """Converts each response to the operation's value.

    It runs above the user's middleware, so that middleware may return any response, for example
    from a cache, and below retry, so that a truncated body is retried.
    """

    async def __call__(self, request: Request, send: Send) -> object:
        """Send the request, and return the value of its response."""
        handled = sys.exception()
        response = await send(request)
        if not isinstance(response, Response) or not isinstance(response.body, bytes):  # pyright: ignore[reportUnnecessaryIsInstance] # the user's code
            raise _unusable_response(response)
        operation = request.operation
        if response.status not in operation.statuses:
            raise _error(response, request.tally.token())
        try:
            if len(response.body) < LARGE:
                return operation.read(response, request.subject)
            return await asyncio.to_thread(operation.read, response, request.subject)
        except UnusableResponseError as error:
            cut(error, handled)
            chosen = _judge(error, request.tally.token(), response)
            del response  # otherwise the traceback keeps the body alive as long as the error
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
    """Raises the error of a response whose status is not a success.

    The token is removed wherever the error repeats it. An error about another conversation closes
    its connection, because responses may be out of step with requests on it. Such a 404 is still
    raised as NotFoundError: the status alone decides the class.
    """

    def __init__(self, events: EventStream[Event], clock: Clock) -> None:
        self._events = events
        self._clock = clock

    async def __call__(self, request: Request, send: Send) -> Response:
        """Send the request; raises an APIError if the response is not a success."""
        if request.tally.call:
            return await self._observed(request, send)
        response = await send(request)
        if response.status not in request.operation.statuses:
            raise _error_of(request, response)
        return response

    async def _observed(self, request: Request, send: Send) -> Response:
        """Send, emitting AttemptStarted and AttemptEnded; the duration excludes decoding."""
        tally, emit = request.tally, self._events.emit
        about = (tally.call, request.operation.name, request.subject, tally.sent + 1)
        asked = (*about, request.method, request.url)
        emit(AttemptStarted(*asked))
        began = self._clock.now()
        try:
            response = await send(request)
            if response.status not in request.operation.statuses:
                raise _error_of(request, response)  # noqa: TRY301 - which the event reports
        except BaseException as error:
            status = error.status if isinstance(error, APIError) else None
            emit(AttemptEnded(*asked, self._clock.now() - began, status, 0, error))
            raise
        took, size = self._clock.now() - began, len(response.body)
        emit(AttemptEnded(*asked, took, response.status, size, None))
        return response


def _error_of(request: Request, response: Response) -> APIError:
    error = _error(response, request.tally.token())
    about = error.details
    if isinstance(about, ConversationDetails) and about.conversation_id.lower() != request.subject:
        response.close_connection()
    return error


def _judge(
    error: UnusableResponseError, sent: str, response: Response
) -> UnusableResponseError | ConnectionFailedError:
    """Choose the error to raise, and close the connection if it cannot be trusted any more."""
    token = sent or NO_TOKEN
    body = response.body
    error.args = (_hide(str(error.args[0]), token),)
    if error.excerpt:  # the token is removed before the cut, which could split it
        beginning = body[: EXCERPT + len(token)]
        error.excerpt = excerpt(beginning.replace(token.encode(), NO_TOKEN.encode()))
    if isinstance(error, WrongConversationError):
        response.close_connection()
    elif (  # the start of an object: the only sign of truncation without a length
        not isinstance(error, ResponseTooLargeError)
        and body.lstrip().startswith(b"{")
        and not body.rstrip().endswith(b"}")
    ):
        response.close_connection()
        return ConnectionFailedError("the response is truncated: incomplete JSON")
    return error


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


def _hide(text: str, token: str) -> str:
    return text.replace(token, NO_TOKEN)


def _without(token: str, value: object, depth: int = DEEPEST_DETAILS) -> object:
    """Remove the token from decoded JSON: escapes may have hidden it from the search in bytes."""
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
