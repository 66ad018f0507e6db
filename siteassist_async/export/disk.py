"""What the operating system says about a file, in words of the export."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from siteassist_async.export.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_PRIVATE = 0o600  # of every new file: they hold people's conversations


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


def private(path: str | Path, flags: int) -> int:
    """Open a file; if it is new, no one else may read it."""
    return os.open(path, flags, _PRIVATE)


def sync_file(file: BinaryIO) -> None:
    """Make durable what was written to a file."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Make durable which names a folder holds."""
    with writing(path):
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
