"""Large bodies: the event loop goes on, a deadline holds, and no error keeps one."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import traceback
import weakref
from typing import TYPE_CHECKING, cast

import pytest
from contract_bodies import wire, wire_message
from fakes import ID, ONCE, TOKEN, FakePacer, FakeSend, new_request, operation_of
from faults.wire import BODY

from siteassist_async import (
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    Response,
    ResponseTooLargeError,
    SiteAssist,
    SiteAssistError,
    UnusableResponseError,
)
from siteassist_async.codec import check_requested, decode_requested, record_requested
from siteassist_async.codec.text import MOST_VALUES
from siteassist_async.middleware.decode import LARGE, Decode
from siteassist_async.tracebacks import behind
from siteassist_async.transport import SMALLEST_MAX_BODY
from siteassist_async.transport import body as body_module
from siteassist_async.transport.inflate import PIECE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import aiohttp
    from fakes import FakeClock
    from faults.raw_server import RawServer

    from siteassist_async.emulator import Emulator

LONG = b" " * LARGE
"""What makes a body one that is decoded in a thread."""


@pytest.mark.parametrize("body", [BODY, BODY + LONG], ids=["small", "large"])
async def test_a_large_body_is_decoded_in_a_thread(body: bytes) -> None:
    """A small one is not: handing it over costs more than decoding it."""
    threads: list[int] = []

    def read(response: Response, conversation_id: str) -> object:
        threads.append(threading.get_ident())
        return decode_requested(response.body, conversation_id)

    request = new_request(operation_of(read))
    assert await Decode()(request, FakeSend(Response(200, {}, body))) == decode_requested(BODY, ID)
    assert (threads == [threading.get_ident()]) == (body is BODY)


async def test_a_deadline_holds_while_a_large_body_is_decoded(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call ends; what its thread still does is bounded by the size."""
    go_on = threading.Event()
    monkeypatch.setattr("siteassist_async.middleware.decode.LARGE", 0)

    def slow(*_: object) -> object:
        return go_on.wait(timeout=10)

    monkeypatch.setattr("siteassist_async.conversations.decode_requested", slow)
    async with SiteAssist(TOKEN, base_url=emulator.url, deadline=0.1, pacer=FakePacer()) as client:
        with pytest.raises(DeadlineExceededError):
            await client.conversations.get(ID)
        go_on.set()


def dense(values: int, value: str = "[]") -> bytes:
    """A conversation with so many commas and brackets in the metadata of a message."""
    body = json.dumps(wire(messages=[wire_message(metadata="here")])).encode()
    count = values // (value.count("[") + 1)
    return body.replace(b'"here"', f"[{','.join([value] * count)}]".encode())


def test_a_body_of_too_many_values_is_too_large() -> None:
    """One call that makes objects of them would hold the event loop, be it in a thread."""
    decode_requested(dense(MOST_VALUES - 100), ID)
    with pytest.raises(ResponseTooLargeError, match="more than 200,000 values; use get_raw"):
        decode_requested(dense(MOST_VALUES + 100), ID)


@pytest.mark.parametrize("accept", [check_requested, record_requested])
def test_a_record_may_have_more_of_them(accept: Callable[[bytes, str], bytes]) -> None:
    """Of its values no objects are made."""
    body = dense(2 * MOST_VALUES)
    assert accept(body, ID) == body


def test_commas_in_a_small_body_are_not_counted() -> None:
    """It cannot hold so many."""
    title = "," * 150_000
    assert decode_requested(json.dumps(wire(title=title)).encode(), ID).title == title


@pytest.mark.parametrize("extra", [{}, {"unknown": 1}], ids=["fast", "slow"])
def test_an_error_keeps_one_fault_of_many(extra: dict[str, object]) -> None:
    """Not one exception for each element of a list."""
    sent = wire(messages=[wire_message(role=5)] * 1000, **extra)
    with pytest.raises(UnusableResponseError) as caught:
        decode_requested(json.dumps(sent).encode(), ID)
    assert caught.value.path == "messages[0].role"
    assert list(behind(caught.value)) == [caught.value]


def held(error: BaseException) -> Iterator[object]:
    """What the package's frames hold, in the tracebacks of an error and of those behind it."""
    for one in behind(error):
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if frame.f_globals["__name__"].startswith("siteassist_async."):
                yield from frame.f_locals.values()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * LARGE,
        b'{"id": "' + b"x" * LARGE,
        BODY.replace(b"conversation", b"cat") + LONG,
        BODY.replace(ID.encode(), b"x" * LARGE),
        BODY[:-2] + LONG,
        b"\xff" * LARGE,
        BODY[:-1] + b',"messages":[' + b"0," * 90_000 + b"0]}",
    ],
    ids=lambda body: repr(body[:20]),
)
@pytest.mark.parametrize("accept", [decode_requested, check_requested, record_requested])
async def test_a_kept_error_keeps_nothing_of_a_body(
    body: bytes, accept: Callable[[bytes, str], object]
) -> None:
    """Neither its frames nor what is behind it; its texts are short."""
    made = [Response(200, {}, body)]
    kept = weakref.ref(made[0])
    send = FakeSend(lambda _: made.pop())
    error: SiteAssistError | None = None
    try:
        await Decode()(
            new_request(operation_of(lambda response, subject: accept(response.body, subject))),
            send,
        )
    except (UnusableResponseError, ConnectionFailedError) as caught:
        error = caught
    if error is None:  # this call does not look so far
        return
    for _ in range(100):  # the thread that decoded it may be about to let go of it
        if kept() is not None:
            await asyncio.to_thread(int)
    assert kept() is None
    for value in held(error):
        assert not isinstance(value, bytes | str) or len(value) < 1000
    assert len(repr(error.args)) < 1000
    assert len(getattr(error, "excerpt", "")) <= 200


class AtOnce:
    """A stream whose bytes are all there already."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.headers = {"Content-Encoding": "gzip"}

    @property
    def content(self) -> AtOnce:
        """As of a response."""
        return self

    async def readany(self) -> bytes:
        """Give the next without waiting."""
        return self._pieces.pop(0) if self._pieces else b""


async def test_a_packet_that_unpacks_to_much_lets_others_run() -> None:
    """Once for each piece of it."""
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    ticking = asyncio.create_task(tick())
    pieces: list[bytes] = []
    response = cast("aiohttp.ClientResponse", AtOnce(gzip.compress(bytes(8 * PIECE))))
    read = getattr(body_module, "_read")  # noqa: B009 - below it the stream is aiohttp's
    await read(response, response.content.readany, pieces, 9 * PIECE)
    ticking.cancel()
    assert len(b"".join(pieces)) == 8 * PIECE
    assert turns >= 7


async def test_a_limit_of_its_own(raw: RawServer, clock: FakeClock) -> None:
    """`max_body` replaces the default, and is a whole number of bytes that makes sense."""
    with pytest.raises(ConfigurationError, match="max_body must be an int of at least 65536 bytes"):
        SiteAssist(TOKEN, max_body=SMALLEST_MAX_BODY - 1)
    body = BODY + b" " * SMALLEST_MAX_BODY
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    raw.script[ID].extend([[head + body]] * 2)
    for limit in (len(body) - 1, len(body)):
        async with SiteAssist(
            TOKEN, base_url=raw.url, max_body=limit, clock=clock, retry=ONCE, pacer=FakePacer()
        ) as client:
            if limit < len(body):
                with pytest.raises(ResponseTooLargeError):
                    await client.conversations.get(ID)
            else:
                await client.conversations.get(ID)
