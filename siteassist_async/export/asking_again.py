"""Asking again: failed IDs, and those of open conversations, get a work queue of their own."""

from __future__ import annotations

import os
from itertools import chain
from typing import TYPE_CHECKING

from attrs import evolve

from siteassist_async.export.checkpoint import Cursor, Mark, Prefix, WholeList
from siteassist_async.export.dead_letters import DeadLetter, decode
from siteassist_async.export.disk import stamp, status_of, sync_file, sync_folder, writing
from siteassist_async.export.errors import InputChangedError, StateError
from siteassist_async.export.id_list import IdList, WorkQueue
from siteassist_async.export.log import Log
from siteassist_async.export.state import KEPT_LETTERS, RETRY_IDS

_LINE = 37  # bytes of an ID and its line break

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from siteassist_async.export.layout import Layout
    from siteassist_async.export.ledger import Ledger
    from siteassist_async.export.state import State
    from siteassist_async.export.store import Store


def ask_again(ledger: Ledger, layout: Layout, state: State, *, failed: bool, opened: bool) -> None:
    """Put IDs into a queue that is processed before the input.

    With `failed` these are those in the dead letters, which move out of these; with `opened` those
    whose conversations were open, and then the index of records must cover the output. Does nothing
    if there are none, or if an earlier such queue is not finished yet.

    Raises:
        OutputChangedError: The dead letters are not those that were written.
    """
    if ledger.retry is not None:
        return
    counts, store = ledger.counts, ledger.store
    moves = failed and counts.failed > 0
    if moves:
        ledger.letters.verify()
    if opened:
        ledger.rounds = ledger.rounds or 1
        store.set_apart(letter_ids(ledger.letters))
    letters = _divide(ledger.letters, state, keep=lambda letter: letter.line is not None)
    again = (letter.id for letter in letters) if moves else ()
    refreshed = store.open_ids() if opened else ()
    ledger.retry_list = write_retry_list(state, chain(again, refreshed))
    if not ledger.retry_list.prefix.size:
        return
    asked = ledger.retry_list.prefix.size // _LINE
    moved = counts.failed if moves else 0
    counts.claimed -= asked
    counts.before += asked - moved
    counts.failed -= moved
    counts.retryable = 0 if moves else counts.retryable
    earlier = store if ledger.rounds else None
    ledger.retry = retry_queue(state, Cursor(), ledger.retry_list, earlier)
    if opened:
        store.set_apart(chain(letter_ids(ledger.letters), pending_ids(ledger.retry)))
        ledger.input.earlier = store
    if moves:
        _exchange_letters(ledger, layout, state)
    else:
        ledger.sync()
        state.sync()
        ledger.commit(ledger.snapshot())


def keep_letters(
    ledger: Ledger, layout: Layout, state: State, keep: Callable[[DeadLetter], bool]
) -> None:
    """Delete the other dead letters, and commit the ledger.

    Raises:
        OutputChangedError: The dead letters are not those that were written.
    """
    ledger.letters.verify()
    for _ in _divide(ledger.letters, state, keep=keep):
        pass
    _exchange_letters(ledger, layout, state)


def letter_ids(letters: Log) -> Iterator[str]:
    """Yield the IDs of the dead letters."""
    for line in letters.own_lines():
        letter = decode(line)
        if letter.line is None:
            yield letter.id


def pending_ids(retry: WorkQueue) -> Iterator[str]:
    """Yield the IDs of a queue that have no outcome yet."""
    entries = chain(
        retry.open_entries(), (e for block in retry.read_ahead() for e in block.entries)
    )
    yield from (entry.id for entry in entries)


def write_retry_list(state: State, ids: Iterable[str]) -> WholeList:
    """Write the list of IDs to retry."""
    prefix = Prefix()
    with (
        writing(state.path / RETRY_IDS),
        os.fdopen(state.create(RETRY_IDS), "wb") as out,
    ):
        for conversation_id in ids:
            line = conversation_id.encode() + b"\n"
            out.write(line)
            prefix = prefix.plus(line)
        sync_file(out)
        return WholeList(prefix, stamp(os.fstat(out.fileno())))


def retry_queue(
    state: State, cursor: Cursor, whole: WholeList | None, earlier: Store | None
) -> WorkQueue:
    """Open the list of IDs to retry, which has no duplicates.

    Raises:
        StateError: It was changed since it was written.
    """
    name = str(state.path / RETRY_IDS)
    if whole is None or state.status(RETRY_IDS) is None:
        raise _damaged(name)
    with writing(state.path / RETRY_IDS):
        file = state.open(RETRY_IDS, os.O_RDONLY)
    ids = IdList(file, name, whole=whole.prefix)
    if stamp(os.fstat(file)) != whole.stamp:
        try:
            ids.verify(whole.prefix)
        except InputChangedError as error:
            ids.close()
            raise _damaged(name) from error
    return WorkQueue(ids, cursor, known=Prefix(cursor.front), seen=None, earlier=earlier)


def replace_letters(layout: Layout, state: State, replaced: Mark, kept: Mark) -> None:
    """Move the kept dead letters into the place of the old ones, unless that is done already.

    Raises:
        OutputChangedError: One of the files is not the one that was written.
    """
    waiting = state.status(KEPT_LETTERS)
    with writing(layout.dead_letters):
        there = status_of(layout.dead_letters)
    if waiting is not None and there is not None and os.path.samestat(there, waiting):
        state.remove(KEPT_LETTERS)  # a power failure during the move left the file both names
    elif waiting is not None:
        for path, mark in ((layout.dead_letters, replaced), (state.path / KEPT_LETTERS, kept)):
            log = Log(path, mark)
            try:
                log.refuse_growth()
            finally:
                log.close()
        state.move_out(KEPT_LETTERS, layout.dead_letters)
    # In this order, so that a power failure cannot leave the letters in neither folder.
    sync_folder(layout.dead_letters.parent)
    state.sync()


def _divide(
    letters: Log, state: State, *, keep: Callable[[DeadLetter], bool]
) -> Iterator[DeadLetter]:
    """Write the letters to keep to another file, and yield the others; all were verified before."""
    with (
        writing(state.path / KEPT_LETTERS),
        os.fdopen(state.create(KEPT_LETTERS), "wb") as kept,
    ):
        for line in letters.own_lines():
            letter = decode(line)
            if keep(letter):
                kept.write(line + b"\n")
            else:
                yield letter
        sync_file(kept)


def _exchange_letters(ledger: Ledger, layout: Layout, state: State) -> None:
    """Replace the dead letters by those that were kept, so that a crash at any point is safe.

    No file can be moved and no database committed in one step. So there are two commits. The first
    one decides: it holds the new counts, the list to retry, and in `replaced` the old dead letters
    that are still to be replaced. Before it, the kept file is garbage; after it, every run that
    resumes finishes the move, wherever it was interrupted. The second commit drops `replaced`, so
    that later runs do not look for a move to finish.
    """
    ledger.sync()  # the logs: what was adopted after a kill may not be durable yet
    old, replaced = ledger.letters, ledger.letters.mark()
    kept = Log(state.path / KEPT_LETTERS, Mark())
    kept.adopt_lines()
    ledger.letters = kept
    old.close()
    state.sync()
    moved = ledger.snapshot()
    ledger.commit(evolve(moved, replaced=replaced))
    replace_letters(layout, state, replaced, moved.letters)
    ledger.commit(moved)
    kept.path = layout.dead_letters


def _damaged(name: str) -> StateError:
    return StateError(
        "was changed since it was written; restore it, or rebuild the export's state", path=name
    )
