"""How long a server asks to wait, in each form that it may say so."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from strategies import PROPERTY, json_values

from siteassist_async.codec import decode_error
from siteassist_async.retry_after import (
    longest,
    seconds_from_body,
    seconds_from_header,
    seconds_from_headers,
)

NOW = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
FORMS = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"]
"""The three dates of HTTP (RFC 9110, section 5.6.7); the last two are obsolete, and allowed."""


def is_a_wait(seconds: float | None) -> bool:
    """None, or a time that can be slept; never a negative zero, which would be shown as -0."""
    return seconds is None or (math.isfinite(seconds) and math.copysign(1, seconds) == 1)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (60, 60.0),
        (0, 0.0),
        (-0.0, 0.0),
        (0.25, 0.25),
        (10**9, 1e9),
        (1e300, 1e300),
        ("60", 60.0),
        (" 60\n", 60.0),
        ("0.25", 0.25),
        ("1e3", 1000.0),
        ("+5", 5.0),
        ("-0", 0.0),
        # These name no time.
        (-1, None),
        (-0.001, None),
        ("-1", None),
        (math.nan, None),
        (math.inf, None),
        (-math.inf, None),
        ("NaN", None),
        ("Infinity", None),
        pytest.param(10**5_000, None, id="5,001 digits"),
        pytest.param("9" * 5_000, None, id="5,000 digits"),
        ("", None),
        ("soon", None),
        ("60 s", None),
        ("1,5", None),
        ("0x10", None),
        ("2024-01-15T10:31:00Z", None),
        (None, None),
        (True, None),
        (False, None),
        ([60], None),
        ({"seconds": 60}, None),
    ],
)
def test_retry_after_of_a_body(value: object, seconds: float | None) -> None:
    """A number of seconds, or its text, however large; what is waited is not decided here."""
    assert seconds_from_body(value) == seconds
    assert is_a_wait(seconds_from_body(value))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("-0000", 0.0),
        ("99999999999", 99999999999.0),
        ("Mon, 15 Jan 2024 10:31:00 GMT", 60.0),
        ("Monday, 15-Jan-24 10:31:00 GMT", 60.0),
        ("Mon Jan 15 10:31:00 2024", 60.0),
        ("  Mon, 15 Jan 2024 10:31:00 GMT  ", 60.0),
        ("Mon, 15 Jan 2024 11:31:00 +0100", 60.0),
        ("Mon, 15 Jan 2024 10:31:00 -0000", 60.0),
        ("Mon, 15 Jan 2024 10:31:00", 60.0),
        ("Mon, 15 Jan 2024 10:30:00 GMT", 0.0),
        # The past asks for no wait.
        ("Mon, 15 Jan 2024 10:29:59 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        # These name no time.
        ("", None),
        (" ", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        pytest.param("9" * 5_000, None, id="5,000 digits"),
        ("soon", None),
        ("60, 120", None),
        ("Mon, 32 Jan 2024 10:31:00 GMT", None),
        ("Mon, 15 Jan 2024 25:31:00 GMT", None),
        ("Mon, 15 Jan 99999 10:31:00 GMT", None),
        ("Mon, 15 Jan 99999999999999999999 10:31:00 GMT", None),
        ("Mon, 15 Jan 2024 10:31:00 +99999999999", None),
        ("2024-01-15T10:31:00Z", None),
        ("\x00\ud800", None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_retry_after_header(value: str, seconds: float | None) -> None:
    """Seconds, or a date in each of HTTP's three forms."""
    assert seconds_from_header(value, NOW) == seconds
    assert is_a_wait(seconds_from_header(value, NOW))


def test_a_date_counts_from_this_moment() -> None:
    """Where no other is given."""
    tomorrow = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
    seconds = seconds_from_header(tomorrow)
    assert seconds is not None
    assert 0 < seconds <= 86_400


@pytest.mark.parametrize(
    ("body", "header", "seconds"),
    [
        (60, "30", 60.0),
        (30, "60", 60.0),
        (30, "Mon, 15 Jan 2024 10:31:00 GMT", 60.0),
        (0, "", 0.0),
        (None, "0", 0.0),
        (-1, "5", 5.0),
        (5, "soon", 5.0),
        ("soon", "", None),
        (None, "", None),
    ],
)
def test_where_body_and_header_disagree_the_longer_counts(
    body: object, header: str, seconds: float | None
) -> None:
    """So that no request comes earlier than either asks."""
    assert longest(seconds_from_body(body), seconds_from_header(header, NOW)) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        ([("Retry-After", "5")], 5.0),
        ([("retry-after", "5"), ("RETRY-AFTER", "60"), ("Retry-After", "soon")], 60.0),
        ([("Date", "Wed, 01 Jan 2020 10:00:00 GMT"), ("Retry-After", "5")], 5.0),
        (
            [
                ("Retry-After", "Wed, 01 Jan 2020 10:01:00 GMT"),
                ("date", "Wed, 01 Jan 2020 10:00:00 GMT"),
            ],
            60.0,
        ),
        ([("Date", "?"), ("Retry-After", "Wed, 01 Jan 2020 10:01:00 GMT")], 0.0),
    ],
)
def test_of_all_headers_the_longest_wait_counts(
    headers: list[tuple[str, str]], seconds: float | None
) -> None:
    """A date is measured by the server's clock where the server tells its time."""
    assert seconds_from_headers(CIMultiDict(headers)) == seconds


@pytest.mark.parametrize(
    ("details", "seconds"),
    [
        (b'{"retryAfter": 60}', 60.0),
        (b'{"retryAfter": "60"}', 60.0),
        (b'{"retryAfter": [60]}', None),
        (b'{"retryAfter": null}', None),
        (b'{"retryAfter": NaN}', None),
        (b'{"retryAfter": 1e999}', None),
        (b'{"retryAfter": %s}' % (b"9" * 4_000), None),
        (b'{"retryAfter": %s}' % (b"9" * 5_000), None),
        (b'{"retry_after": 60}', None),
        (b'[{"retryAfter": 60}]', None),
        (b'"retryAfter"', None),
        (b"60", None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_retry_after_is_found_in_an_errors_body(details: bytes, seconds: float | None) -> None:
    """Under `details`, of any status."""
    body = decode_error(b'{"error": {"message": "Later.", "details": %s}}' % details)
    assert seconds_from_body(body.retry_after) == seconds


@PROPERTY
@given(json_values | st.floats() | st.from_regex(r"\s*[-+]?[0-9_.]+(e[0-9]+)?\s*"))
def test_a_bodys_wait_is_none_or_a_time(value: object) -> None:
    """Whatever JSON came."""
    assert is_a_wait(seconds_from_body(value))


DATES = st.builds(
    datetime.strftime,
    st.datetimes(datetime(1000, 1, 1)),  # noqa: DTZ001 - the forms name no other zone than GMT
    st.sampled_from(FORMS),
)
WORDS = st.sampled_from(
    [*" ,:-+.", "Mon", "Jan", "GMT", "EST", "Z", "15", "2024", "10:31:00", "99"]
)


@PROPERTY
@given(st.text(st.characters()) | DATES | st.lists(WORDS, max_size=12).map("".join))
def test_a_headers_wait_is_none_or_a_time(value: str) -> None:
    """Whatever text came, date or not."""
    assert is_a_wait(seconds_from_header(value, NOW))


@PROPERTY
@given(st.integers(0, 10**9), st.sampled_from(FORMS[::2]))
def test_a_date_is_read_to_the_second(seconds: int, form: str) -> None:
    """In the two forms that name the whole year."""
    date = (NOW + timedelta(seconds=seconds)).strftime(form)
    assert seconds_from_header(date, NOW) == seconds
