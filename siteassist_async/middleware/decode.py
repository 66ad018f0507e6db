"""Status to exception, body to value: above this link a failure is raised."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, cast

from attrs import evolve

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
from siteassist_async.retry_after import longest, seconds_from_body, seconds_from_headers
from siteassist_async.tracebacks import cut
from siteassist_async.wire import Response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from siteassist_async.wire import Middleware, Request, Send


DEEPEST_DETAILS = 32
"""Levels of an error's `raw_details` that are kept; deeper ones would break repr and pickle."""


LARGE = 2**18
"""Bytes from which a body is decoded in a thread.

What holds the event loop meanwhile is any single call that holds the GIL: those of the codec are
bounded by the size of the body and the number of its values.
"""


def with_meaning(links: Sequence[Middleware]) -> Sequence[Middleware]:
    """Put a link before those of a user, which finds out what their responses mean."""
    return (_understand, *links) if links else ()


async def _understand(request: Request, send: Send) -> Response:
    """Decode a response that a user's link has invented, changed, or kept from another call."""
    response = await send(request)
    if not isinstance(response, Response):  # pyright: ignore[reportUnnecessaryIsInstance] # the user's code
        raise ConfigurationError(f"a middleware returned a {type(response).__name__}, no Response")
    if response.is_read_for(request):
        return response
    if not isinstance(response.body, bytes):  # pyright: ignore[reportUnnecessaryIsInstance] # as above
        raise ConfigurationError(f"a middleware gave a body of {type(response.body).__name__}")
    # A copy: the response may be in a cache, and meant for several calls at once.
    return await _read(request, evolve(response))


async def decode(request: Request, send: Send) -> Response:
    """Raise the error that the answer is, or fill in `Response.value`.

    Of an error, whatever repeats the token is hidden. An answer about another conversation, be it
    a 404, closes its connection: what comes next over it would be a stranger's too. A 404 is a
    NotFoundError all the same: the status decides.
    """
    return await _read(request, await send(request))


async def _read(request: Request, response: Response) -> Response:
    handled = sys.exception()
    if response.status != 200:
        error = _error(response, _token(request))
        if _is_about_another(error, request.conversation_id):
            response.close_connection()
        raise error
    try:
        if len(response.body) < LARGE:
            response.value = request.accept(response.body, request.conversation_id)
        else:
            response.value = await asyncio.to_thread(
                request.accept, response.body, request.conversation_id
            )
    except UnusableResponseError as error:
        cut(error, handled)
        chosen = _judge(error, request, response)
        del response  # or the body would live as long as the error, as it would by the frames below
        if chosen is error:
            raise
        raise chosen from error
    response.read_for = request.accept, request.conversation_id, response.body
    return response


def _judge(
    error: UnusableResponseError, request: Request, response: Response
) -> UnusableResponseError | ConnectionFailedError:
    """Choose what is raised; close the connection where what comes next over it is in doubt."""
    # No local here outlives the call: tools that report tracebacks show the locals too.
    error.args = (_hide(str(error.args[0]), _token(request)),)
    error.excerpt = error.excerpt and _beginning(response.body, _token(request))
    if isinstance(error, WrongConversationError):
        response.close_connection()
    elif not isinstance(error, ResponseTooLargeError) and _ends_early(response.body):
        response.close_connection()
        return ConnectionFailedError("the answer broke off: its JSON ends early")
    return error


def _ends_early(body: bytes) -> bool:
    """Whether a body is the beginning of an object: nothing else tells where no length is sent."""
    return body.lstrip().startswith(b"{") and not body.rstrip().endswith(b"}")


def _error(response: Response, token: str) -> APIError:
    headers = {
        _hide(name.lower(), token.lower()): _hide(value, token)
        for name, value in response.headers.items()
    }
    body = decode_error(response.body.replace(token.encode(), b"[token]"))
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


def _token(request: Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ") or "[token]"


def _hide(text: str, token: str) -> str:
    return text.replace(token, "[token]")


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
    return excerpt(body[: EXCERPT + len(token)].replace(token.encode(), b"[token]"))
