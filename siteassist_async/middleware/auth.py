"""The token of the moment, for each attempt, to one origin."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from attrs import field, frozen

from siteassist_async.errors import AuthenticationError, ConfigurationError, TokenError

if TYPE_CHECKING:
    from siteassist_async.wire import Request, Response, Send

Token = str | Callable[[], Awaitable[str]]

# RFC 6750's characters of a bearer token, and what keys made elsewhere have: no space, no control.
_SENDABLE = re.compile(r"[\x21-\x7e]+")


@frozen
class HiddenToken:
    """A token, or the callable that gives it, in a form that no traceback or dump shows."""

    value: Token = field(repr=False)


class Auth:
    """Adds `Authorization: Bearer …` to requests of the client's own base URL.

    A callable is asked at each attempt, and once more after a 401: what it gives then, if it is
    another token, is sent at once. It may take as long as an attempt may. What it raises comes out
    as a TokenError.
    """

    def __init__(self, token: HiddenToken, base_url: str) -> None:
        if isinstance(token.value, str) and not _SENDABLE.fullmatch(token.value):
            raise ConfigurationError(
                "the token is empty or has characters that a header must not contain"
            )
        self._token = token.value
        self._within = f"{base_url}/"

    def __call__(self, request: Request, send: Send) -> Awaitable[Response]:
        """Send with the token."""
        # A link may have changed the URL, and aiohttp writes a line break in it as it is.
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
    request.tally.token = token
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
            raise  # the caller's; any other is the callable's own, as of a task that it waits for
        raise TokenError("the token callable was cancelled") from error
    except Exception as error:
        if limit.expired():
            raise TokenError(f"the token callable did not return within {seconds:g} s") from error
        raise TokenError(f"the token callable raised {type(error).__name__}") from error
    if not isinstance(token, str) or not _SENDABLE.fullmatch(token):  # pyright: ignore[reportUnnecessaryIsInstance] # the user's code
        del token  # tools that report tracebacks show the locals too
        raise TokenError("the token callable must return a str that a header can contain")
    return token
