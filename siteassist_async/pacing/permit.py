"""What a start returns: it is settled exactly once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Protocol

from attrs import define, field

if TYPE_CHECKING:
    from siteassist_async.pacing.hints import RateLimitHint


class Settler(Protocol):
    """What hears how the request of a permit ended."""

    def succeeded(self, permit: Permit, hint: RateLimitHint | None) -> None:
        """The API answered, and did not refuse, whatever the status."""
        ...

    def throttled(
        self,
        permit: Permit,
        retry_after: float | None,
        *,
        limited: bool,
        hint: RateLimitHint | None,
    ) -> bool:
        """The API refused: 429 where `limited`, else 503; whether others are served meanwhile."""
        ...

    def abandoned(self, permit: Permit) -> None:
        """The request ended in a way that teaches nothing."""
        ...


@define(eq=False)
class Permit:
    """A request that may be sent now; settle it by one of its methods, exactly once.

    Attributes:
        sent: When it started, by the pacer's clock.
        subject: What it is about: a conversation's id.
        bulk: Whether it is one of many, as opposed to a call that somebody waits for.
        number: Counts all starts of a pacer.
        settler: Who hears how it ended; None once it has.
    """

    sent: float
    subject: Hashable
    bulk: bool
    number: int
    settler: Settler | None = field(default=None, repr=False)

    def succeeded(self, hint: RateLimitHint | None = None) -> None:
        """The API answered, and did not refuse, whatever the status."""
        settler, self.settler = self.settler, None
        if settler is None:
            raise _settled_before()
        settler.succeeded(self, hint)

    def throttled(
        self, retry_after: float | None, *, limited: bool, hint: RateLimitHint | None = None
    ) -> bool:
        """The API refused: 429 where `limited`, else 503.

        Returns whether it refuses this subject alone, while it answers others.
        """
        return self._settle().throttled(self, retry_after, limited=limited, hint=hint)

    def abandoned(self) -> None:
        """The request ended in a way that teaches nothing: an error, a cancellation."""
        self._settle().abandoned(self)

    def _settle(self) -> Settler:
        settler, self.settler = self.settler, None
        if settler is None:
            raise _settled_before()
        return settler


def _settled_before() -> RuntimeError:
    return RuntimeError("this permit is settled already")
