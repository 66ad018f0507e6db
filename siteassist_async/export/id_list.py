"""The list of IDs, one per line, read by byte offset; and the work queue made of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import define, frozen

from siteassist_async.errors import InvalidIdError
from siteassist_async.export.checkpoint import Cursor, Prefix
from siteassist_async.export.disk import plural, stamp
from siteassist_async.export.errors import InputChangedError, InputError
from siteassist_async.export.store import Store
from siteassist_async.ids import parse_id

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


BLOCK = 16384
"""Bytes read at a time; a longer line is no id, and is not kept in memory."""


@define
class Entry:
    """A line that is not blank.

    Attributes:
        position: Its byte offset.
        line: Its number, from 1.
        end: The byte offset of the line after it.
        text: The line without the white space around it, or its beginning if it is too long.
        id: The canonical id; empty if the text is none.
        fault: Why it is none.
        duplicate: The id stands in an earlier line.
    """

    position: int
    line: int
    end: int
    text: str
    id: str = ""
    fault: InvalidIdError | None = None
    duplicate: bool = False

    @property
    def key(self) -> str | int:
        """What ties it to its outcome: the id, or the line number of what is none."""
        return self.id or self.line


@frozen
class Block:
    """Some lines in their order.

    Attributes:
        start: The list up to the first line.
        data: The bytes of the lines, or the beginning of the one line that is too long.
        end: The list up to the line after the last.
        line: The number of that line.
    """

    start: Prefix
    data: bytes
    end: Prefix
    line: int
    entries: Sequence[Entry]

    def prefix(self, position: int) -> Prefix:
        """Describe the list up to a line of the block or the line after it."""
        if position == self.end.size:
            return self.end
        return self.start.plus(self.data[: position - self.start.size])


class IdList:
    """An open list.

    Args:
        file: A file descriptor that can be read at any offset; `close` closes it.
        name: For errors.
        whole: All of it, where nothing may ever be added.

    Attributes:
        end: Where it is taken to end, short of its real end; None for nowhere.
    """

    def __init__(self, file: int, name: str, whole: Prefix | None = None) -> None:
        self._file = file
        self._name = name
        self._whole = whole
        self._opened = self._status()
        self.end = whole.size if whole else None

    def size(self) -> int:
        """Return the list's size in bytes."""
        return self._status().st_size

    def note_state(self) -> None:
        """Note the list as it is now: it got its name after it was opened."""
        self._opened = self._status()

    def stamp(self) -> str:
        """Tell the list as it was opened from any later state of it."""
        return stamp(self._opened)

    def block(self, start: Prefix, line: int) -> Block | None:
        """Read the lines after a prefix, the first of which has this number; None at the end.

        Raises:
            InputChangedError: The prefix ended within a line, which has been continued.
        """
        if self.goes_on(start):
            raise self.goes_on_error()
        data = self._read(start.size)
        if not data:
            return None
        size = data.rfind(b"\n") + 1
        if not size and len(data) == BLOCK:
            end = self._skip_line(start, data)
            entry = _entry(_text(data, start.size), start.size, line, end.size)
            return Block(start, data, end, line + 1, [entry])
        data = data[:size] if size else data
        entries = list(_entries(data, start.size, line))
        return Block(start, data, start.plus(data), line + data.count(b"\n"), entries)

    def entry(self, position: int, line: int) -> Entry:
        """Read one line again."""
        raw, _, _ = self._read(position).partition(b"\n")
        return _entry(_text(raw, position), position, line, position + len(raw) + 1)

    def sample(self, count: int) -> list[Entry]:
        """Read so many ids from all over the list, or fewer."""
        size, found = self.size(), list[Entry]()
        for part in range(1, count + 1):
            at = size * part // (count + 1)
            _, line_break, rest = self._read(at).partition(b"\n")
            entry = _entry(_text(rest.partition(b"\n")[0], at), at, 0, at)
            if line_break and entry.id:
                found.append(entry)
        return found

    def holds(self, position: int, conversation_id: str) -> bool:
        """Tell whether a line begins at this offset and is this id."""
        before = self._read(position - 1)[:1] if position else b"\n"
        return before == b"\n" and self.entry(position, 0).id == conversation_id

    def verify(self, known: Prefix) -> None:
        """Compare the beginning of the list with what was read of it before.

        Raises:
            InputChangedError: It is not the same.
        """
        size = self.size()
        if size < known.size:
            raise self._changed(
                f"was shortened to {plural(size, 'byte')}, of {known.size} that were read before"
            )
        if self.prefix(known.size) != known:
            raise self._changed(
                f"changed in its first {plural(known.size, 'byte')}, which an earlier run read"
            )

    def confirm(self, read: Prefix) -> None:
        """At the end of the list, make sure that it is what was read.

        Raises:
            InputChangedError: It was shortened or edited meanwhile.
        """
        status = self._status()
        if stamp(status) == stamp(self._opened):
            return
        if status.st_size < self._opened.st_size:
            raise self._changed(
                f"was shortened from {plural(self._opened.st_size, 'byte')} to "
                f"{status.st_size} while it was read"
            )
        self.verify(self._whole or read)

    def prefix(self, size: int) -> Prefix:
        """Read the beginning of the list, of so many bytes."""
        found = Prefix()
        while data := self._read(found.size)[: size - found.size]:
            found = found.plus(data)
        return found

    def goes_on(self, known: Prefix) -> bool:
        """Tell whether a prefix ends within a line that has been continued since."""
        around = self._read(known.size - 1)[:2] if known.size else b""
        return len(around) == 2 and around[:1] != b"\n" and around[1:] not in b"\r\n"

    def goes_on_error(self) -> InputChangedError:
        """Say that the last line, as it was read, was not written to its end."""
        return self._changed("has been continued in its last line")

    def last_line(self, known: Prefix) -> tuple[Prefix, int, str]:
        """Describe a prefix without its last line; returns that line's number and text too.

        Raises:
            InputChangedError: The line is an id.
        """
        start = max(0, known.size - BLOCK)
        _, line_break, raw = self._read(start)[: known.size - start].rpartition(b"\n")
        if start and not line_break:  # too long for an id, and for its beginning
            raise self.goes_on_error()
        position = known.size - len(raw)
        entry = _entry(_text(raw, position), position, 0, known.size)
        if entry.id:
            raise self.goes_on_error()
        return self.prefix(position), self._count_lines(position) + 1, entry.text

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _count_lines(self, size: int) -> int:
        blocks = (self._read(start)[: size - start] for start in range(0, size, BLOCK))
        return sum(block.count(b"\n") for block in blocks)

    def _status(self) -> os.stat_result:
        with reading(self._name):
            return os.fstat(self._file)

    def _read(self, position: int) -> bytes:
        size = BLOCK if self.end is None else max(0, min(BLOCK, self.end - position))
        with reading(self._name):
            return os.pread(self._file, size, position)

    def _skip_line(self, start: Prefix, data: bytes) -> Prefix:
        """Find the end of the line that begins with `data`."""
        end = start.plus(data)
        while piece := self._read(end.size):
            size = piece.find(b"\n") + 1
            end = end.plus(piece[:size] if size else piece)
            if size:
                break
        return end

    def _changed(self, what: str) -> InputChangedError:
        return InputChangedError(
            f"{what}, so the export cannot resume; "
            "restore the input, choose another output, or restart the export",
            path=self._name,
        )


@contextmanager
def reading(name: str) -> Generator[None]:
    """Name the input in what the operating system has against reading it."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path=name) from error


def _entries(data: bytes, position: int, line: int) -> Iterator[Entry]:
    block_end = position + len(data)
    texts = data.decode(errors="replace").split("\n")
    for number, (raw, text) in enumerate(zip(data.split(b"\n"), texts, strict=True), line):
        end = min(position + len(raw) + 1, block_end)
        stripped = _stripped(text, position)
        if stripped:
            yield _entry(stripped, position, number, end)
        position = end


def _text(raw: bytes, position: int) -> str:
    return _stripped(raw.decode(errors="replace"), position)


def _stripped(text: str, position: int) -> str:
    text = text.strip()
    return text if position else text.removeprefix("\ufeff").strip()


def _entry(text: str, position: int, line: int, end: int) -> Entry:
    try:
        return Entry(position, line, end, text, parse_id(text))
    except InvalidIdError as error:
        return Entry(position, line, end, text, fault=error)


_USUAL_LINE = 37  # a UUID and its line break


@define
class WorkQueue:
    """Gives the ids that have no outcome yet.

    Attributes:
        ids: The list.
        cursor: How far it has been dealt with.
        known: The list up to the cursor's front, when the queue was opened.
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

    def claim(self, entry: Entry) -> None:
        """Note that the entry, the next of its list, is in flight."""
        self.cursor.open[entry.position] = entry.line
        self.cursor.front = entry.end
        self.cursor.line = entry.line + 1

    def complete(self, entry: Entry) -> None:
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
