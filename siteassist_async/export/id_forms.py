"""The forms in which files write IDs: quoted, in braces, without dashes, as a URN, in a URL."""

from __future__ import annotations

import re

from siteassist_async.errors import InvalidIdError
from siteassist_async.ids import parse_id

_FORM = re.compile(
    r"(?:urn:uuid:|https?://[!-~]*[/=])?"
    r"([0-9a-f]{8}(-?)[0-9a-f]{4}\2[0-9a-f]{4}\2[0-9a-f]{4}\2[0-9a-f]{12})/?",
    re.IGNORECASE | re.ASCII,
)

_PAIRS = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "{": "}", "(": ")", "<": ">"}


def read_id(text: str) -> str:
    """Return the canonical ID that a text is, in any of the usual forms of a UUID.

    Raises:
        InvalidIdError: It is not an ID.
    """
    try:
        return parse_id(text)
    except InvalidIdError:
        inner = text
        while len(inner) > 2 and _PAIRS.get(inner[0]) == inner[-1]:
            inner = inner[1:-1].strip()
        found = _FORM.fullmatch(inner)
        if found is None:
            raise
    digits = found[1].replace("-", "").lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def is_id(text: str) -> bool:
    """Whether a text is an ID in any form."""
    try:
        read_id(text)
    except InvalidIdError:
        return False
    return True
