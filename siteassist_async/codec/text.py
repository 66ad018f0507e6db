"""JSON text to plain values and back, whatever JavaScript may have written."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import msgspec

from siteassist_async.errors import ResponseTooLargeError

Json = dict[str, Any]
"""A JSON object."""

BOM = b"\xef\xbb\xbf"
"""A byte order mark, which a JSON text should not but may begin with (RFC 8259, section 8.1)."""

EXCERPT = 200
"""How many of an unusable body's bytes an error keeps."""


MOST_VALUES = 200_000
"""Values of a body that objects are made of, about; a conversation of 10,000 messages has as many.

One call makes them, and one pass of the garbage collector looks at them: each takes a twentieth of
a second at the worst.
"""

_SPARSE = MOST_VALUES  # bytes: a shorter body cannot have more


def check_density(body: bytes) -> None:
    """Refuse a body whose values are tiny and many: decoding it would hold up all else for long.

    Nothing runs during one call of a decoder, be it in a thread. Commas and brackets within strings
    count too: to tell them apart would take as long.

    Raises:
        ResponseTooLargeError: It has too many.
    """
    if len(body) > _SPARSE and sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise ResponseTooLargeError(
            f"the body has more than {MOST_VALUES:,} values; use get_raw for its bytes"
        )


class NotJsonError(ValueError):
    """The bytes are no JSON text."""


def parse(text: bytes) -> object:
    """Read a JSON text as UTF-8.

    Lone surrogates, which JavaScript makes of a cut emoji and writes as escapes, are kept.
    """
    text = text.removeprefix(BOM)
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        why = _why(text, error)
    if b"\\ud" in text or b"\\uD" in text:
        try:
            return json.loads(text.decode(), parse_constant=_refuse, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            why = _why(text, error)
    # Not from the error: those of UTF-8 and of the standard library's JSON hold all of the text.
    raise NotJsonError(why)


def dump(value: object) -> bytes:
    """Write plain values on one line; lone surrogates are escaped."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def excerpt(text: bytes) -> str:
    """Give the beginning of what came, for an error."""
    return text[:EXCERPT].decode(errors="replace")


def _why(text: bytes, error: Exception) -> str:
    if not text:
        return "the body is empty"
    if isinstance(error, RecursionError):
        return "the body is nested too deeply"
    return f"the body is not JSON: {error}"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"{number[:20]} is out of range")
    return value
