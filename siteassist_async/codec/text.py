"""JSON text to plain values and back, whatever JavaScript may have written."""

from __future__ import annotations

import json
import math
from typing import NoReturn

import msgspec

from siteassist_async.errors import ResponseTooLargeError

BOM = b"\xef\xbb\xbf"
"""A byte order mark, which a JSON text should not but may begin with (RFC 8259, section 8.1)."""

EXCERPT = 200
"""How many of an unusable body's bytes an error keeps."""


MOST_VALUES = 500_000
"""Values of a body that become objects, about: a tenth of a second of one call, at the worst.

A conversation of 20,000 messages has as many.
"""

MOST_SKIPPED = 16_000_000
"""Values of a body that are only checked, about; as long at the worst."""

_SPARSE = 2**18  # a body of fewer bytes cannot take long


def check_density(body: bytes, most: int) -> None:
    """Refuse a body that would take one call of a decoder too long, whose values are tiny and many.

    Nothing else runs during such a call, be it in a thread. Commas and brackets within strings
    count too: to tell them apart would take as long.

    Raises:
        ResponseTooLargeError: It has more values.
    """
    if len(body) > _SPARSE and sum(map(body.count, (b",", b"[", b"{"))) > most:
        raise ResponseTooLargeError(f"the body has more than {most:,} values")


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
