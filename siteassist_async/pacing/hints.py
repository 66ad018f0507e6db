"""What `RateLimit` and `X-RateLimit-*` headers say of the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping


@frozen
class RateLimitHint:
    """A server's own words on its limit: advice, never more."""

    remaining: float | None = None
    reset: float | None = None
    quota: float | None = None
    window: float | None = None

    @classmethod
    def from_headers(cls, headers: Mapping[str, str], *, epoch: float) -> RateLimitHint | None:
        """Read the headers of one answer; None where there is nothing usable.

        `epoch` is the wall clock in seconds, for servers that send `reset` as a date.
        """
        del headers, epoch
        return None
