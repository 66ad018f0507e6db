"""Disk access: durable writes, opening without following links, errors that name the path."""

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

# The errors of file systems that cannot sync a folder: SMB, some of FUSE.
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EBADF, errno.EACCES}


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Turn the operating system's errors into errors that name the path."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> OutputError:
    """Return the error for a file that cannot be written."""
    return OutputError(f"cannot be written: {error.strerror or error}", path=str(path))


def private(path: str | Path, flags: int, *, folder: int | None = None) -> int:
    """Open a file, but not through a link; a new one is readable by its owner only."""
    return os.open(path, flags | os.O_NOFOLLOW, _PRIVATE, dir_fd=folder)


def sync_file(file: BinaryIO) -> None:
    """Make the content of a file durable."""
    file.flush()
    os.fsync(file.fileno())


def replace(path: Path, data: bytes, new: Path) -> None:
    """Write a small file, durably and in one step: first to `new`, on the same file system."""
    with os.fdopen(private(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        file.write(data)
        sync_file(file)
    new.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make creations, renames and deletions in a folder durable, if the file system can."""
    with writing(path):
        try:
            folder = os.open(path, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:
                raise


def identity(status: os.stat_result) -> str:
    """Return what identifies a file among all that exist at the same time."""
    return f"{status.st_dev}/{status.st_ino}"


def stamp(status: os.stat_result) -> str:
    """Return what identifies this version of a file."""
    return f"{identity(status)}/{status.st_size}/{status.st_mtime_ns}/{status.st_ctime_ns}"


def status_of(path: str | Path, *, folder: int | None = None) -> os.stat_result | None:
    """Return the status of a path, without following a link; None if it does not exist."""
    with suppress(FileNotFoundError):
        return os.stat(path, dir_fd=folder, follow_symlinks=False)
    return None


def plural(count: int, noun: str) -> str:
    """Format a number of things: 1 byte, 2 bytes."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
