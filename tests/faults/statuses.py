"""Statuses that are not documented, with nothing documented in their bodies."""

from __future__ import annotations

from siteassist_async import ClientError, ServerError, SiteAssistError, UnexpectedStatusError

from .rows import Row, fails
from .wire import BODY, GOOD, JSON, answer, head

RETRIED = {408, 425, 499, 504, 520, 521, 522, 523, 524, 529, 530}


def family(status: int) -> type[SiteAssistError]:
    """The class of a status that is not documented."""
    if 400 <= status < 500:
        return ClientError
    return ServerError if 500 <= status < 600 else UnexpectedStatusError


def undocumented(status: int) -> Row:
    """Such a status with nothing that is known."""
    return fails(
        str(status),
        answer(b"what?", status),
        error=family(status),
        requests=5 if status in RETRIED else 1,
        reused=True,
        status=status,
        message="what?",
        code=None,
    )


def unexpected(name: str, *steps: bytes, reused: bool = True, status: int) -> Row:
    """A status that is no error, and no 200."""
    return fails(
        name,
        *steps,
        error=UnexpectedStatusError,
        requests=1,
        reused=reused,
        status=status,
    )


ODD = [
    unexpected(
        "101 Switching Protocols",
        head(101, ["Upgrade: h2c", "Connection: upgrade"]),
        reused=False,
        status=101,
    ),
    unexpected("099", GOOD.replace(b"200 OK", b"099 Odd"), status=99),
    unexpected("201 with the conversation", answer(BODY, 201), status=201),
    unexpected("202 without a body", answer(b"", 202), status=202),
    unexpected("204", head(204, []), status=204),
    unexpected("205", answer(b"", 205), status=205),
    unexpected(
        "206 with a part",
        answer(BODY[:99], 206, [*JSON, "Content-Range: bytes 0-98/320"]),
        status=206,
    ),
    unexpected("207 with the conversation", answer(BODY, 207), status=207),
    unexpected("304", head(304, []), status=304),
    unexpected("304 with a length", head(304, ["Content-Length: 320"]), status=304),
]

UNDOCUMENTED = (
    *(300, 305, 306, 405, 406, 407, 408, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 423),
    *(424, 425, 426, 428, 431, 444, 451, 460, 499, 501, 504, 505, 506, 507, 508, 510, 511, 520),
    *(521, 522, 523, 524, 525, 526, 529, 530, 598, 599, 600, 666, 700, 999),
)

ROWS: list[Row] = [*ODD, *map(undocumented, UNDOCUMENTED)]
