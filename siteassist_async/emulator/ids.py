"""Conversation IDs: validation, and a reproducible sequence of them."""

from __future__ import annotations

import re
from hashlib import shake_128
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

_BLOCK = 1024


def conversation_ids(count: int, seed: int = 0) -> Iterator[str]:
    """Yield `count` distinct UUIDs (version 4, lower case), the same ones for the same `seed`.

    A shorter sequence is the beginning of a longer one.
    """
    for first in range(0, count, _BLOCK):
        digits = shake_128(f"ids:{seed}:{first}".encode()).hexdigest(16 * _BLOCK)
        for index in range(min(_BLOCK, count - first)):
            yield uuid4(digits[32 * index : 32 * index + 32])


def uuid4(digits: str) -> str:
    """Format 32 random hex digits as a version 4 UUID."""
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-"
        f"{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"
    )


# RFC 9562: the two highest bits of the ninth octet are 10.
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def valid_id(conversation_id: str) -> str:
    """Return the ID in lower case.

    Raises:
        ValueError: It is not a UUID in the usual form of 36 characters.
    """
    lower = conversation_id.lower()
    if not UUID.fullmatch(lower):
        raise ValueError(f"not a UUID: {conversation_id!r}")
    return lower
