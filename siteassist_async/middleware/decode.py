"""Status to exception, body to value: above this link a failure is raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from siteassist_async.codec import decode_details, decode_error
from siteassist_async.codec.text import EXCERPT, excerpt
from siteassist_async.errors import (
    APIError,
    ConnectionFailedError,
    ConversationDetails,
    UnusableResponseError,
    WrongConversationError,
    error_class,
)
from siteassist_async.retry_after import longest, seconds_from_body, seconds_from_headers

if TYPE_CHECKING:
    from siteassist_async.wire import Request, Response, Send


DEEPEST_DETAILS = 32
"""Levels of an error's `raw_details` that are kept; deeper ones would break repr and pickle."""


async def decode(request: Request, send: Send) -> Response:
    """Raise the error that the answer is, or fill in `Response.value`.

    Of an error, whatever repeats the token is hidden. An answer about another conversation, be it
    a 404, closes its connection: what comes next over it would be a stranger's too. A 404 is a
    NotFoundError all the same: the status decides.
    """
    response = await send(request)
    if response.status != 200:
        error = _error(response, _token(request))
        if _is_about_another(error, request.conversation_id):
            response.close_connection()
        raise error
    try:
        response.value = request.accept(response.body, request.conversation_id)
    except UnusableResponseError as error:
        # No local here holds the token: tools that log tracebacks print the locals too.
        error.args = (_hide(str(error.args[0]), _token(request)),)
        error.excerpt = error.excerpt and _beginning(response.body, _token(request))
        if isinstance(error, WrongConversationError):
            response.close_connection()
        elif _ends_early(response.body):
            response.close_connection()
            raise ConnectionFailedError("the answer broke off: its JSON ends early") from error
        raise
    return response


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
