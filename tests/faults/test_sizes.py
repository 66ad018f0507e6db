"""Memory is bounded by our limits, not by what is sent."""

from __future__ import annotations

import asyncio
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from siteassist_async.emulator import conversation_ids
from siteassist_async.emulator.faults import gzip_bomb

from .raw_server import Again
from .wire import BODY, JSON, answer, chunk, chunked, head

if TYPE_CHECKING:
    from .raw_server import Play, RawServer

pytestmark = pytest.mark.usefixtures("public_only")

MEBIBYTE = b" " * 2**20
HUGE = 300 * 2**20


def gzipped(body: bytes, status: int) -> bytes:
    """A whole answer, compressed."""
    return answer(body, status, [*JSON, "Content-Encoding: gzip"])


def sizes(status: int) -> list[Play]:
    """Bodies of hundreds of mebibytes, and of a gibibyte once they are unpacked."""
    gibibyte = gzip_bomb(BODY, 1024)
    chunks = head(status, [*JSON, "Transfer-Encoding: chunked"])
    members = gzip_bomb(b"", 20) * 60
    deflate = zlib.compressobj(9)
    raw = deflate.compress(MEBIBYTE * 100) + deflate.flush()
    return [
        [head(status, [*JSON, f"Content-Length: {HUGE}"]), Again(MEBIBYTE, 300)],
        [head(status), Again(MEBIBYTE)],
        [chunks, Again(chunk(MEBIBYTE))],
        [chunks, Again(chunk(MEBIBYTE[:4096]) * 2**8)],
        [gzipped(gibibyte, status)],
        [gzipped(members, status)],
        [chunked(gibibyte, status=status, headers=[*JSON, "Content-Encoding: gzip"])],
        [answer(raw, status, [*JSON, "Content-Encoding: deflate"])],
    ]


async def test_memory_is_bounded_by_the_limits(server: RawServer) -> None:
    """64 MiB of a conversation, and next to nothing of an error."""
    plays: list[Play] = [*sizes(500), *sizes(200)]
    first, *ids = conversation_ids(len(plays) + 1)
    for conversation_id, play in zip(ids, plays, strict=True):
        server.script[conversation_id].append(play)
    said = [line.split() for line in await hungry_client(server.url, first, *ids)]
    errors, conversations = said[: len(said) // 2], said[len(said) // 2 :]
    assert {outcome for outcome, _ in errors} == {"InternalServerError"}
    assert {outcome for outcome, _ in conversations} == {"ResponseTooLargeError"}
    assert max(int(size) for _, size in errors) < 16
    assert max(int(size) for _, size in conversations) < 160


async def hungry_client(*arguments: str) -> list[str]:
    """What it prints; its memory is its own."""
    script = Path(__file__).with_name("hungry_client.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode().splitlines()
