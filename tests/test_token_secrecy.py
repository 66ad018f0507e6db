"""The token is in no exception and in no local of a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest
from fakes import ID, ONCE, TOKEN, client_of

from siteassist_async import (
    ConnectionFailedError,
    SiteAssist,
    SiteAssistError,
)
from siteassist_async.emulator import (
    Emulator,
    Status,
    WrongId,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes import FakeClock
    from faults.raw_server import RawServer

    from siteassist_async.emulator import Fault
    from siteassist_async.middleware.auth import Token


def chained(error: BaseException | None) -> Iterator[BaseException]:
    """An error with all that is chained to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def our_locals(error: BaseException) -> Iterator[object]:
    """What the frames of our package hold in a traceback."""
    traceback = error.__traceback__
    while traceback is not None:
        frame, traceback = traceback.tb_frame, traceback.tb_next
        if frame.f_globals["__name__"].startswith("siteassist_async."):
            yield from frame.f_locals.values()


@pytest.mark.parametrize(
    "said",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        f"{TOKEN}\r\n\r\n".encode(),
    ],
)
async def test_what_is_not_http_is_chained_without_the_token(
    raw: RawServer, clock: FakeClock, said: bytes
) -> None:
    """The error of aiohttp has the request's headers in its repr; those are taken out."""
    raw.script[ID].append([said, "close"])
    async with client_of(raw, clock) as client:
        with pytest.raises(ConnectionFailedError, match="what came is not HTTP") as caught:
            await client.conversations.get(ID)
    assert isinstance(caught.value.__cause__, aiohttp.ClientResponseError)
    for error in chained(caught.value):
        assert TOKEN not in f"{error!r} {error} {vars(error)}"
        assert TOKEN not in repr(list(our_locals(error)))


async def give_token() -> str:
    """As an async callable."""
    return TOKEN


@pytest.mark.parametrize("token", [TOKEN, give_token], ids=["string", "callable"])
@pytest.mark.parametrize("fault", [Status(500), Status(401), WrongId()], ids=repr)
async def test_no_local_of_a_traceback_shows_the_token(
    emulator: Emulator, fault: Fault, token: Token
) -> None:
    """Tools that print the locals of each frame print the reprs of what our frames hold."""
    emulator.script(ID, fault)
    async with SiteAssist(token, base_url=emulator.url, retry=ONCE) as client:
        with pytest.raises(SiteAssistError) as caught:
            await client.conversations.get(ID)
    held = [repr(value) for value in our_locals(caught.value)]
    assert held
    assert TOKEN not in "".join(held)
