"""Rounds: a list that was rewritten is read from its beginning again, and goes on by its IDs.

What is in the output already is not fetched again, unless the list says that it has changed.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from siteassist_async.export.asking_again import keep_letters, letter_ids, pending_ids
from siteassist_async.export.checkpoint import Cursor, Extent, Prefix, boot_id
from siteassist_async.export.disk import plural
from siteassist_async.export.errors import InputChangedError
from siteassist_async.export.id_list import WorkQueue
from siteassist_async.export.lines import index_entries
from siteassist_async.export.recovery import keep_lines, written_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from siteassist_async.export.checkpoint import Checkpoint
    from siteassist_async.export.id_list import IdList
    from siteassist_async.export.layout import Layout
    from siteassist_async.export.ledger import Ledger
    from siteassist_async.export.state import State
    from siteassist_async.export.store import Store


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
