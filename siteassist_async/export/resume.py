"""Resuming an export: everything before the first request, new export or not.

A list that was rewritten is read from its beginning again, and goes on by its IDs: what is in the
output already is not fetched again, unless the list says that it has changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from siteassist_async.export.asking_again import (
    ask_again,
    keep_letters,
    letter_ids,
    pending_ids,
    replace_letters,
    retry_queue,
)
from siteassist_async.export.audit import Audit
from siteassist_async.export.checkpoint import Checkpoint, Cursor, Extent, Prefix, boot_id
from siteassist_async.export.compressed_log import records_log
from siteassist_async.export.disk import plural, status_of, sync_folder, writing
from siteassist_async.export.errors import (
    InputChangedError,
    OutputChangedError,
    OutputError,
    StateError,
)
from siteassist_async.export.id_list import IdList, WorkQueue, reading
from siteassist_async.export.layout import CHECKPOINT, Layout, foreign_data
from siteassist_async.export.ledger import Ledger, RestorablePacer
from siteassist_async.export.lines import index_entries, read_letter, record_id
from siteassist_async.export.log import Log
from siteassist_async.export.recovery import keep_lines, rebuild, recover, written_lines
from siteassist_async.export.source import OpenSource, Source
from siteassist_async.export.staging import Staging, StoppedError
from siteassist_async.export.state import IDS, State, locked, made_state
from siteassist_async.export.store import Store

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from siteassist_async.export.state import State


def refuse_strange_list(
    ids: IdList, store: Store, name: str, check_stopped: Callable[[], None]
) -> None:
    """Raise if a list is another job's.

    It is this job's if it has at least half of the IDs that the export knows, or if the export
    knows at least half of its IDs. So IDs may come and go, and change their places.

    Raises:
        InputChangedError: It is neither.
    """
    known = store.size()
    matched = total = 0
    for block in ids.blocks():
        check_stopped()
        given = list({entry.id for entry in block.entries if entry.id})
        total += len(given)
        matched += len(given) - len(store.unknown(given))
        if 2 * matched >= known:
            return
    if 2 * matched < min(known, total):
        raise InputChangedError(
            f"has only {matched} of the {plural(known, 'ID')} of this export, and "
            f"{total - matched} others, so it is taken for another job's input: choose another "
            "output, or accept any input (--any-input)",
            path=name,
        )


def adopt_lines(ledger: Ledger, ids: IdList, known: Checkpoint) -> None:
    """Adopt what a killed run wrote after its last checkpoint, as `recover` does, but by ID.

    A line belongs to this export if its ID is in an index, or in the list as it is now.

    Raises:
        OutputChangedError: The last run ended in order, so someone else wrote the lines.
    """
    if known.clean:
        ledger.records.refuse_growth()
        ledger.letters.refuse_growth()
        return
    if known.boot == boot_id():
        written, failed = written_lines(ledger)
        keys = {line.key for line in chain(written, failed)}
        given = [key for key in keys if isinstance(key, str)]
        strange = set(ledger.store.unknown(given))
        for block in ids.blocks() if strange else ():
            strange.difference_update(entry.id for entry in block.entries)
        keys.difference_update(strange)
        for line in keep_lines(written, keys, ledger.records):
            ledger.counts.exported += 1
            ledger.counts.updated += bool(ledger.store.records([str(line.key)]))
        for line in keep_lines(failed, keys, ledger.letters):
            if line.letter is None or line.letter.line is not None:
                ledger.counts.invalid += 1
            else:
                ledger.counts.failed += 1
                ledger.counts.retryable += line.letter.retryable
    ledger.records.drop_rest()
    ledger.letters.drop_rest()


def begin_round(
    ledger: Ledger, ids: IdList, layout: Layout, state: State, check_stopped: Callable[[], None]
) -> None:
    """Read the list from its beginning, and commit that.

    Everything in both logs was adopted before. The dead letters of invalid lines are dropped: the
    lines will be met again, elsewhere perhaps. Those of IDs stay.
    """
    counts = ledger.counts
    index_records(ledger, check_stopped)
    ledger.store.forget_positions(ledger.input.cursor.front, ledger.input.cursor.open)
    ledger.rounds += 1
    ledger.input = WorkQueue(ids, Cursor(), Prefix(), ledger.store, ledger.store)
    counts.before = counts.exported + counts.failed
    counts.claimed = len(ledger.retry.cursor.open) if ledger.retry else 0
    counts.duplicates = counts.unchanged = counts.settled = 0
    ledger.store.set_apart(
        chain(letter_ids(ledger.letters), pending_ids(ledger.retry) if ledger.retry else ())
    )
    if counts.invalid:
        counts.invalid = 0
        keep_letters(ledger, layout, state, lambda letter: letter.line is None)
    else:
        ledger.sync()
        ledger.commit(ledger.snapshot())


def index_records(ledger: Ledger, check_stopped: Callable[[], None]) -> None:
    """Add the records since the last time to the store's index of records."""

    def growth() -> Iterator[bytes]:
        for line in ledger.records.lines_after(ledger.indexed):
            check_stopped()
            yield line

    ledger.store.index(index_entries(growth()))
    ledger.indexed = Extent(ledger.counts.exported, ledger.records.offset)


@frozen
class Resume:
    """Opens the ledger of an export, new or to be resumed.

    Nothing is written to the outputs before everything is checked: the input is readable and
    begins as it did, the outputs are as the last run left them, and no other run is using them.

    Args:
        restart: Discard what earlier runs wrote.
        retry_failed: Retry the IDs in the dead letters.
        refresh_open: Fetch the conversations again that were open.
        any_input: Accept a list that shares few IDs with that of the earlier runs.
        rebuild_state: Rebuild the state from the outputs and the input.
        stopped: Whether the run was stopped; called while the input is staged.
    """

    source: Source
    layout: Layout
    restart: bool
    retry_failed: bool
    refresh_open: bool
    any_input: bool
    rebuild_state: bool
    pacer: RestorablePacer | None
    stopped: Callable[[], bool]

    @contextmanager
    def open_ledger(self) -> Generator[Ledger]:
        """Open the ledger; leaving the context closes it, without a checkpoint.

        Raises:
            InputError: The IDs cannot be read, or are not those of the earlier runs.
            OutputError: A file cannot be written, is in use, or was changed by someone else.
            StoppedError: The run was stopped.
        """
        with ExitStack() as stack:
            source = stack.enter_context(self.source.open())
            source.inspect()
            self.layout.refuse_other_exports()
            self.layout.refuse_foreign_data(known=self.rebuild_state or self.layout.has_state())
            state = stack.enter_context(made_state(self.layout))
            stack.enter_context(locked(self.layout, state))
            yield self._open(stack, source, state)

    def _open(self, stack: ExitStack, source: OpenSource, state: State) -> Ledger:
        staging = Staging(source, state, self.stopped)
        fresh = self.restart or self.rebuild_state
        # The input is staged first: if it turns out to be unusable, nothing is discarded.
        plain = staging.stage(staged="") if fresh else None
        if self.restart:
            self._discard(state)
        elif self.rebuild_state:
            with closing(open_list(source, state, plain)) as ids:
                rebuild(
                    self.layout, state, ids, lambda store: self._refuse_strange(ids, store, source)
                )
        store = stack.enter_context(closing(Store(state.check_database(CHECKPOINT))))
        checkpoint = store.load()
        self.layout.refuse_other_exports()
        self.layout.refuse_foreign_data(known=checkpoint is not None)
        known = checkpoint or Checkpoint()
        unchanged = source.identity is not None and source.identity == known.identity
        if not fresh:
            try:
                plain = staging.stage(staged=known.staged if unchanged else "")
            except StoppedError as stopped:
                stopped.counts = known.counts
                raise
        ids = stack.enter_context(closing(open_list(source, state, plain)))
        if known.begins or (unchanged and plain in {None, IDS}):
            is_another = known.begins
        else:
            is_another = bool(known.boot) and self._is_another(ids, known, store, source)
        staging.accept()
        ids.note_state()
        if known.replaced is not None:
            replace_letters(self.layout, state, known.replaced, known.letters)
        known = evolve(known, identity=source.identity, staged=ids.stamp() if plain else "")
        with ExitStack() as new:
            records = stack.enter_context(
                closing(records_log(self.layout.records, known.records, state))
            )
            new.callback(_remove_new, records)
            letters = Log(self.layout.dead_letters, known.letters)
            new.callback(_remove_new, letters)
            ledger = Ledger.of(known, ids, store, records, letters)
            ledger.pacer = self.pacer
            stack.callback(ledger.close_letters)
            stack.callback(ledger.finish_retry)
            if known.retry is not None:
                earlier = store if known.rounds else None
                ledger.retry = retry_queue(state, known.retry, known.retry_list, earlier)
            self._catch_up(ledger, known, state, is_another=is_another)
            new.pop_all()
        return ledger

    def _discard(self, state: State) -> None:
        """Delete what earlier runs wrote; the outputs first, which nothing could prove ours later.

        Raises:
            OutputExistsError: A file may not belong to this export.
        """
        if _has_data(self.layout.records) or _has_data(self.layout.dead_letters):
            with closing(Store(state.check_database(CHECKPOINT))) as store:
                known = store.load() or Checkpoint()
            # After a power failure lines beyond the checkpoint prove nothing, and are set aside.
            was_lost = known.boot != boot_id() and not known.clean
            with ExitStack() as stack:
                output, letters = self.layout.records, self.layout.dead_letters
                logs: list[Log] = []
                for path, open_log, read in (
                    (output, partial(records_log, output, known.records, state), record_id),
                    (letters, partial(Log, letters, known.letters), read_letter),
                ):
                    if not _has_data(path):
                        continue
                    try:
                        log = stack.enter_context(closing(open_log()))
                        log.prove(None if was_lost else read)
                    except OutputChangedError as error:
                        raise foreign_data(path) from error
                    logs.append(log)
                for log in logs:  # only now, when both are proven
                    log.drop_rest()
                    log.remove()
            self._sync_folders()
        state.discard()

    def _sync_folders(self) -> None:
        for folder in {self.layout.records.parent, self.layout.dead_letters.parent}:
            sync_folder(folder)

    def _catch_up(
        self, ledger: Ledger, known: Checkpoint, state: State, *, is_another: bool
    ) -> None:
        ids, store = ledger.input.ids, ledger.store
        if store.is_touched:  # by someone else, or copied: so all files are checked
            store.check()
            audit = Audit(store, has_rounds=known.rounds > 0)
            for fault in chain(
                audit.records(ledger.records),
                audit.letters(ledger.letters),
                audit.disagreements(known.counts, ledger.records.path, ledger.letters.path),
            ):
                raise StateError(
                    f"was changed since the last run: {fault}; rebuild the export's state "
                    "(--rebuild-state)",
                    path=store.name,
                )
        if is_another and ledger.retry is None:
            adopt_lines(ledger, ids, known)
        else:
            recover(ledger, known)
        if not (ledger.records.offset and ledger.letters.offset):  # the files may be new
            self._sync_folders()
        check_stopped = partial(self._check_stopped, known)
        # After a kill the last checkpoint is still valid, and the next one is due within a second.
        was_killed = known.boot and known.boot == boot_id() and not known.clean
        if is_another:
            begin_round(ledger, ids, self.layout, state, check_stopped)
        elif not was_killed:
            ledger.sync()
            ledger.commit(ledger.snapshot())
        if not known.boot:  # the first checkpoint of all, in a new file
            state.sync()
        if self.refresh_open and ledger.retry is None:
            index_records(ledger, check_stopped)
        if self.retry_failed or self.refresh_open:
            ask_again(
                ledger, self.layout, state, failed=self.retry_failed, opened=self.refresh_open
            )

    def _is_another(self, ids: IdList, known: Checkpoint, store: Store, source: OpenSource) -> bool:
        """Whether a list, whose file status has changed, must be read from its beginning.

        It is read up to the cursor: if what earlier runs read is not the same, its offsets mean
        other IDs now. A list with versions may name newer ones anywhere, in appended lines too.

        Raises:
            InputChangedError: It is another job's.
        """
        if not known.cursor.front:  # killed before its second checkpoint, or new
            return None not in {known.identity, source.identity} and not known.clean
        if ids.goes_on(known.prefix):
            return ids.has_versions()
        self._refuse_strange(ids, store, source)
        return True

    def _refuse_strange(self, ids: IdList, store: Store, source: OpenSource) -> None:
        if not self.any_input:
            refuse_strange_list(ids, store, source.name, partial(self._check_stopped, Checkpoint()))

    def _check_stopped(self, known: Checkpoint) -> None:
        if self.stopped():
            stopped = StoppedError()
            stopped.counts = known.counts
            raise stopped


def open_list(source: OpenSource, state: State, plain: str | None) -> IdList:
    """Open the list of a source: the source itself, or what `Staging` wrote."""
    if source.plain is not None:
        return IdList(os.dup(source.plain.file), source.name, is_staged=source.is_staged)
    with reading(str(state.path / str(plain))):
        return IdList(state.open(str(plain), os.O_RDONLY), source.name, is_staged=True)


def _has_data(path: Path) -> bool:
    with writing(path):
        status = status_of(path)
    return status is not None and status.st_size > 0


def _remove_new(log: Log) -> None:
    with suppress(OutputError):
        log.remove_empty(made=True)
