"""JSON text to plain values and back, including the lone surrogates that JavaScript writes."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

from siteassist_async.errors import ResponseTooLargeError

Json = dict[str, Any]
"""A JSON object."""

BOM = b"\xef\xbb\xbf"
"""The byte order mark, which parsers may ignore at the start of JSON (RFC 8259, section 8.1)."""

EXCERPT = 200
"""Number of bytes of an unusable body that an error keeps."""


MOST_VALUES = 200_000
"""Approximate limit on the values of a decoded body; a conversation of 10,000 messages has as many.

They are created in one call and visited by one pass of the garbage collector, which block the event
loop for at most 0.05 s each.
"""


def check_density(body: bytes, advice: str) -> None:
    """Reject a body with too many small values, because decoding it would block the event loop.

    That is so even in a thread, since the decoder holds the GIL. The number of values is estimated
    from commas and brackets, including those in strings; an exact count would take as long as
    decoding.

    Raises:
        ResponseTooLargeError: It has too many values.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise ResponseTooLargeError(f"the body has more than {MOST_VALUES:,} values; {advice}")


class NotJsonError(ValueError):
    """The bytes are not valid JSON."""


def parse(text: bytes) -> object:
    """Parse JSON in UTF-8; raises NotJsonError.

    Escaped lone surrogates are kept; JavaScript writes them when a string is cut within an emoji.
    """
    text = text.removeprefix(BOM)
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        why = _why(text, error)
    if b"\\ud" in text or b"\\uD" in text:
        try:
            return json.loads(text.decode(), parse_constant=_finite, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            why = _why(text, error)
    # Not `from error`: the errors of UTF-8 and of the json module contain the whole text.
    raise NotJsonError(why)


def wire_name(attribute: str) -> str:
    """Name an attribute as the wire does."""
    if attribute == "last_interaction_at":
        return "lastInterationAt"  # misspelt in the specification
    first, *rest = attribute.split("_")
    return first + "".join(word.capitalize() for word in rest)


def dump(value: object) -> bytes:
    """Encode plain values on one line; lone surrogates are escaped."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def excerpt(text: bytes) -> str:
    """Return the start of a body, for an error."""
    return text[:EXCERPT].decode(errors="replace")


def _why(text: bytes, error: Exception) -> str:
    if not text:
        return "the body is empty"
    if isinstance(error, RecursionError):
        return "the body is nested too deeply"
    return f"the body is not JSON: {error}"


def _finite(number: str) -> float:
    value = float(number)  # also of NaN and Infinity, which the json module accepts
    if not math.isfinite(value):
        fault = "out of range" if number[-1].isdigit() else "not JSON"
        raise ValueError(f"{number[:20]} is {fault}")
    return value
