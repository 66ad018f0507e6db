"""Redirects: none is followed, wherever it leads."""

from __future__ import annotations

from siteassist_async import UnexpectedStatusError

from .rows import TOKEN, Row, fails
from .wire import BODY, ID, OTHER_ID, answer

PLACES = {
    "the same URL": f"/v2/conversations/{ID}",
    "another id": f"/v2/conversations/{OTHER_ID}",
    "another path": "/admin",
    "another host": "http://127.0.0.2:9/v2",
    "another port": "http://127.0.0.1:9/v2",
    "https": "https://127.0.0.1/v2",
    "a host without a scheme": "//127.0.0.2:9/",
    "credentials": "http://user:pw@127.0.0.1:9/",
    "a script": "javascript:alert(1)",
    "a file": "file:///etc/passwd",
    "nonsense": "http://[::1",
    "nothing": "",
    "the token": f"http://127.0.0.1:9/?token={TOKEN}",
}


def redirect(status: int, name: str, location: str, body: bytes = b"") -> Row:
    """A redirect, which is an unexpected status like any other."""
    return fails(
        f"{status} to {name}{' with the conversation' if body else ''}",
        answer(body, status, [f"Location: {location}"]),
        error=UnexpectedStatusError,
        requests=1,
        reused=True,
        status=status,
        code=None,
    )


ROWS: list[Row] = [
    *[redirect(307, name, location) for name, location in PLACES.items()],
    *[
        redirect(status, "another host", PLACES["another host"])
        for status in (300, 301, 302, 303, 308)
    ],
    *[redirect(status, "the same URL", PLACES["the same URL"], BODY) for status in (301, 302, 307)],
]
