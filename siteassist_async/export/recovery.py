"""Recovery: what becomes of the lines that a killed run wrote after its last checkpoint.

A checkpoint is made about once a second, while lines are written all the time. So after a kill the
outputs hold more than the checkpoint knows of. Whole lines for IDs without an outcome are adopted,
which saves fetching them again. Anything else was not written by this export, or not to its end.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from siteassist_async.export.asking_again import letter_ids
from siteassist_async.export.audit import Audit, Kind
from siteassist_async.export.checkpoint import Checkpoint, Counts, Extent, Mark, boot_id
from siteassist_async.export.compressed_log import records_log
from siteassist_async.export.dead_letters import DeadLetter
from siteassist_async.export.disk import identity, status_of, writing
from siteassist_async.export.errors import OutputChangedError
from siteassist_async.export.layout import CHECKPOINT
from siteassist_async.export.ledger import Ledger
from siteassist_async.export.lines import index_entries, read_letter, record_id
from siteassist_async.export.log import Log
from siteassist_async.export.state import KEPT_LETTERS, PLAIN, REBUILT, SEAL
from siteassist_async.export.store import Key, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from siteassist_async.export.id_list import Block, Entry, IdList, WorkQueue
    from siteassist_async.export.layout import Layout
    from siteassist_async.export.state import State


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


_SQLITE = ("-wal", "-shm", "-journal")


def rebuild(layout: Layout, state: State, ids: IdList, check: Callable[[Store], None]) -> None:
    """Rebuild the state from the lines of the outputs, and replace the old state by it.

    The run that follows reads the input from its beginning, and fetches what has no line. `check`
    raises if the input is not that of the IDs in the store.

    Raises:
        OutputChangedError: An output has an invalid line, or one line twice. Nothing was changed.
    """
    for end in ("", *_SQLITE):
        state.remove(f"{REBUILT}{end}")
    with ExitStack() as stack:
        store = stack.enter_context(closing(Store(state.check_database(REBUILT))))
        records = stack.enter_context(
            closing(_log(layout.records, partial(records_log, state=state)))
        )
        letters = stack.enter_context(closing(_log(layout.dead_letters, Log)))
        for log in (records, letters):
            stack.callback(log.remove_empty, made=True)
        audit = Audit(store, rebuilding=True, has_rounds=True)
        for fault in chain(audit.records(records), audit.letters(letters)):
            raise OutputChangedError(
                f"{fault.what}, so the state cannot be rebuilt: delete such lines",
                path=str(fault.path),
            )
        store.index(index_entries(records.own_lines()))
        store.set_apart(letter_ids(letters))
        check(store)
        found = audit.counts
        counts = Counts(
            exported=found[Kind.RECORD],
            failed=found[Kind.LETTER] + found[Kind.RETRYABLE],
            retryable=found[Kind.RETRYABLE],
            invalid=found[Kind.INVALID],
            updated=audit.updated,
        )
        records.drop_rest()
        letters.drop_rest()
        extent = Extent(counts.exported, records.offset)
        known = Checkpoint(counts=counts, rounds=1, indexed=extent)
        ledger = Ledger.of(known, ids, store, records, letters)
        ledger.sync()
        ledger.commit(evolve(ledger.snapshot(), begins=True))
    for name in (KEPT_LETTERS, SEAL, *PLAIN, *(f"{CHECKPOINT}{end}" for end in _SQLITE)):
        state.remove(name)
    state.sync()  # first: the old database's journal must not be applied to the new one
    state.rename(REBUILT, CHECKPOINT)
    state.sync()


def _log(path: Path, open_log: Callable[[Path, Mark], Log]) -> Log:
    """Open an output as it is: the user says that it belongs to this export."""
    with writing(path):
        status = status_of(path)
    log = open_log(path, Mark(file=identity(status) if status else ""))
    log.adopt_lines()
    return log
