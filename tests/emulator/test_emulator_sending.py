"""Answers of the emulator, byte by byte on a socket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from loopback import ID, Coma, Naps, ask, hang_up, session_of, url

from siteassist_async.emulator import (
    Chunked,
    Combined,
    Delay,
    Disconnect,
    Drip,
    Emulator,
    Headers,
    Oversized,
    Raw,
    Stall,
    Status,
    Truncate,
    Unsolicited,
    conversation,
)

if TYPE_CHECKING:
    from siteassist_async.emulator import Fault


async def exchange(fault: Fault, *, naps: Naps | None = None) -> tuple[bytes, bytes]:
    """The head and body that a connection carries until the server closes it."""
    async with Emulator(messages=0, sleep=(naps or Naps()).sleep) as api:
        api.script(ID, fault)
        reader, writer = await ask(api)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        await hang_up(writer)
    return head, body


async def test_latency_and_delay_are_slept() -> None:
    """With the sleep that was given."""
    naps = Naps()
    async with Emulator(latency=0.5, sleep=naps.sleep) as api:
        api.script(ID, Delay(7))
        for _ in range(2):
            reader, writer = await ask(api)
            assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
            await hang_up(writer)
    assert naps.slept == [7.5, 0.5]


async def test_a_disconnect_sends_nothing() -> None:
    """The connection ends before the headers."""
    assert await exchange(Disconnect()) == (b"", b"")


@pytest.mark.parametrize("fault", [Disconnect(reset=True), Truncate(reset=True)])
async def test_a_reset_is_a_reset(fault: Fault) -> None:
    """The client's read fails instead of ending."""
    with pytest.raises(ConnectionResetError):
        await exchange(fault)


async def test_a_truncated_body_is_shorter_than_its_length() -> None:
    """The Content-Length is the whole body's."""
    head, body = await exchange(Truncate(after=10))
    length = len(json.dumps(conversation(ID, messages=0), separators=(",", ":")))
    assert f"Content-Length: {length}".encode() in head
    assert body == b'{"object":'


async def test_a_truncated_chunked_body_has_no_last_chunk() -> None:
    """What was sent is in chunks; the end is missing."""
    head, body = await exchange(Truncate(after=10, chunked=True))
    assert b"Transfer-Encoding: chunked" in head
    assert body == b'a\r\n{"object":\r\n'


async def test_a_truncated_body_may_be_all_headers() -> None:
    """Cut before the first byte."""
    head, body = await exchange(Truncate(after=0))
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b""


async def test_a_drip_sleeps_before_each_piece() -> None:
    """Piece by piece, to the end of the body."""
    naps = Naps()
    fault = Combined(Status(200, body=b"abcde"), Drip(2, every=3), Headers({"Connection": "close"}))
    _, body = await exchange(fault, naps=naps)
    assert body == b"abcde"
    assert naps.slept == [3, 3, 3]


async def test_a_chunked_body_is_whole() -> None:
    """In chunks of the size that was asked for, with the last one."""
    fault = Combined(Status(200, body=b"abc"), Chunked(2), Headers({"Connection": "close"}))
    _, body = await exchange(fault)
    assert body == b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_oversized_body_is_as_long_as_asked(*, chunked: bool) -> None:
    """And it is still the conversation."""
    async with Emulator() as api, session_of(api) as session:
        api.script(ID, Oversized(1_000_000, chunked=chunked))
        async with session.get(url(api)) as response:
            body = await response.read()
            assert response.content_length == (None if chunked else 1_000_000)
        assert len(body) == 1_000_000
        assert json.loads(body)["id"] == ID


@pytest.mark.parametrize("length", [5, 5000])
async def test_a_content_length_is_sent_as_it_was_given(length: int) -> None:
    """Shorter or longer than the body."""
    head, body = await exchange(
        Headers({"Content-Length": str(length), "Connection": "close"}),
    )
    assert f"Content-Length: {length}".encode() in head
    assert body.endswith(b'"messages":[]}')


async def test_a_content_length_of_a_drip_is_sent_as_it_was_given() -> None:
    """Also where the body goes out in pieces; what is beyond it is not sent."""
    fault = Combined(Headers({"Content-Length": "5", "Connection": "close"}), Drip(4, every=1))
    head, body = await exchange(fault)
    assert b"Content-Length: 5\r\n" in head
    assert body == b'{"obj'


async def test_raw_bytes_are_all_that_is_sent() -> None:
    """No header is added, and the connection closes."""
    assert await exchange(Raw(b"SSH-2.0-x\r\n")) == (b"SSH-2.0-x\r\n", b"")


async def test_unsolicited_bytes_come_after_the_answer() -> None:
    """On the same connection, which stays open."""
    naps = Naps()
    async with Emulator(messages=0, sleep=naps.sleep) as api:
        api.script(ID, Combined(Status(200, body=b"mine"), Unsolicited(b"HTTP/1.1 200", late=2)))
        reader, writer = await ask(api)
        assert (await reader.readuntil(b"mineHTTP/1.1 200")).count(b"HTTP/1.1 200") == 2
        assert naps.slept == [2]
        await hang_up(writer)


@pytest.mark.parametrize("fault", [Stall(after=10), Delay(60), Combined(Delay(60), Raw(b"x"))])
async def test_a_stalled_answer_ends_with_its_client(fault: Fault) -> None:
    """The handler is cancelled when the client gives up, and is in flight no more."""
    coma = Coma()
    async with Emulator(sleep=coma.sleep) as api:
        api.script(ID, fault)
        _, writer = await ask(api)
        await coma.begun.wait()
        assert api.counters.in_flight == 1
        await hang_up(writer)
        await coma.cancelled.wait()
        assert api.counters.in_flight == 0


async def test_a_stall_sends_the_beginning_and_stays_open() -> None:
    """Headers and so many bytes, then nothing; a stop cuts it off."""
    coma = Coma()
    async with Emulator(sleep=coma.sleep) as api:
        api.script(ID, Stall(after=10))
        reader, writer = await ask(api)
        assert await reader.readuntil(b'{"object":')
        await coma.begun.wait()
        assert not reader.at_eof()
    assert await reader.read() == b""
    assert coma.cancelled.is_set()
    await hang_up(writer)


@pytest.mark.parametrize(
    "fault",
    [
        Raw(b"x"),
        Disconnect(),
        Disconnect(reset=True),
        Status(500),
        Truncate(),
        Combined(Chunked(), Headers({"X": "1"})),
        Unsolicited(b"x" * 10, late=1),
    ],
)
async def test_an_answer_to_a_client_that_has_gone_is_dropped(
    fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a word in the log, whatever was about to be sent."""

    async def drop_first(_: float) -> None:
        api.drop_connections()

    async with Emulator(sleep=drop_first) as api:
        api.script(ID, Combined(Delay(1), fault))
        reader, writer = await ask(api)
        assert await reader.read() == b""
        await hang_up(writer)
    assert caplog.records == []
