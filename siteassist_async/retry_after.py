"""Retry-After: how long a server asks to wait, in the body and in headers, in any format."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def seconds_from_body(value: object) -> float | None:
    """Read `details.retryAfter` of a body: a number, or a number in a string.

    None for anything else, including negative, infinite and NaN numbers.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):  # an integer of 5,000 digits overflows a float
        return None
    return abs(seconds) if 0 <= seconds < math.inf else None  # abs: no -0.0


def seconds_from_headers(headers: Mapping[str, str]) -> float | None:
    """Read the Retry-After headers of a response; the longest one, if there are several.

    A date is relative to the response's own Date header, so the local clock does not matter.
    """
    retry_after: list[str] = []
    date: datetime | None = None
    for name, value in headers.items():  # aiohttp's mapping yields repeated headers
        if name.lower() == "retry-after":
            retry_after.append(value)
        elif name.lower() == "date":
            date = _http_date(value)
    return longest(*(seconds_from_header(value, date) for value in retry_after))


def seconds_from_header(value: str, now: datetime | None = None) -> float | None:
    """Read a Retry-After header: seconds, or an HTTP date (RFC 9110, section 10.2.3).

    0 for a date in the past, None for garbage. `now` is timezone-aware and defaults to the current
    time.
    """
    seconds = seconds_from_body(value.strip())
    if seconds is not None:
        return seconds
    date = _http_date(value)
    if date is None:
        return None
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError, TypeError):
        return None
    # An offset of "-0000" gives a naive time; in RFC 5322 it means UTC.
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def longest(*waits: float | None) -> float | None:
    """Return the longest of the waits that are given, so that no retry is earlier than asked."""
    return max((wait for wait in waits if wait is not None), default=None)
