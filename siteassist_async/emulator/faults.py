"""Faults: what a response says and how it is sent, and which request meets which one."""
# ruff: noqa: D102 - the docstring of a fault says what calling it does

from __future__ import annotations

import gzip
import struct
import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import shake_128
from typing import Any

import msgspec
from attrs import define, evolve, field, frozen
from attrs.validators import ge, le

from siteassist_async.emulator.ids import valid_id
from siteassist_async.emulator.responses import Fault, HeaderPairs, StubResponse, error_response

__all__ = [
    "Charset",
    "Chunked",
    "Combined",
    "Delay",
    "Disconnect",
    "Drip",
    "Gzip",
    "GzipBomb",
    "Headers",
    "Oversized",
    "Pretty",
    "Raw",
    "Redirect",
    "Schedule",
    "Share",
    "Stall",
    "Status",
    "Truncate",
    "UnknownFields",
    "Unsolicited",
    "WrongId",
    "gzip_bomb",
]


_GZIPPED: HeaderPairs = (("Content-Encoding", "gzip"),)

# RFC 1952: deflate, no flags, no time, best compression, unknown operating system.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
_MEBIBYTE = b" " * 1_048_576


def _pairs(headers: Mapping[str, str] | HeaderPairs) -> HeaderPairs:
    return tuple(headers.items()) if isinstance(headers, Mapping) else headers


@frozen(init=False)
class Combined:
    """Several faults of one response, the first one first: `Combined(Delay(1), Status(503))`."""

    faults: tuple[Fault, ...]

    def __init__(self, *faults: Fault) -> None:
        object.__setattr__(self, "faults", faults)

    def __call__(self, response: StubResponse) -> StubResponse:
        for fault in self.faults:
            response = fault(response)
        return response


@frozen
class Status:
    """A response of another status.

    Its body is the documented one of the status (the response's own below 400), with `details` or
    only `details.retryAfter` replaced; or it is `body`.
    """

    status: int
    retry_after: float | None = field(default=None, kw_only=True)
    details: Mapping[str, object] | None = field(default=None, kw_only=True)
    body: bytes | None = field(default=None, kw_only=True)
    headers: HeaderPairs = field(default=(), kw_only=True, converter=_pairs)

    def __call__(self, response: StubResponse) -> StubResponse:
        body = response.body if self.body is None else self.body
        if self.body is None and self.status >= 400:
            details = self.details
            if self.retry_after is not None:
                details = {**(details or {}), "retryAfter": self.retry_after}
            body = error_response(self.status, response.conversation_id, details).body
        return evolve(response, status=self.status, body=body).with_headers(self.headers)


@frozen
class Headers:
    """Headers added or replaced: `Set-Cookie`, `Content-Length`, `Connection: close` and so on.

    A `Content-Length` shorter or longer than the body is sent as it is.
    """

    headers: HeaderPairs = field(converter=_pairs)

    def __call__(self, response: StubResponse) -> StubResponse:
        return response.with_headers(self.headers)


@frozen
class Redirect:
    """A redirect to another URL."""

    url: str
    status: int = 302

    def __call__(self, response: StubResponse) -> StubResponse:
        moved = evolve(response, status=self.status, body=b"")
        return moved.with_headers((("Location", self.url),))


@frozen
class WrongId:
    """The conversation of another ID."""

    conversation_id: str = "00000000-0000-4000-8000-000000000000"

    def __call__(self, response: StubResponse) -> StubResponse:
        asked, other = response.conversation_id.encode(), self.conversation_id.encode()
        return evolve(response, body=response.body.replace(asked, other))


@frozen
class Pretty:
    """The same JSON, indented."""

    indent: int = 2

    def __call__(self, response: StubResponse) -> StubResponse:
        return evolve(response, body=msgspec.json.format(response.body, indent=self.indent))


@frozen
class UnknownFields:
    """Fields, a message part, a role and a status that no client has heard of."""

    def __call__(self, response: StubResponse) -> StubResponse:
        body: dict[str, Any] = msgspec.json.decode(response.body)
        body |= {"status": "snoozed", "snoozedUntil": "2031-01-01T00:00:00.000Z", "tags": [[{}]]}
        for message in body.get("messages", []):
            message |= {"role": "robot", "sentiment": {"score": 0.1}}
            message["parts"].append({"type": "hologram", "mesh": [1, 2.5, None]})
        return evolve(response, body=msgspec.json.encode(body))


@frozen
class Charset:
    """The body in another charset, `utf-8-sig` (a byte order mark) or `utf-16` say."""

    charset: str

    def __call__(self, response: StubResponse) -> StubResponse:
        content_type = f"application/json; charset={self.charset}"
        recoded = evolve(response, body=response.body.decode().encode(self.charset))
        return recoded.with_headers((("Content-Type", content_type),))


@frozen
class Gzip:
    """A gzip body: whole, without its last `missing` bytes, or only declared and not encoded."""

    missing: int = 0
    declared_only: bool = False

    def __call__(self, response: StubResponse) -> StubResponse:
        if not self.declared_only:
            body = gzip.compress(response.body, mtime=0)
            response = evolve(response, body=body[: len(body) - self.missing])
        return response.with_headers(_GZIPPED)


@frozen
class GzipBomb:
    """A valid gzip body that unpacks to the response's JSON and spaces, `mebibytes` in all."""

    mebibytes: int = 1024

    def __call__(self, response: StubResponse) -> StubResponse:
        bomb = gzip_bomb(response.body, self.mebibytes)
        return evolve(response, body=bomb).with_headers(_GZIPPED)


@frozen
class Oversized:
    """The response's JSON followed by spaces, `size` bytes in all, streamed."""

    size: int
    chunked: bool = False

    def __call__(self, response: StubResponse) -> StubResponse:
        padding = max(0, self.size - len(response.body))
        return evolve(response, padding=padding, chunked=self.chunked)


@frozen
class Chunked:
    """No fault: a body of unknown length, in chunks of `size` bytes."""

    size: int = 1024

    def __call__(self, response: StubResponse) -> StubResponse:
        return evolve(response, chunked=True, piece=self.size)


@frozen
class Delay:
    """Seconds before anything is sent."""

    seconds: float

    def __call__(self, response: StubResponse) -> StubResponse:
        return evolve(response, delay=response.delay + self.seconds)


@frozen
class Drip:
    """A slow drip: `size` bytes of the body every `every` seconds."""

    size: int = 1
    every: float = 1.0

    def __call__(self, response: StubResponse) -> StubResponse:
        return evolve(response, piece=self.size, every=self.every)


@frozen
class Stall:
    """The headers and `after` bytes of the body, then silence; the connection stays open.

    Silence before the headers is a `Delay`.
    """

    after: int = 0
    seconds: float = 3600.0

    def __call__(self, response: StubResponse) -> StubResponse:
        return evolve(response, cut=self.after, hold=self.seconds)


@frozen
class Truncate:
    """The connection closes after `after` bytes of the body, half of it by default.

    With a Content-Length, or chunked without the last chunk; with FIN, or with a reset.
    """

    after: int | None = None
    chunked: bool = False
    reset: bool = False

    def __call__(self, response: StubResponse) -> StubResponse:
        cut = response.length // 2 if self.after is None else self.after
        return evolve(response, cut=cut, chunked=self.chunked, reset=self.reset)


@frozen
class Disconnect:
    """The connection closes before the headers; with FIN, or with a reset."""

    reset: bool = False

    def __call__(self, response: StubResponse) -> StubResponse:
        return evolve(response, dropped=True, reset=self.reset)


@frozen
class Raw:
    """These bytes instead of an HTTP response; then the connection closes."""

    data: bytes

    def __call__(self, response: StubResponse) -> StubResponse:
        return evolve(response, raw=self.data)


@frozen
class Unsolicited:
    """The right response, and `late` seconds after it bytes that nobody asked for."""

    data: bytes
    late: float = 0.0

    def __call__(self, response: StubResponse) -> StubResponse:
        return evolve(response, unsolicited=self.data, late=self.late)


@lru_cache(maxsize=4)
def gzip_bomb(start: bytes, mebibytes: int) -> bytes:
    """Compress `start` and so many mebibytes of spaces into one valid gzip member."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    # After a full flush the same input gives the same output, so one mebibyte is compressed
    # and then repeated; only the checksum has to see them all.
    first = deflate.compress(start) + deflate.flush(zlib.Z_FULL_FLUSH)
    spaces = deflate.compress(_MEBIBYTE) + deflate.flush(zlib.Z_FULL_FLUSH)
    checksum = zlib.crc32(start)
    for _ in range(mebibytes):
        checksum = zlib.crc32(_MEBIBYTE, checksum)
    size = len(start) + len(_MEBIBYTE) * mebibytes
    trailer = struct.pack("<LL", checksum, size % 2**32)
    return b"".join((_GZIP_HEADER, first, spaces * mebibytes, deflate.flush(), trailer))


@frozen
class Share:
    """A fault that a share of the IDs meets: `Share(0.02, Status(503, retry_after=1))`.

    The seed decides which IDs, not the order of the requests. The first `times` requests for each
    of them meet the fault; later ones are served normally.
    """

    share: float = field(validator=[ge(0), le(1)])
    fault: Fault
    times: int = field(default=1, validator=ge(1))


@define(eq=False)
class Schedule:
    """The scripted faults of single IDs, then the shares."""

    seed: int
    shares: Sequence[Share]
    _scripts: dict[str, deque[Fault]] = field(init=False, factory=dict[str, deque[Fault]])
    _met: dict[str, int] = field(init=False, factory=dict[str, int])

    def __attrs_post_init__(self) -> None:
        if sum(share.share for share in self.shares) > 1:
            raise ValueError("the shares of the faults add up to more than 1")

    def script(self, conversation_id: str, faults: tuple[Fault, ...]) -> None:
        """Add to the faults that the next requests for an ID meet, one each."""
        self._scripts.setdefault(valid_id(conversation_id), deque()).extend(faults)

    def unmet(self) -> dict[str, int]:
        """Return the number of scripted faults that are left, by ID."""
        return {key: len(faults) for key, faults in self._scripts.items() if faults}

    def next_fault(self, conversation_id: str) -> Fault | None:
        """Return the fault that this request for an ID meets, and use it up."""
        if script := self._scripts.get(conversation_id):
            return script.popleft()
        if not self.shares:
            return None
        source = shake_128(f"faults:{self.seed}:{conversation_id}".encode())
        drawn = int.from_bytes(source.digest(7), "big") / 2**56
        for share in self.shares:
            drawn -= share.share
            if drawn < 0:
                met = self._met.get(conversation_id, 0)
                if met >= share.times:
                    break
                self._met[conversation_id] = met + 1
                return share.fault
        return None
