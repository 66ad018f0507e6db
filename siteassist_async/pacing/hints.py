"""Header hints: `RateLimit` and `X-RateLimit-*`, trusted once throttling confirms them."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from attrs import field

from siteassist_async.immutable import define, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

# Three notations: `"minute";r=50;t=30`, `limit=100, remaining=50, reset=30`, and a bare number.
# Drafts of draft-ietf-httpapi-ratelimit-headers use each; X-RateLimit-* has no standard.
_QUOTED = re.compile(r'"[^"]*"')
_PARAMETER = re.compile(r"(?<![\w.])([A-Za-z]+)\s*=\s*(\d{1,15}(?:\.\d{1,9})?)(?![\w.])", re.ASCII)
_NUMBER = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*", re.ASCII)

_X_REMAINING, _REMAINING = "x-ratelimit-remaining", "ratelimit-remaining"
_SEPARATE = [
    {name: header.replace("remaining", name) for name in ("remaining", "reset", "limit")}
    for header in (_REMAINING, _X_REMAINING)
]

# Servers send `reset` as seconds, as a date in seconds, or as one in milliseconds.
_SECONDS_FROM, _MILLISECONDS_FROM = 1e9, 1e11


@frozen
class RateLimitHint:
    """What a server's headers say about its rate limit; advice that may be wrong.

    Attributes:
        remaining: Requests left in the current window.
        reset: Seconds until the quota is renewed.
        quota: Requests per window.
        window: Length of a window in seconds.
    """

    remaining: float | None = None
    reset: float | None = None
    quota: float | None = None
    window: float | None = None

    @classmethod
    def from_headers(cls, headers: Mapping[str, str], *, epoch: float) -> RateLimitHint | None:
        """Read the headers of a response; None if they do not say how many requests remain.

        `headers` has names in lower case or is case-insensitive. `epoch` is the current Unix time,
        for servers that send `reset` as a date. Of several policies, the most exhausted one counts.
        """
        quoted = headers.get("ratelimit")
        if quoted is None and _X_REMAINING not in headers and _REMAINING not in headers:
            return None  # nearly every response, so this path is fast
        said = _least(quoted)
        if not said:
            for name, header in _SEPARATE[_X_REMAINING in headers].items():
                if number := _NUMBER.fullmatch(headers.get(header, "")):
                    said[name] = float(number[1])
        remaining = said.get("r", said.get("remaining"))
        if remaining is None:
            return None
        reset = said.get("t", said.get("reset"))
        if reset is not None and reset >= _SECONDS_FROM:
            reset = max(0.0, (reset / 1000 if reset >= _MILLISECONDS_FROM else reset) - epoch)
        promised = _least(headers.get("ratelimit-policy"))
        return cls(
            remaining=remaining,
            reset=reset,
            quota=promised.get("q", said.get("limit")),
            window=promised.get("w"),
        )


def _least(value: str | None) -> dict[str, float]:
    if not value:
        return {}
    items = [
        {name.lower(): float(number) for name, number in _PARAMETER.findall(item)}
        for item in _QUOTED.sub("", value).split(",")
    ]
    policies = [item for item in items if "r" in item or "q" in item]
    if policies:
        return min(policies, key=lambda item: item.get("r", item.get("q", 0.0)))
    return {name: number for item in items for name, number in item.items()}


# Seconds: the longest wait because of a header, so that a wrong one costs little.
LONGEST_WAIT = 60.0


@define
class HeaderHints:
    """Decides whether headers that report an empty quota can be trusted.

    The first header that says "0 remaining" only starts a test: is a request that starts after it
    throttled? If so, the next such header closes the gate. If a request succeeds in spite of the
    header, or the quota is still empty after the gate has opened, headers are ignored from then on.
    """

    _proven: bool = field(init=False, default=False)
    _wrong: bool = field(init=False, default=False)
    _closed: bool = field(init=False, default=False)
    _empty_from: float = field(init=False, default=math.inf)
    _empty_until: float = field(init=False, default=-math.inf)

    def succeeded(self, sent: float, now: float, hint: RateLimitHint) -> float:
        """Process the header of a success; returns the seconds to close the gate for, or 0."""
        wait = self.wait(hint)
        if self._empty_from < sent < self._empty_until:
            self._wrong = True
        if self._closed and sent >= self._empty_until:
            self._closed, self._wrong = False, self._wrong or wait is not None
        if self._wrong or wait is None:
            return 0.0
        self._empty_from, self._empty_until = now, now + wait
        self._closed = self._proven
        return wait if self._proven else 0.0

    def throttled(self, sent: float) -> None:
        """Note a throttled request, which may confirm an earlier header."""
        if self._empty_from < sent < self._empty_until:
            self._proven = True

    def wait(self, hint: RateLimitHint) -> float | None:
        """Return the seconds until an empty quota is renewed; None if not empty or not known."""
        if hint.remaining is None or hint.remaining >= 1:
            return None
        wait = hint.window if hint.reset is None else hint.reset
        return None if wait is None or not wait > 0 else min(wait, LONGEST_WAIT)
