"""The schedule of faults: which request meets which one."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from hashlib import shake_128

from attrs import define, field, frozen
from attrs.validators import ge, le

from siteassist_async.emulator.ids import valid_id
from siteassist_async.emulator.responses import Fault

__all__ = ["Schedule", "Share"]


@frozen
class Share:
    """A fault that a share of the IDs meets: `Share(0.02, Status(503, retry_after=1))`.

    The seed decides which IDs, not the order of the requests. The first `times` requests for each
    of them meet the fault; later ones are served normally.
    """

    share: float = field(validator=[ge(0), le(1)])
    fault: Fault
    times: int = field(default=1, validator=ge(1))


@define(eq=False)
class Schedule:
    """The scripted faults of single IDs, then the shares."""

    seed: int
    shares: Sequence[Share]
    _scripts: dict[str, deque[Fault]] = field(init=False, factory=dict[str, deque[Fault]])
    _met: dict[str, int] = field(init=False, factory=dict[str, int])

    def __attrs_post_init__(self) -> None:
        if sum(share.share for share in self.shares) > 1:
            raise ValueError("the shares of the faults add up to more than 1")

    def script(self, conversation_id: str, faults: tuple[Fault, ...]) -> None:
        """Add to the faults that the next requests for an ID meet, one each."""
        self._scripts.setdefault(valid_id(conversation_id), deque()).extend(faults)

    def unmet(self) -> dict[str, int]:
        """Return the number of scripted faults that are left, by ID."""
        return {key: len(faults) for key, faults in self._scripts.items() if faults}

    def next_fault(self, conversation_id: str) -> Fault | None:
        """Return the fault that this request for an ID meets, and use it up."""
        if script := self._scripts.get(conversation_id):
            return script.popleft()
        if not self.shares:
            return None
        source = shake_128(f"faults:{self.seed}:{conversation_id}".encode())
        drawn = int.from_bytes(source.digest(7), "big") / 2**56
        for share in self.shares:
            drawn -= share.share
            if drawn < 0:
                met = self._met.get(conversation_id, 0)
                if met >= share.times:
                    break
                self._met[conversation_id] = met + 1
                return share.fault
        return None
