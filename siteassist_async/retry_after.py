"""How long a server asks to wait, in every form that it says so."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


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


def seconds_from_headers(headers: Mapping[str, str]) -> float | None:
    """Read the Retry-After headers of an answer, the longest of them where there are several.

    A date is measured from the answer's own Date, whatever this machine's clock says.
    """
    retry_after: list[str] = []
    date: datetime | None = None
    for name, value in headers.items():  # those of aiohttp give a repeated name more than once
        if name.lower() == "retry-after":
            retry_after.append(value)
        elif name.lower() == "date":
            date = _http_date(value)
    return longest(*(seconds_from_header(value, date) for value in retry_after))


def seconds_from_header(value: str, now: datetime | None = None) -> float | None:
    """Read a Retry-After header: seconds, or an HTTP date (RFC 9110, section 10.2.3).

    A date in the past asks for no wait: 0. Garbage names no time: None. `now` is an aware time,
    by default this moment.
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
    # "-0000" gives a naive time, which RFC 5322 means as UTC.
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def longest(*waits: float | None) -> float | None:
    """Never earlier than asked: of body and header, the longer."""
    return max((wait for wait in waits if wait is not None), default=None)
