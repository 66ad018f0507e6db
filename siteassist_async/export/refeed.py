"""The dead letters as ids to ask for once more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
from attrs import evolve

from siteassist_async.export.checkpoint import Cursor, Mark, Prefix
from siteassist_async.export.dead_letters import DeadLetter, decode
from siteassist_async.export.disk import private, sync_file, sync_folder, writing
from siteassist_async.export.errors import OutputChangedError
from siteassist_async.export.feed import Feed
from siteassist_async.export.id_list import IdList, reading
from siteassist_async.export.log import Log

if TYPE_CHECKING:
    from siteassist_async.export.layout import Layout
    from siteassist_async.export.ledger import Ledger


def refeed(ledger: Ledger, layout: Layout) -> None:
    """Move the ids that are UUIDs from the dead letters to before the input.

    They have no outcome then, until they are asked for again. Does nothing where there are none,
    or where those of an earlier time are not all asked for yet.

    Raises:
        OutputChangedError: The dead letters are not those that were written.
    """
    if ledger.retry is not None or not ledger.counts.failed:
        return
    _divide(ledger, layout)
    kept, old = Log(layout.kept_letters, Mark()), ledger.letters
    ledger.letters = kept
    old.close()
    ledger.retry = retry_feed(layout, Cursor())
    ledger.counts.taken -= ledger.counts.failed
    ledger.counts.failed = ledger.counts.retryable = 0
    moved = ledger.snapshot()
    ledger.commit(evolve(moved, replace_letters=True))
    replace_letters(layout)
    ledger.commit(moved)
    kept.path = layout.dead_letters


def retry_feed(layout: Layout, cursor: Cursor) -> Feed:
    """Open the list of ids to ask again; it has no duplicates."""
    name = str(layout.retry_ids)
    with reading(name):
        file = os.open(layout.retry_ids, os.O_RDONLY)
    return Feed(IdList(file, name), cursor, known=Prefix(cursor.front), seen=None)


def replace_letters(layout: Layout) -> None:
    """Let the kept dead letters take the place of all, if they have not yet."""
    with writing(layout.dead_letters):
        if layout.kept_letters.exists():
            layout.kept_letters.replace(layout.dead_letters)
    sync_folder(layout.dead_letters.parent)  # first: the letters must not be in neither folder
    sync_folder(layout.folder)


def _divide(ledger: Ledger, layout: Layout) -> None:
    """Write the ids to ask again to one file, and the lines of what is no id to another."""
    again = 0
    with (
        writing(layout.folder),
        layout.retry_ids.open("wb") as ids,
        open(layout.kept_letters, "wb", opener=private) as kept,
    ):
        for line, _ in ledger.letters.lines(0):
            letter = _letter(line, layout)
            if letter.line is None:
                ids.write(letter.id.encode() + b"\n")
                again += 1
            else:
                kept.write(line + b"\n")
        sync_file(ids)
        sync_file(kept)
    sync_folder(layout.folder)
    if again != ledger.counts.failed:
        raise _changed(layout)


def _letter(line: bytes, layout: Layout) -> DeadLetter:
    try:
        return decode(line)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise _changed(layout) from error


def _changed(layout: Layout) -> OutputChangedError:
    return OutputChangedError(
        "was edited since it was written; put it back as it was, or restart the export",
        path=str(layout.dead_letters),
    )
