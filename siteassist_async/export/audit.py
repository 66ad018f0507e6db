"""The audit: checks that all lines of the outputs are valid, unique and agree with the state."""

from __future__ import annotations

from collections import Counter
from enum import IntEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from siteassist_async.export.disk import plural
from siteassist_async.export.lines import read_letter, record_id
from siteassist_async.export.store import Key, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from siteassist_async.export.checkpoint import Counts
    from siteassist_async.export.log import Log

Answer = tuple[Key, "Kind"]

_BATCH = 1000


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
    """What is wrong with a file."""

    path: Path
    what: str

    def __str__(self) -> str:
        return f"{self.path.name} {self.what}"


@define
class Audit:
    """Reads the lines of both outputs, and notes their keys in the store.

    Args:
        store: Its index knows the IDs of the input, unless it is `rebuilding`.

    Attributes:
        counts: The number of lines of each kind.
    """

    store: Store
    rebuilding: bool = False
    counts: Counter[Kind] = field(factory=Counter[Kind])

    def records(self, log: Log) -> Iterator[Fault]:
        """Check the records; yields what is wrong."""
        return self._faults(log, _record, "record")

    def letters(self, log: Log) -> Iterator[Fault]:
        """Check the dead letters; yields what is wrong."""
        return self._faults(log, _letter, "dead letter")

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

    def _faults(
        self, log: Log, read: Callable[[bytes], Answer | None], noun: str
    ) -> Iterator[Fault]:
        answers = map(read, log.own_lines())
        return (Fault(log.path, what) for what in self._read(answers, noun))

    def _read(self, answers: Iterable[Answer | None], noun: str) -> Iterator[str]:
        numbered = enumerate(answers, 1)
        while some := list(islice(numbered, _BATCH)):
            found: dict[Key, Kind] = {}
            for number, answer in some:
                if answer is None:
                    yield f"has no valid {noun} in line {number}"
                elif answer[0] in found:
                    yield _again(answer[0])
                else:
                    found[answer[0]] = answer[1]
            self.counts.update(found.values())
            yield from map(_again, self.store.note(found))
            ids = [key for key in found if isinstance(key, str)]
            for unknown in () if self.rebuilding else self.store.unknown(ids):
                yield f"contains the ID {unknown}, which is not in the input"


def _record(line: bytes) -> Answer | None:
    conversation_id = record_id(line)
    return None if conversation_id is None else (conversation_id, Kind.RECORD)


def _letter(line: bytes) -> Answer | None:
    letter = read_letter(line)
    if letter is None:
        return None
    if letter.line is not None:
        return letter.line, Kind.INVALID
    return letter.id, Kind.RETRYABLE if letter.retryable else Kind.LETTER


def _again(key: Key) -> str:
    what = f"the ID {key}" if isinstance(key, str) else f"line {key} of the input"
    return f"has a second line for {what}"
