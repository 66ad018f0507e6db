"""All partitions as one: their records joined to one log, and their verification."""

from __future__ import annotations

import os
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

from attrs import evolve, frozen

from siteassist_async.distributed.folder import Folder, Manifest, opened, read, write
from siteassist_async.export.audit import Fault
from siteassist_async.export.checkpoint import Counts
from siteassist_async.export.disk import status_of, sync_file, writing
from siteassist_async.export.errors import InputChangedError, InputError
from siteassist_async.export.id_list import reading
from siteassist_async.export.layout import Layout
from siteassist_async.export.verify import MAX_FAULTS, Verified
from siteassist_async.export.verify import verify as verify_export

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
    folder, manifest = _known(path)
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


def verify(path: Path) -> Verified:
    """Check each partition as `siteassist_async.export.verify` does; the counts are sums.

    Raises:
        InputError: The folder is not that of a distributed export.
        OutputError: A file cannot be read, or is in use.
        StateError: The state of a partition is damaged.
    """
    folder, manifest = _known(path)
    found: list[Verified] = []
    for number, part in enumerate(manifest.parts):
        output, mark = folder.output(number), folder.mark(number)
        to_do = part.lines > 0 and (mark is None or mark.list != part or not mark.finished)
        if Layout(output).has_state():
            partition = verify_export(output)
        else:
            is_lost = mark is not None and mark.counts != Counts()
            faults = (Fault(output, "is missing, and so is its state"),) if is_lost else ()
            partition = Verified(output, 0, 0, 0, 0, faults, unfinished=False)
        found.append(evolve(partition, unfinished=partition.unfinished or to_do))
    return Verified(
        output=path,
        records=sum(each.records for each in found),
        updated=sum(each.updated for each in found),
        failed=sum(each.failed for each in found),
        invalid=sum(each.invalid for each in found),
        faults=tuple(islice(chain.from_iterable(each.faults for each in found), MAX_FAULTS)),
        unfinished=any(each.unfinished for each in found),
    )


def _known(path: Path) -> tuple[Folder, Manifest]:
    folder = Folder(Path(os.path.realpath(path)))
    manifest = read(folder.manifest, Manifest) if status_of(folder.layout.folder) else None
    if manifest is None:
        raise InputError("is a folder, but not that of an export on Dask", path=str(path))
    return folder, manifest


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
