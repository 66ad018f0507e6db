"""Writing so that it lasts, opening without following links, and errors that name the path."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from siteassist_async.export.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_PRIVATE = 0o600  # of every new file: they hold people's conversations

# What a file system says that keeps no folder open to be synced: SMB, some of FUSE.
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EBADF, errno.EACCES}


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Name the path in what the operating system has against writing to it."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> OutputError:
    """Say that a file cannot be written, and why."""
    return OutputError(f"cannot be written: {error.strerror or error}", path=str(path))


def private(path: str | Path, flags: int, *, folder: int | None = None) -> int:
    """Open a file that is no link; if it is new, no one else may read it."""
    return os.open(path, flags | os.O_NOFOLLOW, _PRIVATE, dir_fd=folder)


def sync_file(file: BinaryIO) -> None:
    """Make durable what was written to a file."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Make durable which names a folder holds, where the file system can."""
    with writing(path), _where_supported():
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def _where_supported() -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise


def identity(status: os.stat_result) -> str:
    """Tell a file from all others that exist at the same time."""
    return f"{status.st_dev}/{status.st_ino}"


def stamp(status: os.stat_result) -> str:
    """Tell a file as it is now from any later state of it."""
    return f"{identity(status)}/{status.st_size}/{status.st_mtime_ns}/{status.st_ctime_ns}"


def status_of(path: str | Path, *, folder: int | None = None) -> os.stat_result | None:
    """Look at a name itself, not at what it may link to; None if there is none."""
    with suppress(FileNotFoundError):
        return os.stat(path, dir_fd=folder, follow_symlinks=False)
    return None


def plural(count: int, noun: str) -> str:
    """Write a number of things: 1 byte, 2 bytes."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
