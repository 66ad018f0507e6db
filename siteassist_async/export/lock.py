"""The lock that keeps two runs from one output."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from siteassist_async.export.disk import writing
from siteassist_async.export.errors import OutputInUseError
from siteassist_async.export.state import LOCK

if TYPE_CHECKING:
    from collections.abc import Generator

    from siteassist_async.export.layout import Layout
    from siteassist_async.export.state import State


@contextmanager
def locked(layout: Layout, state: State) -> Generator[None]:
    """Hold an output for this run; the lock ends with its process, however that ends.

    Raises:
        OutputInUseError: Another run holds it.
    """
    with writing(state.path / LOCK):
        lock = state.open(LOCK, os.O_RDWR | os.O_CREAT)
    try:
        _hold(lock, layout)
        yield
    finally:
        os.close(lock)


def _hold(lock: int, layout: Layout) -> None:
    with writing(layout.folder / LOCK):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode(errors="replace").strip() or "unknown"
            raise OutputInUseError(
                f"another run is writing to it: process {holder}", path=str(layout.output)
            ) from None
        os.pwrite(lock, b"%-20d" % os.getpid(), 0)
