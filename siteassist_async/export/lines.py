"""What stands on a line of the outputs."""

from __future__ import annotations

from typing import TypeGuard

import msgspec

from siteassist_async.codec.fast import decode_head
from siteassist_async.codec.text import NotJsonError, parse
from siteassist_async.errors import InvalidIdError
from siteassist_async.export.dead_letters import DeadLetter, decode
from siteassist_async.ids import parse_id


def record_id(line: bytes) -> str | None:
    """Return the id of the conversation on a line; None where the line is no whole record."""
    try:
        line.decode()  # which the decoder does only for what it keeps
        return parse_id(decode_head(line).id)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _odd_record(line)
    except InvalidIdError:
        return None


def _odd_record(line: bytes) -> str | None:
    """Read what the fast decoder refuses and yet may be a record: one with lone surrogates."""
    try:
        record = parse(line)
        return parse_id(record.get("id")) if _is_object(record) else None
    except (NotJsonError, InvalidIdError):
        return None


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def read_letter(line: bytes) -> DeadLetter | None:
    """Read the dead letter on a line; None where the line is none."""
    try:
        return decode(line)
    except (msgspec.MsgspecError, UnicodeError):
        return None
