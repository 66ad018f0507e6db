"""A list of ids and how far it has been dealt with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from siteassist_async.export.checkpoint import Cursor, Prefix
from siteassist_async.export.id_list import Block, Entry, IdList
from siteassist_async.export.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

_USUAL_LINE = 37  # a UUID and its line break


@define
class Feed:
    """Gives the ids that have no outcome yet.

    Attributes:
        ids: The list.
        cursor: How far it has been dealt with.
        known: The list up to the cursor's front, when the feed was opened.
        seen: Where ids are looked up to find duplicates; None for a list that has none.
    """

    ids: IdList
    cursor: Cursor
    known: Prefix
    seen: Store | None
    _block: Block | None = None

    def open_entries(self) -> list[Entry]:
        """Read again what was taken and has no outcome."""
        return [self.ids.entry(at, line) for at, line in sorted(self.cursor.open.items())]

    def blocks(self) -> Iterator[Block]:
        """Read what was not taken, marking duplicates, and enter each block."""
        for block in self.ahead():
            self.enter(block)
            yield block

    def ahead(self) -> Iterator[Block]:
        """Read the blocks without entering them; each step writes to the store.

        Raises:
            InputChangedError: The list was shortened or edited while it was read.
        """
        at, line = self.prefix(), self.cursor.line
        while block := self.ids.block(at, line):
            if self.seen is not None:
                self._mark_duplicates(block, self.seen)
            yield block
            at, line = block.end, block.line
        self.ids.confirm(at)

    def enter(self, block: Block) -> None:
        """Note that what is taken next stands in this block."""
        self._block = block

    def prefix(self) -> Prefix:
        """Describe the list up to the cursor's front."""
        return self._block.prefix(self.cursor.front) if self._block else self.known

    def take(self, entry: Entry) -> None:
        """Note that the entry, the next of its list, is in flight."""
        self.cursor.open[entry.position] = entry.line
        self.cursor.front = entry.end
        self.cursor.line = entry.line + 1

    def settle(self, entry: Entry) -> None:
        """Note that the entry has its outcome."""
        del self.cursor.open[entry.position]

    def finish(self, block: Block) -> None:
        """Note that all entries of the block were taken: what follows them is blank."""
        self.cursor.front = block.end.size
        self.cursor.line = block.line

    def remaining(self) -> int:
        """Estimate how many ids were not taken, from the length of the lines so far."""
        lines = self.cursor.line - 1
        length = self.cursor.front / lines if lines else _USUAL_LINE
        return round((self.ids.size() - self.cursor.front) / length)

    def _mark_duplicates(self, block: Block, seen: Store) -> None:
        """Mark the entries whose id stands in an earlier line.

        The store may know of lines that were read ahead, and edited before they were taken. So
        it is believed only where the list agrees.
        """
        ids = [entry for entry in block.entries if entry.id]
        if seen.add([(entry.id, entry.position) for entry in ids]):
            return
        first = seen.positions([entry.id for entry in ids])
        for entry in ids:
            before = first[entry.id]
            if before < entry.position and self.ids.holds(before, entry.id):
                entry.duplicate = True
            elif before != entry.position:
                seen.move(entry.id, entry.position)
                first[entry.id] = entry.position
