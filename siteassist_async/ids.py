"""Conversation ids: checked before they come near a URL, a file or a log."""

from __future__ import annotations

import re
from uuid import UUID

from siteassist_async.errors import InvalidIdError

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def parse_id(value: object) -> str:
    """Return the id in its canonical form: 36 characters, lower case.

    Raises:
        InvalidIdError: It is neither a `uuid.UUID` nor its usual text.
    """
    if isinstance(value, str):
        canonical = value.lower()
        if _UUID.fullmatch(canonical):
            return canonical
    elif isinstance(value, UUID):
        return str(value)
    shown = repr(value[:100]) if isinstance(value, str) else f"a {type(value).__name__}"
    raise InvalidIdError(
        f"not a conversation id (a UUID such as 123e4567-e89b-12d3-a456-426614174000): {shown}"
    )
