"""The token is in no exception and in no local of a traceback."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from fakes import ID, ONCE, TOKEN, client_of

from siteassist_async import (
    ConfigurationError,
    ConnectionFailedError,
    SiteAssist,
    SiteAssistError,
)
from siteassist_async.emulator import (
    Disconnect,
    Emulator,
    Raw,
    Status,
    Truncate,
    WrongId,
    conversation_ids,
)
from siteassist_async.tracebacks import behind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes import FakeClock
    from faults.raw_server import RawServer

    from siteassist_async.emulator import Fault
    from siteassist_async.middleware.auth import Token


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
        with pytest.raises(ConnectionFailedError, match="invalid HTTP response") as caught:
            await client.conversations.get(ID)
    assert isinstance(caught.value.__cause__, aiohttp.ClientResponseError)
    for error in behind(caught.value):
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


@pytest.mark.parametrize(
    "options",
    [
        {"token": TOKEN + "\n"},
        {"token": ""},
        {"deadline": -1.0},
        {"base_url": "http://example.org"},
        {"concurrency": 0},
        {"max_rate": 0.0},
        {"max_body": 1},
        {"timeout": None},
    ],
    ids=lambda options: next(iter(options)),
)
def test_no_local_shows_the_token_where_an_option_cannot_work(options: dict[str, object]) -> None:
    """And each can be shown: the client is half made by then."""
    with pytest.raises((ConfigurationError, AttributeError)) as caught:
        SiteAssist(**{"token": TOKEN, **options}).with_options(deadline=-1.0)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # the wrong ones
    held = [repr(value) for value in our_locals(caught.value)]
    assert held
    assert TOKEN not in "".join(held)


REPORTED: tuple[Fault, ...] = (
    Disconnect(),
    Status(401),
    WrongId(),
    Raw(b"garbage\r\n\r\n"),
    Truncate(),
)


async def test_sentry_reports_no_token(emulator: Emulator) -> None:
    """With its defaults it sends the locals of all frames, and listens to every session."""
    ids = list(conversation_ids(2 * len(REPORTED)))
    for id_, fault in zip(ids, REPORTED * 2, strict=True):
        emulator.script(id_, fault)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(__file__).with_name("sentry_client.py")), emulator.url, *ids),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    reports = out.decode().splitlines()
    assert len([report for report in reports if "siteassist_async" in report]) >= len(ids)
    assert TOKEN not in out.decode()
