"""Rebuilding the state of an export from its outputs; then the input is read again by its IDs."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from attrs import evolve

from siteassist_async.export.asking_again import letter_ids
from siteassist_async.export.audit import Audit, Kind
from siteassist_async.export.checkpoint import Checkpoint, Counts, Extent, Mark
from siteassist_async.export.compressed_log import records_log
from siteassist_async.export.disk import identity, status_of, writing
from siteassist_async.export.errors import OutputChangedError
from siteassist_async.export.layout import CHECKPOINT
from siteassist_async.export.ledger import Ledger
from siteassist_async.export.lines import index_entries
from siteassist_async.export.log import Log
from siteassist_async.export.state import KEPT_LETTERS, PLAIN, REBUILT, SEAL
from siteassist_async.export.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from siteassist_async.export.id_list import IdList
    from siteassist_async.export.layout import Layout
    from siteassist_async.export.state import State

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
