"""How long a server asks to wait, in every form that it says so."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def seconds_from_body(value: object) -> float | None:
    """Read the body's `details.retryAfter`: a number, or a number in a string.

    A negative, infinite or NaN number, and anything else, names no time: None.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):  # an integer of 5,000 digits overflows a float
        return None
    return abs(seconds) if 0 <= seconds < math.inf else None  # abs: no -0.0


def seconds_from_header(value: str | None, now: datetime | None = None) -> float | None:
    """Read a Retry-After header: seconds, or an HTTP date (RFC 9110, section 10.2.3).

    A date in the past asks for no wait: 0. Garbage names no time: None. `now` is an aware time,
    by default this moment.
    """
    if value is None:
        return None
    seconds = seconds_from_body(value.strip())
    if seconds is not None:
        return seconds
    try:
        date = parsedate_to_datetime(value)
        # "-0000" gives a naive time, which RFC 5322 means as UTC.
        aware = date if date.tzinfo else date.replace(tzinfo=UTC)
        return max(0.0, (aware - (now or datetime.now(UTC))).total_seconds())
    except (ValueError, OverflowError, TypeError):
        return None


def longest(*waits: float | None) -> float | None:
    """Never earlier than asked: of body and header, the longer."""
    return max((wait for wait in waits if wait is not None), default=None)
