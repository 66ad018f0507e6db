"""The lines of the outputs: reading the ID of a record, or a dead letter."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, cast

import msgspec
from attrs import frozen

from siteassist_async.codec.fast import decode_head
from siteassist_async.codec.text import NotJsonError, parse
from siteassist_async.errors import InvalidIdError
from siteassist_async.export.dead_letters import DeadLetter, decode
from siteassist_async.export.store import Held
from siteassist_async.export.values import version_of
from siteassist_async.ids import parse_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def record_id(line: bytes) -> str | None:
    """Return the ID of the conversation on a line; None if the line is not a valid record."""
    try:
        try:
            line.decode()  # the decoder checks the encoding only of what it keeps
            return parse_id(decode_head(line).id)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            record = parse(line)  # the fast decoder refuses lone surrogates
            is_object = isinstance(record, dict)
            return parse_id(cast("dict[str, object]", record).get("id")) if is_object else None
    except (NotJsonError, InvalidIdError):
        return None


@frozen
class Glance:
    """What the index of records knows of a record."""

    id: str
    version: int
    is_open: bool


class _Head(msgspec.Struct, gc=False):
    id: str
    updatedAt: object = None  # noqa: N815 - the API's name
    status: object = None


_decode_head = msgspec.json.Decoder(_Head).decode


def glance(line: bytes) -> Glance:
    """Read what the index needs of a valid record."""
    try:
        head = _decode_head(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        record = cast("dict[str, object]", parse(line))
        head = _Head(str(record["id"]), record.get("updatedAt"), record.get("status"))
    return Glance(parse_id(head.id), version_of(head.updatedAt), head.status == "open")


def index_entries(lines: Iterable[bytes]) -> Iterator[tuple[str, Held]]:
    """Yield what the index of records holds of lines of a log."""
    for line in lines:
        found = glance(line)
        yield found.id, Held(found.version, zlib.crc32(line), found.is_open)


def read_letter(line: bytes) -> DeadLetter | None:
    """Return the dead letter on a line; None if the line is not one."""
    try:
        return decode(line)
    except (msgspec.MsgspecError, UnicodeError):
        return None
