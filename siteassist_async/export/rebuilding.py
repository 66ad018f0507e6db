"""Rebuilding the state of an export from its outputs and its input."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from siteassist_async.export.audit import Audit, Kind
from siteassist_async.export.checkpoint import Checkpoint, Cursor, Mark
from siteassist_async.export.compressed_log import records_log
from siteassist_async.export.disk import identity, plural, status_of, writing
from siteassist_async.export.errors import OutputChangedError
from siteassist_async.export.id_list import IdList
from siteassist_async.export.layout import CHECKPOINT
from siteassist_async.export.ledger import Ledger
from siteassist_async.export.log import Log
from siteassist_async.export.retry_failed import retry_queue, write_retry_list
from siteassist_async.export.state import KEPT_LETTERS, PLAIN, REBUILT, SEAL
from siteassist_async.export.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from siteassist_async.export.id_list import Entry, IdList
    from siteassist_async.export.layout import Layout
    from siteassist_async.export.state import State

_SQLITE = ("-wal", "-shm", "-journal")


def rebuild(layout: Layout, state: State, ids: IdList) -> None:
    """Rebuild the state from the lines of the outputs, and replace the old state by it.

    IDs without a line will be fetched: those before the last ID that has one go to the list to
    retry, all others are left to the input's queue.

    Raises:
        OutputChangedError: An output has an invalid line, a line for an ID that is not in the
            input, or a second line for one. Nothing was changed.
    """
    for end in ("", *_SQLITE):
        state.remove(f"{REBUILT}{end}")
    with ExitStack() as stack:
        store = stack.enter_context(closing(Store(state.check_database(REBUILT))))
        records = stack.enter_context(
            closing(_log(layout.records, partial(records_log, state=state)))
        )
        letters = stack.enter_context(closing(_log(layout.dead_letters, Log)))
        ledger = Ledger.of(Checkpoint(), ids, store, records, letters)
        audit = Audit(store, rebuilding=True)
        for fault in chain(audit.records(ledger.records), audit.letters(ledger.letters)):
            raise _refused(fault.path, fault.what)
        # The input is read twice: a queue has one front, before which every entry needs an outcome,
        # and where it is follows from the last entry with a line, which only a first reading finds.
        last = _last_answered(ledger, audit)
        ledger.records.drop_rest()
        ledger.letters.drop_rest()
        ledger.retry_list = write_retry_list(state, _complete(ledger, last))
        if ledger.retry_list.prefix.size:
            ledger.retry = retry_queue(state, Cursor(), ledger.retry_list)
        stack.callback(ledger.finish_retry)
        ledger.sync()
        ledger.commit(ledger.snapshot())
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


def _last_answered(ledger: Ledger, audit: Audit) -> int:
    """Return the position of the last entry that has a line; -1 if none has.

    Raises:
        OutputChangedError: There are lines for IDs that are not in the input.
    """
    last, matched = -1, 0
    for block in ledger.input.read_ahead():
        entries = {entry.key: entry.position for entry in block.entries if not entry.duplicate}
        answered = ledger.store.noted(entries)
        matched += len(answered)
        last = max((entries[key] for key in answered), default=last)
    more = audit.counts.total() - matched
    if more:
        raise _refused(
            ledger.records.path,
            f"and its dead letters have {plural(more, 'line')} for IDs that are not in the input",
        )
    return last


def _complete(ledger: Ledger, last: int) -> Iterator[str]:
    """Complete all entries up to the last one that has a line; yields the IDs without one."""
    for block in ledger.input.blocks():
        noted = ledger.store.noted(entry.key for entry in block.entries)
        kinds = {key: Kind(kind) for key, kind in noted.items()}
        for entry in block.entries:
            if entry.position > last:
                return
            if entry.duplicate or entry.fault is not None or entry.key in kinds:
                _complete_entry(ledger, entry, kinds.get(entry.key))
            else:
                ledger.input.claim(entry)
                ledger.input.complete(entry)
                yield entry.id
        ledger.input.finish(block)


def _complete_entry(ledger: Ledger, entry: Entry, kind: Kind | None) -> None:
    ledger.claim(entry)
    if entry.duplicate:
        ledger.record_duplicate(entry)
    elif kind is Kind.RECORD:
        ledger.adopt_record(entry)
    elif kind is None and entry.fault is not None:
        ledger.record_failure(entry, entry.fault)
    else:
        ledger.adopt_letter(entry, retryable=kind is Kind.RETRYABLE)


def _refused(path: Path, what: str) -> OutputChangedError:
    return OutputChangedError(
        f"{what}, so the state cannot be rebuilt: delete these lines, or use the input that the "
        "export was made from",
        path=str(path),
    )
