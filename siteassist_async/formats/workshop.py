"""The workshop of a conversion: a lock, and a place beside the output to make a new one in."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.export.disk import private, status_of, sync_folder, writing
from siteassist_async.export.errors import OutputError, OutputInUseError
from siteassist_async.formats.sink import place_file

if TYPE_CHECKING:
    from collections.abc import Generator


@frozen
class Workshop:
    """A hidden folder beside an output, which exists while a conversion runs.

    Attributes:
        output: The output.
        new: Where a new output is made, before it is moved to its place in one step.
    """

    output: Path
    new: Path

    def is_new(self) -> bool:
        """Whether there is no output yet, or an empty file or folder."""
        with writing(self.output):
            status = status_of(self.output)
            if status is None:
                return True
            if stat.S_ISDIR(status.st_mode):
                return not any(self.output.iterdir())
            return stat.S_ISREG(status.st_mode) and not status.st_size

    def clear(self) -> None:
        """Delete what an earlier conversion left of a new output."""
        with writing(self.new.parent):
            for path in self.new.parent.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name != _LOCK:
                    path.unlink()

    def put_in_place(self) -> None:
        """Move the new output to its place; the old one is deleted when the new one is there.

        A folder is replaced in two steps: if the process is killed between them, the old one is
        put back when the workshop is entered again.
        """
        with writing(self.output):
            if not self.is_new() and self.output.is_dir():
                self.output.rename(self._old)
            if status_of(place_file(self.new)) is not None:
                # Killed after this, an old output has no proof but its name: it is not lost, and
                # can be converted to again by --rebuild.
                place_file(self.new).replace(place_file(self.output))
            self.new.replace(self.output)
            sync_folder(self.output.parent)
        self.clear()

    @property
    def _old(self) -> Path:
        return self.new.with_name("old")

    def put_back(self) -> None:
        """Undo the first step of replacing a folder, if a killed process got no further."""
        with writing(self.output):
            if status_of(self.output) is None and status_of(self._old) is not None:
                self._old.rename(self.output)


_LOCK = "lock"


@contextmanager
def workshop(output: Path) -> Generator[Workshop]:
    """Enter the workshop of an output; it is locked until it is left or the process ends.

    Raises:
        OutputInUseError: Another process is in it.
        OutputError: It cannot be created.
    """
    folder = output.with_name(f".{output.name}.convert")
    with writing(output):  # the only name that the user knows
        lock = _locked(folder, output)
    entered = Workshop(output, folder / "new")
    try:
        entered.put_back()
        entered.clear()
        yield entered
    finally:
        with suppress(OSError, OutputError):  # what is left over stays for the next conversion
            entered.put_back()
            entered.clear()
            (folder / _LOCK).unlink()
            folder.rmdir()
        os.close(lock)


def _locked(folder: Path, output: Path) -> int:
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink():
            raise OutputError("is a link; remove it", path=str(folder))
        try:
            lock = private(folder / _LOCK, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:  # the last one has just left
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            named = status_of(folder / _LOCK)
            if named is not None and os.path.samestat(named, os.fstat(lock)):
                return lock
        except BlockingIOError:
            os.close(lock)
            raise OutputInUseError(
                "another conversion is writing to it", path=str(output)
            ) from None
        os.close(lock)
