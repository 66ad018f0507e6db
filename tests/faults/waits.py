"""What the server asks to wait, in every form, and how often it is asked again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from attrs import evolve

from siteassist_async import (
    AuthenticationError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    RetryPolicy,
    SiteAssistError,
)

from .rows import Row, fails
from .wire import GOOD, JSON, answer, error

OWN_PAUSE = 60.0
"""More than the pacer waits where the server names no time, and more than it spreads a start."""

RFC_9110 = "%a, %d %b %Y %H:%M:%S GMT"
FUTURE = "Tue, 01 Jan 2199 10:00:00 GMT"
SOONER = "Tue, 01 Jan 2199 09:59:00 GMT"

SOON = datetime.now(UTC) + timedelta(hours=2)
"""Further off than all tests take."""


def refusal(status: int = 429, *headers: str, wait: str | None = None) -> bytes:
    """A refusal whose `retryAfter` is this JSON."""
    details = "" if wait is None else f',"details":{{"retryAfter":{wait}}}'
    body = f'{{"error":{{"message":"Later."{details}}}}}'.encode()
    return answer(body, status, [*JSON, *headers])


def obeyed(
    name: str, seconds: float, *headers: str, wait: str | None = None, status: int = 429
) -> Row:
    """Refused once: the conversation comes no earlier than asked, and not much later."""
    gap = (seconds, 1.1 * seconds + OWN_PAUSE)
    plays = [[refusal(status, *headers, wait=wait)], [GOOD]]
    return Row(name, plays, requests=2, gaps=[gap], retry=RetryPolicy(patience=10_000))


def date(form: str) -> str:
    """The header with a date that is to come."""
    return f"Retry-After: {SOON.strftime(form)}"


IN_THE_BODY = [
    obeyed(f"retryAfter {wait[:12]}", seconds, wait=wait)
    for wait, seconds in (
        ("7", 7.0),
        ("0.25", 0.25),
        ("599.5", 599.5),
        ("1e2", 100.0),
        ('"7"', 7.0),
        ('" 7.5 "', 7.5),
        ("0", 0),
        ("-0.0", 0),
        ("-5", 0),
        ('"-5"', 0),
        ("null", 0),
        ("true", 0),
        ("NaN", 0),
        ("Infinity", 0),
        ('"inf"', 0),
        ('"nan"', 0),
        ('"soon"', 0),
        ('""', 0),
        ("[7]", 0),
        ('{"seconds":7}', 0),
        ("1e400", 0),
        ("1" * 5000, 0),
    )
]

IN_THE_HEADER = [
    obeyed(f"Retry-After: {value}", seconds, f"Retry-After: {value}")
    for value, seconds in (
        ("7", 7.0),
        ("  7  ", 7.0),
        ("7.5", 7.5),
        ("0", 0),
        ("-7", 0),
        ("7s", 0),
        ("", 0),
        ("nan", 0),
        ("inf", 0),
        ("soon", 0),
        ("Wed, 99 Jan 2030 99:99:99 GMT", 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("1e400", 0),
    )
] + [
    evolve(obeyed(f"Retry-After: {name}", 6000, date(form)), gaps=[(6000, 8000)])
    for name, form in (
        ("a date", RFC_9110),
        ("a date of RFC 850", "%A, %d-%b-%y %H:%M:%S GMT"),
        ("a date without a zone", "%a, %d %b %Y %H:%M:%S -0000"),
    )
]

IN_BOTH = [
    obeyed("the body asks for longer", 9.0, "Retry-After: 3", wait="9"),
    obeyed("the header asks for longer", 9.0, "Retry-After: 9", wait="3"),
    obeyed("the body is nonsense, the header is not", 9.0, "Retry-After: 9", wait="[]"),
    obeyed("the header is nonsense, the body is not", 9.0, "Retry-After: x", wait="9"),
    obeyed(
        "the header is past, the body is not",
        9.0,
        "Retry-After: Thu, 01 Jan 1970 00:00:00 GMT",
        wait="9",
    ),
    obeyed("the header alone, without a body", 9.0, "Retry-After: 9"),
]

TWICE = [
    obeyed("Retry-After twice, the longer first", 9.0, "Retry-After: 9", "Retry-After: 3"),
    obeyed("Retry-After twice, the longer last", 9.0, "Retry-After: 3", "Retry-After: 9"),
    obeyed("Retry-After twice, one is nonsense", 9.0, "Retry-After: 9", "Retry-After: soon"),
]

BY_THE_SERVERS_CLOCK = [
    obeyed(f"a date by the clock of a server that is {name}", 9.0, date, f"Retry-After: {after}")
    for name, date, after in (
        (
            "years behind",
            "Date: Wed, 01 Jan 2020 10:00:00 GMT",
            "Wed, 01 Jan 2020 10:00:09 GMT",
        ),
        (
            "years ahead",
            "Date: Tue, 01 Jan 2199 10:00:00 GMT",
            "Tue, 01 Jan 2199 10:00:09 GMT",
        ),
    )
] + [
    obeyed("a date that the server's own is past", 0, f"Date: {FUTURE}", f"Retry-After: {SOONER}"),
    evolve(
        obeyed("a date, and a Date that is none", 6000, date(RFC_9110), "Date: today"),
        gaps=[(6000, 8000)],
    ),
]

OF_OTHERS = [
    obeyed(f"Retry-After of a {status}", 9.0, "Retry-After: 9", status=status)
    for status in (408, 500, 502, 503, 504)
]


def refused(
    name: str, wait: str, requests: int, patience: float = 600, deadline: float | None = None
) -> Row:
    """Refused for ever: the error comes after so many requests, at once."""
    row = fails(name, refusal(wait=wait), error=RateLimitError, requests=requests, reused=None)
    asked = {"retry_after": float(wait)}
    return evolve(row, telling=asked, retry=RetryPolicy(patience=patience), deadline=deadline)


LIMITS = [
    refused("longer than the patience", "601", 1),
    refused("for thirty million years", "1e15", 1),
    refused("for longer than there is time", "1e300", 1),
    refused("until the patience is used up", "100", 3, patience=250),
    refused("without patience", "0.5", 1, patience=0),
    refused("past the deadline", "60", 1, deadline=30),
    refused("until the deadline", "10", 3, deadline=25),
    refused("0 for ever", "0", 5),
    fails(
        "404 with Retry-After",
        refusal(404, "Retry-After: 1"),
        error=NotFoundError,
        requests=1,
        reused=True,
    ),
]


def failing(name: str, requests: int, retry: RetryPolicy, deadline: float | None = None) -> Row:
    """A 500 for ever: the error comes after so many requests."""
    row = fails(
        name, answer(error(), 500), error=InternalServerError, requests=requests, reused=True
    )
    return evolve(row, retry=retry, deadline=deadline)


def after(name: str, status: int, cls: type[SiteAssistError]) -> Row:
    """A 500, and then what ends all trying."""
    plays = [[answer(error(), 500)], [answer(error(), status)]]
    return Row(name, plays, cls, requests=2)


ATTEMPTS = [
    *[failing(f"{n} attempts", n, RetryPolicy(attempts=n)) for n in (1, 2, 3, 9)],
    failing("a budget of 2 retries", 3, RetryPolicy(budget=2)),
    failing("no budget for retries", 1, RetryPolicy(budget=0)),
    failing(
        "an attempt past the deadline", 1, RetryPolicy(first_delay=1e6, longest_delay=1e6), 5.0
    ),
    after("401 after a 500", 401, AuthenticationError),
    after("404 after a 500", 404, NotFoundError),
    Row(
        "named waits spend no attempts",
        [[refusal(wait="1")], [answer(error(), 500)]] * 4
        + [[refusal(wait="1")], [answer(error(), 500)]],
        InternalServerError,
        requests=10,
    ),
]

ROWS: list[Row] = [
    *IN_THE_BODY,
    *IN_THE_HEADER,
    *IN_BOTH,
    *TWICE,
    *BY_THE_SERVERS_CLOCK,
    *OF_OTHERS,
    *LIMITS,
    *ATTEMPTS,
]
