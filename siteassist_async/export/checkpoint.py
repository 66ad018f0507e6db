"""Checkpoint: what a run must know to resume where the last one ended."""

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
        failed: IDs in the dead letters, except invalid ones.
        retryable: The failed IDs that may succeed when they are retried.
        duplicates: Occurrences of an ID beyond its first.
        invalid: Lines that are not a UUID; they are in the dead letters too.
        updated: Of the records, those of an ID that had an older one.
        unchanged: IDs of this round that were not written again, because their records are current.
        settled: IDs of this round whose outcome is not of this list: a dead letter of an earlier
            round, or a request out of turn.
        before: Records and dead letters from before this round, in which the list was read from its
            beginning.
    """

    claimed: int = 0
    exported: int = 0
    failed: int = 0
    retryable: int = 0
    duplicates: int = 0
    invalid: int = 0
    updated: int = 0
    unchanged: int = 0
    settled: int = 0
    before: int = 0


@define
class Cursor:
    """How far a list of IDs has been processed.

    Everything before `front` has its outcome, except the few positions in `open`, which are in
    flight. So the size of a cursor depends on the concurrency, and neither on the number of IDs
    nor on how long a slow one takes.

    Attributes:
        front: The byte offset of the first line that was not claimed.
        line: That line's number.
        open: The byte offsets of the claimed lines without an outcome, with their numbers.
    """

    front: int = 0
    line: int = 1
    open: dict[int, int] = field(factory=dict[int, int])


@frozen
class Mark:
    """A log as it was known to be whole.

    Attributes:
        offset: Its size.
        tail: A checksum of its last bytes, which are read whenever it is opened.
        crc: A checksum of all of it, which is compared when there is reason to.
        file: Its device and inode.
        stamp: Its file status at an orderly end: while that is the same, nobody has touched it.
        plain: Only of a compressed log: its lines that are not compressed yet.
    """

    offset: int = 0
    tail: int = 0
    crc: int = 0
    file: str = ""
    stamp: str = ""
    plain: PlainMark | None = None


@frozen
class Extent:
    """How much a log held at a time: its lines, and the bytes of its file."""

    lines: int = 0
    offset: int = 0


@frozen
class PlainMark:
    """The file of a compressed log's lines that are not compressed yet.

    Attributes:
        number: How many such files there were before it.
        mark: The file, which does not exist while it is empty.
    """

    number: int
    mark: Mark


@frozen
class Prefix:
    """The beginning of a list of IDs: its size and its checksum."""

    size: int = 0
    crc: int = 0

    def plus(self, data: bytes) -> Prefix:
        """Add the bytes that follow."""
        return Prefix(self.size + len(data), zlib.crc32(data, self.crc))


@frozen
class WholeList:
    """A complete list of IDs in the state folder, with its file status."""

    prefix: Prefix
    stamp: str


@frozen
class Checkpoint:
    """A consistent snapshot of an export.

    Attributes:
        cursor: How far the input, as a plain list of IDs, has been processed.
        prefix: That list up to the cursor's front, which must be the same when the export resumes.
        identity: The file status of the input: while it is the same, the input need not be read
            again to know that it has not changed. None for a pipe.
        staged: The file status of the plain list that was staged from the input, if one was.
        retry: How far the IDs to retry have been processed, while there are some.
        retry_list: The list of those.
        records: The output.
        letters: The dead letters.
        boot: The ID of the machine's boot in which it was made.
        learned: What the pacer had learned.
        last_answered: The last ID that was exported.
        replaced: The old dead letters, while they are to be replaced by those that were kept.
        clean: The run ended here, in order, and wrote nothing after this.
        finished: The run ended here because every ID of the list has its outcome.
        rounds: How often the list was read from its beginning again, or records were asked for
            again: if it is not 0, an ID may have several records, of which the last is current.
        indexed: How much of the output the store's index of records covers.
        begins: The next run begins a round, because it does not know how far the last one got.
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
    finished: bool = False
    rounds: int = 0
    indexed: Extent = Extent()
    begins: bool = False


def boot_id() -> str:
    """Return what identifies this boot of the machine; empty if the system does not say."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
