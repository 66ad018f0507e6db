"""A disk that counts what is written to it, and fails or loses power when a test says so."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from siteassist_async.export import store
from siteassist_async.export.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path


class PowerLossError(BaseException):
    """The machine stops here; nothing may catch it."""


class Disk:
    """What the export does to its files, step by step.

    Attributes:
        steps: How many changes were made or begun.
        before: Called before each change, with its number and its name.
        lost: Whether the power is gone: no change is made any more.
        synced: By inode, the size that is durable.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.before: Callable[[int, str], None] = lambda _step, _name: None
        self.lost = False
        self.synced: dict[int, int] = {}
        self._turn = threading.RLock()
        self._inside = False

    def step(self, name: str) -> None:
        """Count a change that is about to be made."""
        with self._turn:
            if self._inside:  # a change that the test makes
                return
            if self.lost:
                raise PowerLossError
            self.steps += 1
            self._inside = True
            try:
                self.before(self.steps, name)
            except PowerLossError:
                self.lost = True
                raise
            finally:
                self._inside = False

    def note_sync(self, file: int) -> os.stat_result:
        """Remember how much of a file is durable."""
        status = os.fstat(file)
        self.synced[status.st_ino] = status.st_size
        return status

    def unsynced(self, path: Path) -> tuple[int, int]:
        """From where to where a file may hold anything after a loss of power."""
        status = path.stat()
        return min(self.synced.get(status.st_ino, 0), status.st_size), status.st_size


@contextmanager
def watched() -> Generator[Disk]:
    """Let all changes that the export makes pass a disk, which the test drives."""
    disk = Disk()

    def passing(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def passed(*args: object, **options: object) -> object:
            disk.step(name)
            if name == "fsync" and isinstance(args[0], int):
                return disk.note_sync(args[0])
            return call(*args, **options)

        return passed

    with pytest.MonkeyPatch.context() as patch:
        # Power is not really lost, so nothing need wait for the real disk.
        patch.setattr(store, "_SETTINGS", "PRAGMA synchronous = OFF; PRAGMA journal_mode = WAL")
        for name in ("write", "fsync", "ftruncate", "replace", "unlink", "mkdir"):
            patch.setattr(os, name, passing(name, getattr(os, name)))
        patch.setattr(Store, "commit", passing("commit", Store.commit))
        yield disk
