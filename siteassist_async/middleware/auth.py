"""Auth middleware: adds the token to each attempt, and sends it to the base URL only."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from attrs import field

from siteassist_async.errors import AuthenticationError, ConfigurationError, TokenError
from siteassist_async.immutable import frozen

if TYPE_CHECKING:
    from siteassist_async.wire import Request, Response, Send

Token = str | Callable[[], Awaitable[str]]

# More lenient than a bearer token in RFC 6750, for keys of other formats, but without spaces and
# control characters.
_SENDABLE = re.compile(r"[\x21-\x7e]+")


@frozen
class HiddenToken:
    """A token, or the callable that returns it, wrapped so that tracebacks and dumps hide it."""

    value: Token = field(repr=False)


class Auth:
    """Adds `Authorization: Bearer …` to requests within the client's base URL.

    A token callable is called for each attempt, and once more after a 401; if it then returns a
    different token, the request is repeated at once. It may take as long as an attempt may. If it
    raises, a TokenError is raised from it.
    """

    def __init__(self, token: HiddenToken, base_url: str) -> None:
        if isinstance(token.value, str) and not _SENDABLE.fullmatch(token.value):
            raise ConfigurationError(
                "the token is empty, or has spaces or other characters that no token has; "
                'leave out "Bearer"'
            )
        self._token = token.value
        self._within = f"{base_url}/"

    def __call__(self, request: Request, send: Send) -> Awaitable[Response]:
        """Send the request with the token; a URL outside the base URL is a ConfigurationError."""
        # Middleware may have changed the URL, and aiohttp would not escape a line break in it.
        if not request.url.startswith(self._within) or not _SENDABLE.fullmatch(request.url):
            raise ConfigurationError(
                f"refusing to send the token outside base_url {self._within}: {request.url}"
            )
        if isinstance(self._token, str):
            return send(_signed(request, self._token))
        return _send_with(self._token, request, send)


async def _send_with(
    provider: Callable[[], Awaitable[str]], request: Request, send: Send
) -> Response:
    signed = _signed(request, await _ask(provider, request.timeout.total))
    try:
        return await send(signed)
    except AuthenticationError:
        renewed = _signed(request, await _ask(provider, request.timeout.total))
        if renewed.headers == signed.headers:
            raise
    return await send(renewed)


def _signed(request: Request, token: str) -> Request:
    request.tally.token = lambda: token
    return request.with_headers({"Authorization": f"Bearer {token}"})


async def _ask(provider: Callable[[], Awaitable[str]], seconds: float) -> str:
    task = cast("asyncio.Task[object]", asyncio.current_task())
    cancelled_before = task.cancelling()
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            token = await provider()
    except asyncio.CancelledError as error:
        if task.cancelling() > cancelled_before:
            raise  # by the caller; otherwise by something within the callable
        raise TokenError("the token callable was cancelled") from error
    except Exception as error:
        if limit.expired():
            raise TokenError(f"the token callable did not return within {seconds:g} s") from error
        raise TokenError(f"the token callable raised {type(error).__name__}") from error
    if not isinstance(token, str) or not _SENDABLE.fullmatch(token):  # pyright: ignore[reportUnnecessaryIsInstance] # the user's code
        del token  # tools that report tracebacks show the locals too
        raise TokenError("the token callable must return a str that a header can contain")
    return token
