"""Answers as bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from siteassist_async.contract import documented_body

if TYPE_CHECKING:
    from collections.abc import Sequence

ID = "123e4567-e89b-12d3-a456-426614174000"
OTHER_ID = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"

JSON = ("Content-Type: application/json",)


def conversation(conversation_id: str = ID, **fields: object) -> bytes:
    """The documented conversation, of this id."""
    documented = json.loads(documented_body(200))
    return json.dumps({**documented, "id": conversation_id, **fields}).encode()


def error(message: object = "No.", **fields: object) -> bytes:
    """An error's body."""
    return json.dumps({"error": {"message": message, **fields}}).encode()


def answer(
    body: bytes = b"",
    status: str | int = "200 OK",
    headers: Sequence[str] = JSON,
    *,
    length: object = None,
    version: str = "1.1",
) -> bytes:
    """A whole answer with its Content-Length, or with another one."""
    size = len(body) if length is None else length
    return head(status, [*headers, f"Content-Length: {size}"], version=version) + body


def head(
    status: str | int = "200 OK", headers: Sequence[str] = JSON, version: str = "1.1"
) -> bytes:
    """A status line, headers and the empty line."""
    status = f"{status} Some" if isinstance(status, int) else status
    return "\r\n".join([f"HTTP/{version} {status}", *headers, "", ""]).encode(
        "utf-8", "surrogateescape"
    )


def chunk(data: bytes, extension: str = "") -> bytes:
    """One chunk."""
    return f"{len(data):x}{extension}\r\n".encode() + data + b"\r\n"


LAST_CHUNK = b"0\r\n\r\n"


def chunked(*chunks: bytes, status: str | int = "200 OK", headers: Sequence[str] = JSON) -> bytes:
    """A whole answer in chunks."""
    pieces = b"".join(chunk(data) for data in chunks)
    return head(status, [*headers, "Transfer-Encoding: chunked"]) + pieces + LAST_CHUNK


BODY = conversation()
GOOD = answer(BODY)
