"""Status to exception, body to value: above this link a failure is raised."""

from __future__ import annotations

from siteassist_async.codec import decode_details, decode_error
from siteassist_async.errors import (
    APIError,
    ConversationDetails,
    UnusableResponseError,
    WrongConversationError,
    error_class,
)
from siteassist_async.retry_after import longest, seconds_from_body, seconds_from_header
from siteassist_async.wire import Request, Response, Send


async def decode(request: Request, send: Send) -> Response:
    """Raise the error that the answer is, or fill in `Response.value`.

    Of an error, whatever repeats the token is hidden. An answer about another conversation closes
    its connection: what comes next over it would be a stranger's too.
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
        error.excerpt = _hide(error.excerpt, _token(request))
        if isinstance(error, WrongConversationError):
            response.close_connection()
        raise
    return response


def _error(response: Response, token: str) -> APIError:
    headers = {name.lower(): _hide(value, token) for name, value in response.headers.items()}
    body = decode_error(response.body.replace(token.encode(), b"[token]"))
    cls = error_class(response.status)
    return cls(
        body.message,
        status=response.status,
        code=body.code,
        details=decode_details(body.details, cls.details_class),
        raw_details=body.details,
        retry_after=longest(
            seconds_from_body(body.retry_after),
            seconds_from_header(headers.get("retry-after")),
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
