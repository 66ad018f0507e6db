"""The state folder of an export, for one run at a time: its files and its lock."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.export.disk import private, status_of, sync_folder, writing
from siteassist_async.export.errors import OutputInUseError, StateError
from siteassist_async.export.layout import CHECKPOINT

if TYPE_CHECKING:
    from collections.abc import Generator

    from siteassist_async.export.layout import Layout


LOCK = "lock"
"""Locked by the run that writes to this output."""
REBUILT = "rebuilt.db"
"""The checkpoint database while it is rebuilt."""
SEAL = "seal"
"""The status of the checkpoint database after this package's last write."""
IDS = "ids.txt"
"""The plain list of IDs, if the input is a pipe or another kind of file."""
NEW_IDS = "ids.new"
"""A new plain list, until it is known to continue the old one."""
RECEIVED = "received.new"
"""The content of a pipe, until its column is read."""
RETRY_IDS = "retry.txt"
"""The plain list of failed IDs, while they are retried."""
KEPT_LETTERS = "kept.jsonl"
"""The dead letters that stay when others are retried, until they replace the old file."""
PLAIN = ("plain-0.jsonl", "plain-1.jsonl", "plain-2.jsonl")
"""The lines of a compressed log that are not compressed yet. There are three names, so that the
next file is not taken for the one before."""

_SQLITE = ("", "-wal", "-shm", "-journal")
_DATABASES = tuple(f"{name}{end}" for name in (CHECKPOINT, REBUILT) for end in _SQLITE)
OWN = (*_DATABASES, SEAL, IDS, NEW_IDS, RECEIVED, RETRY_IDS, KEPT_LETTERS, *PLAIN)
"""All files that an export creates in the folder, except the lock."""


@frozen
class State:
    """The open folder: its files are the same even if it is moved or replaced."""

    path: Path
    folder: int

    def open(self, name: str, flags: int) -> int:
        """Open a file.

        Raises:
            StateError: It is a link, or has another name elsewhere.
            OSError: It cannot be opened.
        """
        self._refuse_link(name)
        return private(name, flags, folder=self.folder)

    def create(self, name: str) -> int:
        """Create a file, to be written and read; an existing one is deleted first."""
        self.remove(name)
        return self.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)

    def status(self, name: str) -> os.stat_result | None:
        """Return the status of a file; None if there is none."""
        with writing(self.path / name):
            return status_of(name, folder=self.folder)

    def remove(self, name: str) -> None:
        """Delete a file if it exists."""
        with writing(self.path / name):
            if status_of(name, folder=self.folder) is not None:
                os.unlink(name, dir_fd=self.folder)

    def rename(self, name: str, to: str) -> None:
        """Rename a file within the folder, replacing an existing one."""
        with writing(self.path / to):
            os.replace(name, to, src_dir_fd=self.folder, dst_dir_fd=self.folder)

    def move_out(self, name: str, to: Path) -> None:
        """Move a file out of the folder, replacing an existing one."""
        with writing(to):
            os.replace(name, to, src_dir_fd=self.folder)

    def sync(self) -> None:
        """Make creations, renames and deletions durable."""
        sync_folder(self.path)

    def check_database(self, name: str) -> Path:
        """Return the path of a database, checked for links: SQLite cannot open a descriptor."""
        for end in _SQLITE:
            self._refuse_link(f"{name}{end}")
        return self.path / name

    def check_file(self, name: str) -> Path:
        """Return the path of a file that is opened by its path, checked for links."""
        self._refuse_link(name)
        return self.path / name

    def discard(self) -> None:
        """Delete all files of the export, except the lock and a list that was just staged."""
        for name in OWN:
            if name != NEW_IDS:
                self.remove(name)

    def _refuse_link(self, name: str) -> None:
        status = self.status(name)
        if status is not None and (not stat.S_ISREG(status.st_mode) or status.st_nlink > 1):
            raise StateError(
                "is a link or not a regular file, and no export creates such; "
                "remove it, or choose another output",
                path=str(self.path / name),
            )


@contextmanager
def opened_state(layout: Layout) -> Generator[State]:
    """Open the state of an export that has one.

    Raises:
        StateError: It is not a folder that only this user can write to.
        FileNotFoundError: There is none.
    """
    try:
        folder = os.open(layout.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except NotADirectoryError as error:
        raise _refused(layout, "is a link or not a folder") from error
    try:
        status = os.fstat(folder)
        if status.st_uid != os.geteuid():
            raise _refused(layout, "belongs to another user")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise _refused(layout, "is writable by other users")
        yield State(layout.folder, folder)
    finally:
        os.close(folder)


@contextmanager
def made_state(layout: Layout) -> Generator[State]:
    """Open the state of an export; created, durably, if it is missing."""
    with writing(layout.output):  # the only name that the user knows
        if status_of(layout.folder) is None:
            layout.folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(layout.folder.parent)
    with opened_state(layout) as state:
        yield state


def _refused(layout: Layout, what: str) -> StateError:
    return StateError(
        f"{what}; the state of an export to {layout.output.name} must be a folder that only "
        "its user can write to: remove it, or choose an output in another folder",
        path=str(layout.folder),
    )


@contextmanager
def locked(layout: Layout, state: State) -> Generator[None]:
    """Lock an output for this run; the lock ends with the process, however that ends.

    Raises:
        OutputInUseError: Another run has locked it.
    """
    with writing(state.path / LOCK):
        lock = state.open(LOCK, os.O_RDWR | os.O_CREAT)
    try:
        with writing(layout.folder / LOCK):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(lock, 20, 0).decode(errors="replace").strip() or "unknown"
                raise OutputInUseError(
                    f"another run is writing to it: process {holder}", path=str(layout.output)
                ) from None
            os.pwrite(lock, b"%-20d" % os.getpid(), 0)
        yield
    finally:
        os.close(lock)
