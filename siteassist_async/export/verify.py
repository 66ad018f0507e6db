"""Verification: reads all files of an export, and compares them with its state."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.export.audit import Audit, Fault, Kind
from siteassist_async.export.checkpoint import Checkpoint, Mark, PlainMark
from siteassist_async.export.compressed_log import records_log
from siteassist_async.export.disk import identity, status_of, writing
from siteassist_async.export.errors import InputError, OutputChangedError
from siteassist_async.export.layout import CHECKPOINT, Layout
from siteassist_async.export.log import Log
from siteassist_async.export.state import KEPT_LETTERS, locked, opened_state
from siteassist_async.export.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_FAULTS = 100
"""The maximum number of faults that are reported."""


@frozen
class Verified:
    """What was found in the files of an export.

    Attributes:
        records: Valid lines of the output, each for a different ID.
        updated: Valid lines before these, for IDs that were fetched again.
        failed: Dead letters of IDs.
        invalid: Dead letters of invalid IDs.
        faults: What is wrong, at most `MAX_FAULTS`.
        unfinished: Whether the export should be run again, because its last run did not finish: it
            was killed or stopped, or ended by its limit, an outage or an error.
    """

    output: Path
    records: int
    updated: int
    failed: int
    invalid: int
    faults: tuple[Fault, ...]
    unfinished: bool


def verify(output: Path) -> Verified:
    """Check an output, its dead letters and its state, without changing them.

    Raises:
        InputError: The output was not written by an export.
        OutputError: A file cannot be read, or is in use.
        StateError: The state is damaged, so there is nothing to compare with.
    """
    layout = Layout.of(output)
    if not layout.has_state():
        raise InputError(
            "is not the output of an export: there is no state folder beside it", path=str(output)
        )
    with ExitStack() as stack:
        state = stack.enter_context(opened_state(layout))
        stack.enter_context(locked(layout, state))
        store = stack.enter_context(closing(Store(state.check_database(CHECKPOINT))))
        store.check()
        known = store.load() or Checkpoint()
        audit = Audit(store, has_rounds=known.rounds > 0)
        letters = layout.dead_letters
        if state.status(KEPT_LETTERS) is not None and known.replaced is not None:
            letters = state.path / KEPT_LETTERS
        faults = chain(
            _faults(
                layout.records,
                known.records,
                audit.records,
                partial(records_log, state=state),
                ended=known.clean,
            ),
            _faults(letters, known.letters, audit.letters, Log, ended=known.clean),
            audit.disagreements(known.counts, layout.records, letters),
        )
        found = tuple(islice(faults, MAX_FAULTS))
    return Verified(
        output=layout.output,
        records=audit.counts[Kind.RECORD] - audit.updated,
        updated=audit.updated,
        failed=audit.counts[Kind.LETTER] + audit.counts[Kind.RETRYABLE],
        invalid=audit.counts[Kind.INVALID],
        faults=found,
        unfinished=not known.finished,
    )


def _faults(
    path: Path,
    mark: Mark,
    read: Callable[[Log], Iterator[Fault]],
    open_log: Callable[[Path, Mark], Log],
    *,
    ended: bool,
) -> Iterator[Fault]:
    with writing(path):
        status = status_of(path)
    if status is None:
        if mark.offset or mark.plain:
            yield Fault(path, "is missing")
        return
    try:
        with closing(open_log(path, mark)) as log:
            log.verify()
            if ended:
                log.refuse_growth()
            yield from read(log)
    except OutputChangedError as error:
        yield Fault(Path(error.path), str(error.args[0]))
        # Without what is known of them, the files are read as far as they can be.
        plain = mark.plain and PlainMark(mark.plain.number, Mark())
        with closing(open_log(path, Mark(file=identity(status), plain=plain))) as log:
            log.adopt_lines()
            yield from read(log)
