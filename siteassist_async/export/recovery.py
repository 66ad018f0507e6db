"""Recovery: what becomes of the lines that a killed run wrote after its last checkpoint.

A checkpoint is made about once a second, while lines are written all the time. So after a kill the
outputs hold more than the checkpoint knows of. Whole lines for IDs without an outcome are adopted,
which saves fetching them again. Anything else was not written by this export, or not to its end.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.export.checkpoint import boot_id
from siteassist_async.export.dead_letters import DeadLetter
from siteassist_async.export.lines import read_letter, record_id
from siteassist_async.export.store import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from siteassist_async.export.checkpoint import Checkpoint
    from siteassist_async.export.id_list import Block, Entry, WorkQueue
    from siteassist_async.export.ledger import Ledger
    from siteassist_async.export.log import Log


def recover(ledger: Ledger, checkpoint: Checkpoint) -> None:
    """Adopt, cut or set aside the lines after the checkpoint, before any new work.

    A line is adopted if it and all before it are whole and belong to entries without an outcome.
    A torn line after them is cut. Anything else is set aside in a file of its own, because whoever
    wrote it may need it.

    Raises:
        OutputChangedError: The last run ended in order, so someone else wrote the lines.
    """
    if checkpoint.clean:
        ledger.records.refuse_growth()
        ledger.letters.refuse_growth()
        return
    # After a crash of the machine nothing is adopted: a file system may have kept the size of a
    # file and lost its content, so that even a line that looks whole may not be what was written.
    if checkpoint.boot == boot_id():
        written, failed = written_lines(ledger)
        pending = _Pending(ledger.queue)
        # The entries are read twice. How far a log may be adopted is only known once all its lines
        # have been looked up, and until then nothing may be claimed: a line for an ID that is not
        # pending sends the search to the end of the list, and entries that were claimed on the way
        # would all become open ones in the checkpoint, which must stay small.
        keys = {line.key for line in (*written, *failed)}
        open_keys: set[Key] = set()
        for entry in pending.look():
            if len(open_keys) == len(keys):
                break
            if entry.key in keys and not (entry.duplicate or entry.settled):
                open_keys.add(entry.key)
        kept = [
            *keep_lines(written, open_keys, ledger.records),
            *keep_lines(failed, open_keys, ledger.letters),
        ]
        _adopt(ledger, pending, {line.key: line for line in kept})
    ledger.records.drop_rest()
    ledger.letters.drop_rest()


@frozen
class Line:
    """A whole line of a log, and its content if it is a dead letter."""

    key: Key
    end: int
    letter: DeadLetter | None


def written_lines(ledger: Ledger) -> tuple[list[Line], list[Line]]:
    """Read on from the checkpoint in both logs."""
    return (
        list(_lines(ledger.records, record_id)),
        list(_lines(ledger.letters, read_letter)),
    )


def _lines(log: Log, read: Callable[[bytes], Key | DeadLetter | None]) -> Iterator[Line]:
    """Read on from the checkpoint to the first line that this package cannot have written."""
    for line, end in log.new_lines():
        found = read(line)
        if found is None:
            return
        if isinstance(found, DeadLetter):
            yield Line(found.key, end, found)
        else:
            yield Line(found, end, None)


HELD = 64
"""Blocks kept from the first reading for the second: some 28,000 IDs, more than are exported
between two checkpoints. Beyond that the list is read again from the disk."""


class _Pending:
    """The entries of a queue without an outcome, in the order of the input, to be read twice."""

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue
        self._held: list[Block] = []

    def look(self) -> Iterator[Entry]:
        """Read the entries without claiming any."""
        yield from self._queue.open_entries()
        for block in self._queue.read_ahead():
            if len(self._held) < HELD:
                self._held.append(block)
            yield from block.entries

    def claim(self) -> Iterator[Entry]:
        """Read the entries again, each to be claimed before the next."""
        yield from self._queue.open_entries()
        for block in self._held:
            self._queue.enter(block)
            yield from block.entries
            self._queue.finish(block)
        yield from chain.from_iterable(block.entries for block in self._queue.blocks())


def keep_lines(lines: Iterable[Line], open_keys: set[Key], log: Log) -> Iterator[Line]:
    """Yield the lines up to the first that belongs to no open entry, and adopt the log so far.

    A key is removed when its line comes, so that a second line for it is not adopted, in either
    log.
    """
    end = None
    for line in lines:
        if line.key not in open_keys:
            break
        open_keys.remove(line.key)
        end = line.end
        yield line
    if end is not None:
        log.adopt(end)


def _adopt(ledger: Ledger, pending: _Pending, lines: dict[Key, Line]) -> None:
    """Complete the entries that have a line; those before them stay open, to be fetched again."""
    for entry in pending.claim() if lines else ():
        if entry.position not in ledger.queue.cursor.open:
            ledger.claim(entry)
        if entry.duplicate:
            ledger.record_duplicate(entry)
        elif entry.settled:
            ledger.record_settled(entry)
        elif line := lines.pop(entry.key, None):
            if line.letter is None:
                ledger.adopt_record(entry)
            else:
                ledger.adopt_letter(entry, retryable=line.letter.retryable)
            if not lines:
                return
