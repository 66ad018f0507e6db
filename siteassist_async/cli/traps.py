"""What lies on the demo's way, beside the rate limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from siteassist_async.emulator import Answer, Delay, Disconnect, Fault, Share, Status, Truncate

if TYPE_CHECKING:
    from collections.abc import Iterable


@define
class Trap:
    """A fault that the first request for each of a share of the ids meets."""

    name: str
    share: float
    fault: Fault
    met: int = field(default=0, init=False)

    def __call__(self, answer: Answer) -> Answer:
        """Count it, and spoil the answer."""
        self.met += 1
        return self.fault(answer)


def traps() -> list[Trap]:
    """Set them anew."""
    return [
        Trap("503, naming a wait of a second", 0.001, Status(503, retry_after=1)),
        Trap("502", 0.010, Status(502)),
        Trap("no answer: the connection was closed", 0.010, Disconnect()),
        Trap("half an answer, then a reset", 0.010, Truncate(reset=True)),
        Trap("half an answer, then the end", 0.010, Truncate(chunked=True)),
        Trap("an answer half a second late", 0.010, Delay(0.5)),
    ]


def shares(set_up: Iterable[Trap]) -> list[Share]:
    """Give them to an emulator."""
    return [Share(trap.share, trap) for trap in set_up]
