"""What a process that was forked must not share with its parent, and begins anew."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Renewable(Protocol):
    """Something whose state belongs to the process that it came to be in."""

    def renew(self) -> None:
        """Forget the parent's connections, timers and waiting tasks; touch none of them."""
        ...


_RENEWED: WeakSet[Renewable] = WeakSet()


def renew_in_children(renewable: Renewable) -> None:
    """Call `renewable.renew` in each child process that is forked from now on."""
    _RENEWED.add(renewable)


def _renew() -> None:
    for renewable in list(_RENEWED):
        renewable.renew()


os.register_at_fork(after_in_child=_renew)
