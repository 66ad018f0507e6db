"""The audit: checks that all lines of the outputs are valid, unique and agree with the state."""

from __future__ import annotations

import zlib
from collections import Counter
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from siteassist_async.export.disk import plural
from siteassist_async.export.lines import read_letter, record_id
from siteassist_async.export.store import Key, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from siteassist_async.export.checkpoint import Counts
    from siteassist_async.export.dead_letters import DeadLetter
    from siteassist_async.export.log import Log


class Kind(IntEnum):
    """What a line is."""

    RECORD = 0
    LETTER = 1
    RETRYABLE = 2
    """A dead letter of an ID that may be retried."""
    INVALID = 3
    """A dead letter of an invalid ID."""


@frozen
class Fault:
    """What is wrong with a file.

    Attributes:
        path: The file.
        what: The continuation of a sentence that begins with the file's name.
        is_line: It is a line, which can be deleted.
    """

    path: Path
    what: str
    is_line: bool = False

    def __str__(self) -> str:
        return f"{self.path.name} {self.what}"


@define
class Audit:
    """Reads the lines of both outputs, and notes their keys in the store.

    Args:
        store: Its indices know the IDs of the input, unless it is `rebuilding`.
        has_rounds: Whether IDs may have been fetched again.

    Attributes:
        counts: The number of lines of each kind.
        updated: Of the records, those of an ID that had an older one.
    """

    store: Store
    rebuilding: bool = False
    has_rounds: bool = False
    updated: int = field(default=0, init=False)
    counts: Counter[Kind] = field(factory=Counter[Kind])

    def records(self, log: Log) -> Iterator[Fault]:
        """Check the records; yields what is wrong."""
        return self._faults(log, record_id, "record")

    def letters(self, log: Log) -> Iterator[Fault]:
        """Check the dead letters; yields what is wrong."""
        return self._faults(log, read_letter, "dead letter")

    def disagreements(self, known: Counts, records: Path, letters: Path) -> Iterator[Fault]:
        """Compare the counts with those of the checkpoint; yields the differences."""
        counts = self.counts
        failed = counts[Kind.LETTER] + counts[Kind.RETRYABLE] + counts[Kind.INVALID]
        pairs = (
            (records, "record", counts[Kind.RECORD], known.exported),
            (letters, "dead letter", failed, known.failed + known.invalid),
        )
        for path, noun, found, expected in pairs:
            if found != expected:
                yield Fault(path, f"has {plural(found, noun)}, but {expected} were written")
        if self.updated != known.updated:
            yield Fault(
                records,
                f"has {plural(self.updated, 'record')} of IDs that had one, but {known.updated} "
                "were written",
            )

    def _faults(
        self, log: Log, read: Callable[[bytes], str | DeadLetter | None], noun: str
    ) -> Iterator[Fault]:
        for number, line in enumerate(log.own_lines(), 1):
            found = read(line)
            if found is None:
                yield Fault(log.path, f"has no valid {noun} in line {number}", is_line=True)
                continue
            key: Key
            if isinstance(found, str):
                key, kind = found, Kind.RECORD
            elif found.line is not None:
                key, kind = found.line, Kind.INVALID
            else:
                key, kind = found.id, Kind.RETRYABLE if found.retryable else Kind.LETTER
            crc = zlib.crc32(line)
            before = self.store.note(key, kind, crc)
            # A second record says that it had changed; a letter, that it could not be fetched
            # again.
            is_later = before is not None and self.has_rounds and before[0] == Kind.RECORD
            is_update = is_later and kind is Kind.RECORD and before is not None and before[1] != crc
            if before is None or is_update or (is_later and kind is not Kind.RECORD):
                self.counts[kind] += 1
                self.updated += is_update
            else:
                what = f"the ID {key}" if isinstance(key, str) else f"line {key} of the input"
                yield Fault(log.path, f"has a second line for {what}", is_line=True)
            if not self.rebuilding and isinstance(key, str) and self.store.unknown([key]):
                what = f"contains the ID {key}, which is not in the input"
                yield Fault(log.path, what, is_line=True)
