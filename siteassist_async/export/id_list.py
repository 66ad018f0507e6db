"""The list of IDs, one per line, read by byte offset; and the work queue made of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import define, frozen

from siteassist_async.errors import InvalidIdError, printable
from siteassist_async.export.checkpoint import Cursor, Prefix
from siteassist_async.export.disk import plural, stamp
from siteassist_async.export.errors import InputChangedError, InputError
from siteassist_async.export.store import Held, Store
from siteassist_async.export.values import NO_VERSION, uncommented
from siteassist_async.ids import is_id, read_id

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


BLOCK = 16384
"""Bytes read at a time; a longer line is not an ID, and is not kept in memory."""

_USUAL_LINE = 37  # a UUID and its newline


@define
class Entry:
    """A line that is not blank.

    Attributes:
        position: Its byte offset.
        line: Its number, from 1.
        end: The byte offset of the line after it.
        text: The line without surrounding white space, or its beginning if it is too long.
        id: The canonical ID; empty if the text is not an ID.
        fault: Why the text is not an ID.
        version: When the conversation changed, as the list says; see `values.Value`.
        duplicate: The ID is in an earlier line.
        record: The record that earlier rounds wrote.
        settled: The ID need not be fetched: the record is current, or the outcome is another's.
    """

    position: int
    line: int
    end: int
    text: str
    id: str = ""
    fault: InvalidIdError | None = None
    version: int = NO_VERSION
    duplicate: bool = False
    record: Held | None = None
    settled: bool = False

    @property
    def key(self) -> str | int:
        """What identifies its outcome: the ID, or the line number if it is not an ID."""
        return self.id or self.line


@frozen
class Block:
    """Consecutive lines of a list.

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
        whole: All of it, if nothing may ever be appended.
        is_staged: Whether it consists of lines by `staged_line`.

    Attributes:
        end: Read no further than this offset; None for the real end.
    """

    def __init__(
        self, file: int, name: str, whole: Prefix | None = None, *, is_staged: bool = False
    ) -> None:
        self._file = file
        self._name = name
        self._whole = whole
        self._is_staged = is_staged
        self._opened = self._status()
        self.end = whole.size if whole else None

    def size(self) -> int:
        """Return the list's size in bytes."""
        return self._status().st_size

    def note_state(self) -> None:
        """Note the list's status again: it was renamed after it was opened."""
        self._opened = self._status()

    def stamp(self) -> str:
        """Return what identifies the list as it was opened, among later versions."""
        return stamp(self._opened)

    def block(self, start: Prefix, line: int) -> Block | None:
        """Read the lines after a prefix, the first of which has this number; None at the end.

        Raises:
            InputChangedError: The prefix ended within a line, which has been continued.
        """
        if self.is_continued(start):
            raise self._changed("has been continued in its last line")
        data = self._read(start.size)
        if not data:
            return None
        size = data.rfind(b"\n") + 1
        if not size and len(data) == BLOCK:
            after = start.plus(data)  # the end of this line is searched for
            while not size and (piece := self._read(after.size)):
                size = piece.find(b"\n") + 1
                after = after.plus(piece[: size or None])
            entry = self._entry(_text(data, start.size), start.size, line, after.size)
            return Block(start, data, after, line + 1, [entry] if entry else [])
        data = data[:size] if size else data
        after = start.plus(data)
        position, entries = start.size, list[Entry]()
        texts = data.decode(errors="replace").split("\n")
        for number, (raw, text) in enumerate(zip(data.split(b"\n"), texts, strict=True), line):
            end = min(position + len(raw) + 1, after.size)
            stripped = _stripped(text, position)
            if stripped and (entry := self._entry(stripped, position, number, end)):
                entries.append(entry)
            position = end
        return Block(start, data, after, line + data.count(b"\n"), entries)

    def blocks(self) -> Iterator[Block]:
        """Read all lines."""
        at, line = Prefix(), 1
        while block := self.block(at, line):
            yield block
            at, line = block.end, block.line

    def entry(self, position: int, line: int) -> Entry:
        """Read one line again."""
        raw, _, _ = self._read(position).partition(b"\n")
        text, end = _text(raw, position), position + len(raw) + 1
        return self._entry(text, position, line, end) or Entry(position, line, end, "")

    def sample(self, count: int) -> list[Entry]:
        """Read up to `count` IDs from all over the list."""
        size, found = self.size(), list[Entry]()
        for part in range(1, count + 1):
            at = size * part // (count + 1)
            _, line_break, rest = self._read(at).partition(b"\n")
            entry = self._entry(_text(rest.partition(b"\n")[0], at), at, 0, at)
            if line_break and entry and entry.id:
                found.append(entry)
        return found

    def holds(self, position: int, conversation_id: str) -> bool:
        """Whether a line begins at this offset and is this ID."""
        before = self._read(position - 1)[:1] if position else b"\n"
        return before == b"\n" and self.entry(position, 0).id == conversation_id

    def verify(self, known: Prefix) -> None:
        """Compare the beginning of the list with what was read of it before.

        Raises:
            InputChangedError: It is not the same.
        """
        if self.prefix(known.size) != known:
            raise self._changed(
                f"changed in its first {plural(known.size, 'byte')}, which were already read"
            )

    def goes_on(self, known: Prefix) -> bool:
        """Whether the list begins as it did when it was read so far, with whole lines."""
        return self.prefix(known.size) == known and not self.is_continued(known)

    def has_versions(self) -> bool:
        """Whether the list says when the conversations changed."""
        return any(entry.version for block in self.blocks() for entry in block.entries[:1])

    def confirm(self, read: Prefix) -> None:
        """At the end of the list, check that it did not change while it was read.

        Raises:
            InputChangedError: It was shortened or edited.
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

    def is_continued(self, known: Prefix) -> bool:
        """Whether a prefix ends within a line that has been continued since."""
        around = self._read(known.size - 1)[:2] if known.size else b""
        return len(around) == 2 and around[:1] != b"\n" and around[1:] not in b"\r\n"

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _entry(self, text: str, position: int, line: int, end: int) -> Entry | None:
        version = ""
        if self._is_staged:
            text, _, version = text.partition("\t")
        elif "#" in text and not (text := uncommented(text)):
            return None
        try:
            entry = Entry(position, line, end, text, read_id(text))
        except InvalidIdError as error:
            entry = Entry(position, line, end, text, fault=error)
        if version:
            entry.version = int(version)
        return entry

    def _status(self) -> os.stat_result:
        with reading(self._name):
            return os.fstat(self._file)

    def _read(self, position: int) -> bytes:
        size = BLOCK if self.end is None else max(0, min(BLOCK, self.end - position))
        with reading(self._name):
            return os.pread(self._file, size, position)

    def _changed(self, what: str) -> InputChangedError:
        return InputChangedError(
            f"{what}; run the same command again when nothing changes the input any more",
            path=self._name,
        )


@contextmanager
def reading(name: str) -> Generator[None]:
    """Turn the operating system's errors into errors that name the input."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path=name) from error


def staged_line(text: str, version: int) -> bytes:
    """Return the line for a value: one line, and not a blank one, whatever the value contains."""
    text = text.strip()
    shown = read_id(text) if is_id(text) else printable(text) or '""'
    return (f"{shown}\n" if version == NO_VERSION else f"{shown}\t{version}\n").encode()


def _text(raw: bytes, position: int) -> str:
    return _stripped(raw.decode(errors="replace"), position)


def _stripped(text: str, position: int) -> str:
    text = text.strip()
    return text if position else text.removeprefix("\ufeff").strip()


@define
class WorkQueue:
    """The IDs of a list that have no outcome yet.

    Attributes:
        ids: The list.
        cursor: How far it has been processed.
        known: The list up to the cursor's front, when the queue was opened.
        seen: The index that finds duplicates; None for a list without any.
        earlier: The index of the records of earlier rounds; None if there were none.
    """

    ids: IdList
    cursor: Cursor
    known: Prefix
    seen: Store | None
    earlier: Store | None = None
    _block: Block | None = None

    def open_entries(self) -> list[Entry]:
        """Read the entries that were claimed before and have no outcome."""
        entries = [self.ids.entry(at, line) for at, line in sorted(self.cursor.open.items())]
        if self.earlier is not None:
            self._find_records(entries, self.earlier)
        return entries

    def blocks(self) -> Iterator[Block]:
        """Read the blocks that were not claimed, mark duplicates, and enter each block."""
        for block in self.read_ahead():
            self.enter(block)
            yield block

    def read_ahead(self) -> Iterator[Block]:
        """Read the blocks without entering them; each step adds the block's IDs to the index.

        Raises:
            InputChangedError: The list was shortened or edited while it was read.
        """
        at, line = self.prefix(), self.cursor.line
        while block := self.ids.block(at, line):
            if self.earlier is not None:
                self._find_records(block.entries, self.earlier)
            if self.seen is not None:
                self._mark(block, self.seen)
            yield block
            at, line = block.end, block.line
        self.ids.confirm(at)

    def enter(self, block: Block) -> None:
        """Note that the entries claimed next are in this block."""
        self._block = block

    def prefix(self) -> Prefix:
        """Describe the list up to the cursor's front."""
        return self._block.prefix(self.cursor.front) if self._block else self.known

    def claim(self, entry: Entry) -> None:
        """Note that the entry, the next one of the list, is in flight."""
        self.cursor.open[entry.position] = entry.line
        self.cursor.front = entry.end
        self.cursor.line = entry.line + 1

    def complete(self, entry: Entry) -> None:
        """Note that the entry has its outcome."""
        del self.cursor.open[entry.position]

    def finish(self, block: Block) -> None:
        """Note that all entries of the block were claimed, so that only blank lines remain."""
        self.cursor.front = block.end.size
        self.cursor.line = block.line

    def remaining(self) -> int:
        """Estimate how many IDs were not claimed, from the length of the lines so far."""
        lines = self.cursor.line - 1
        length = self.cursor.front / lines if lines else _USUAL_LINE
        return round((self.ids.size() - self.cursor.front) / length)

    def _mark(self, block: Block, seen: Store) -> None:
        """Mark the entries that need not be fetched in this round, or are in an earlier line.

        The index may contain lines that an earlier run read ahead, and that were edited before
        they were claimed. So it is believed only where the list agrees.
        """
        ids = [entry for entry in block.entries if entry.id]
        if self.earlier is not None:
            apart = self.earlier.apart([entry.id for entry in ids])
            for entry in ids:
                is_current = entry.record is not None and entry.record.is_current(entry.version)
                entry.settled = is_current or entry.id in apart
        if seen.add([(entry.id, entry.position, entry.version) for entry in ids]):
            return
        first = seen.positions([entry.id for entry in ids])
        for entry in ids:
            before, version = first[entry.id]
            # An earlier line may have named a version that is already there, and this a newer one.
            is_newer = (
                entry.record is not None and not entry.settled and entry.record.is_current(version)
            )
            is_again = before < entry.position and self.ids.holds(before, entry.id)
            if is_again and not is_newer:
                entry.duplicate = True
            elif before != entry.position:
                seen.move(entry.id, entry.position, entry.version)
                first[entry.id] = entry.position, entry.version

    @staticmethod
    def _find_records(entries: Sequence[Entry], earlier: Store) -> None:
        records = earlier.records([entry.id for entry in entries if entry.id])
        for entry in entries:
            entry.record = records.get(entry.id)
