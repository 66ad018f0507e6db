"""Forked processes: state that a child must not share with its parent is reset after a fork."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Renewable(Protocol):
    """Something with state that belongs to one process."""

    def renew(self) -> None:
        """Forget the parent's connections, timers and tasks, without touching any of them."""
        ...


_RENEWED: WeakSet[Renewable] = WeakSet()


def renew_in_children(renewable: Renewable) -> None:
    """Call `renewable.renew` in every child process forked from now on."""
    _RENEWED.add(renewable)


def _renew() -> None:
    for renewable in list(_RENEWED):
        renewable.renew()


os.register_at_fork(after_in_child=_renew)
