"""Joining the records of all partitions to one log, from which other formats are made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from siteassist_async.distributed.folder import Folder, Manifest, opened, read, write
from siteassist_async.export.disk import status_of, sync_file, writing
from siteassist_async.export.errors import InputChangedError, InputError
from siteassist_async.export.id_list import reading

_LOG, _STATE = "joined.jsonl", "joined.json"
_AT_ONCE = 1 << 20


@frozen
class Joined:
    """How far the partitions were joined.

    Attributes:
        size: The size of the log; what is beyond was left by a killed process.
        parts: How much of each partition's records is in it.
    """

    size: int
    parts: tuple[int, ...]


def join(path: Path) -> Path:
    """Append what partitions have grown by to one log among their state, and return its path.

    It may be killed at any moment: called again it goes on, and each record is in the log once.

    Raises:
        InputError: The folder is not that of a distributed export.
        InputChangedError: A partition has fewer records than were joined before.
        OutputInUseError: The export is running.
        OutputError: The log cannot be written.
    """
    folder = Folder(Path(os.path.realpath(path)))
    manifest = read(folder.manifest, Manifest) if status_of(folder.layout.folder) else None
    if manifest is None:
        raise InputError("is a folder, but not that of an export on Dask", path=str(path))
    with opened(folder) as state:
        known = read(state.path / _STATE, Joined) or Joined(0, (0,) * len(manifest.parts))
        with (
            writing(state.path / _LOG),
            os.fdopen(state.open(_LOG, os.O_RDWR | os.O_CREAT), "r+b") as log,
        ):
            log.truncate(known.size)
            log.seek(known.size)
            parts = tuple(
                _append(folder.output(number), start, log)
                for number, start in enumerate(known.parts)
            )
            sync_file(log)
            size = log.tell()
        write(state.path / _STATE, Joined(size, parts))
    return folder.layout.folder / _LOG


def _append(part: Path, start: int, log: BinaryIO) -> int:
    """Append the whole lines after an offset, and return the offset after the last of them."""
    with reading(str(part)):
        if status_of(part) is None and not start:
            return 0
        with part.open("rb") as file:
            if file.seek(0, os.SEEK_END) < start:
                raise InputChangedError(
                    "was shortened since it was converted; restore it, or convert its partitions "
                    "one by one",
                    path=str(part),
                )
            file.seek(start)
            while lines := file.readlines(_AT_ONCE):
                if not lines[-1].endswith(b"\n"):
                    lines.pop()
                log.writelines(lines)
                start += sum(map(len, lines))
    return start
