"""What a run must know to go on where the last one ended."""

from __future__ import annotations

import zlib
from pathlib import Path

from attrs import define, field, frozen

from siteassist_async.pacing.rate import LearnedRate

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@define
class Counts:
    """The outcomes of all runs of an export.

    Attributes:
        claimed: IDs read from the input; they have their outcome, or are in flight.
        exported: Records written.
        failed: Ids in the dead letters, invalid ones apart.
        retryable: Those of the failed that may well succeed another time.
        duplicates: Occurrences of an id beyond its first.
        invalid: Ids that are no UUID.
    """

    claimed: int = 0
    exported: int = 0
    failed: int = 0
    retryable: int = 0
    duplicates: int = 0
    invalid: int = 0


@define
class Cursor:
    """How far a list of ids has been dealt with.

    Everything before `front` has its outcome, apart from the few positions in `open`: those in
    flight. So its size depends on the limit, and neither on the number of ids nor on how long
    a slow one takes.

    Attributes:
        front: The byte offset of the first line that was not taken.
        line: That line's number.
        open: The byte offsets of the lines taken that have no outcome yet, with their numbers.
    """

    front: int = 0
    line: int = 1
    open: dict[int, int] = field(factory=dict[int, int])


@frozen
class Mark:
    """Where a log was known to be whole, and which file it was.

    Attributes:
        offset: Its size.
        tail: A checksum of its last bytes, which are read whenever it is opened.
        crc: A checksum of all of it, which is read where something is strange.
        file: Its device and inode.
        stamp: What the file system said of it at an orderly end: while it says the same, nobody
            has touched the file since.
    """

    offset: int = 0
    tail: int = 0
    crc: int = 0
    file: str = ""
    stamp: str = ""


@frozen
class Prefix:
    """The beginning of a list of ids: its size and its checksum."""

    size: int = 0
    crc: int = 0

    def plus(self, data: bytes) -> Prefix:
        """Add the bytes that follow."""
        return Prefix(self.size + len(data), zlib.crc32(data, self.crc))


@frozen
class WholeList:
    """A list of ids in the state's folder: all of it, and how the file system described it."""

    prefix: Prefix
    stamp: str


@frozen
class Checkpoint:
    """One moment of an export, in which all its parts agree.

    Attributes:
        cursor: How far the input, as a plain list of ids, has been dealt with.
        prefix: That list up to the cursor's front, which must be the same when it goes on.
        identity: What the file system says of the input. While it says the same, the input need
            not be read again to know that it is; None for a pipe.
        staged: What the file system says of the plain list, where one was made of the input.
        retry: How far the ids to ask again have been dealt with, while there are some.
        retry_list: Their list.
        records: The output.
        letters: The dead letters.
        boot: Which start of the machine it is from.
        learned: What the pacer had learned.
        last_answered: The last id that was answered for.
        replaced: The dead letters that are yet to be replaced by those kept.
        clean: The run ended here, in order: it wrote nothing after this.
    """

    counts: Counts = field(factory=Counts)
    cursor: Cursor = field(factory=Cursor)
    prefix: Prefix = Prefix()
    identity: str | None = None
    staged: str = ""
    retry: Cursor | None = None
    retry_list: WholeList | None = None
    records: Mark = Mark()
    letters: Mark = Mark()
    boot: str = ""
    learned: LearnedRate | None = None
    last_answered: str | None = None
    replaced: Mark | None = None
    clean: bool = False


def boot_id() -> str:
    """Tell this start of the machine from all others; empty where the system does not say."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
