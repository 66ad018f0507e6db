"""The lines of the outputs: reading the ID of a record, or a dead letter."""

from __future__ import annotations

from typing import cast

import msgspec

from siteassist_async.codec.fast import decode_head
from siteassist_async.codec.text import NotJsonError, parse
from siteassist_async.errors import InvalidIdError
from siteassist_async.export.dead_letters import DeadLetter, decode
from siteassist_async.ids import parse_id


def record_id(line: bytes) -> str | None:
    """Return the ID of the conversation on a line; None if the line is not a valid record."""
    try:
        line.decode()  # the decoder checks the encoding only of what it keeps
        return parse_id(decode_head(line).id)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _odd_record(line)
    except InvalidIdError:
        return None


def _odd_record(line: bytes) -> str | None:
    """Read a record that the fast decoder refuses, because of lone surrogates."""
    try:
        record = parse(line)
        is_object = isinstance(record, dict)
        return parse_id(cast("dict[str, object]", record).get("id")) if is_object else None
    except (NotJsonError, InvalidIdError):
        return None


def read_letter(line: bytes) -> DeadLetter | None:
    """Return the dead letter on a line; None if the line is not one."""
    try:
        return decode(line)
    except (msgspec.MsgspecError, UnicodeError):
        return None
