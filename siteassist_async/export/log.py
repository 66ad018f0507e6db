"""The log: a file that only grows, by whole lines."""

from __future__ import annotations

import logging
import os
import stat
import time
import zlib
from contextlib import suppress
from itertools import count, takewhile
from typing import TYPE_CHECKING

from attrs import evolve

from siteassist_async.export.checkpoint import Extent, Mark
from siteassist_async.export.disk import (
    identity,
    plural,
    private,
    stamp,
    status_of,
    sync_file,
    sync_folder,
    unwritable,
    writing,
)
from siteassist_async.export.errors import OutputChangedError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_LOG = logging.getLogger("siteassist_async.export")

_NEW = os.O_CREAT | os.O_EXCL
_TAIL = 1024
_PIECE = 1 << 20
_LONGEST_LINE = 1 << 30
LONGEST_WRITE = 1 << 20
"""Bytes of lines that are joined into one write; a longer line is written alone."""


class Log:
    """Appends lines; a line is complete once its newline is written.

    Lines are written together, because one write for each costs 2 µs more per line. Nothing is
    buffered: a process that is killed would lose what is in a buffer.

    Args:
        path: The file; created if it is missing and was empty at the last checkpoint.
        known: What the last checkpoint knows of it.
        aside: The file beside which to set aside what may not be this export's; by default `path`.

    Raises:
        OutputChangedError: It is shorter than it was at the checkpoint, or not the same.

    Attributes:
        offset: The end of this export's lines; there may be more in the file until `drop_rest`.
        written: Bytes of the lines that were appended since it was opened.
    """

    def __init__(self, path: Path, known: Mark, *, aside: Path | None = None) -> None:
        self.path = path
        self.offset = known.offset
        self.written = 0
        self._aside = aside or path
        self._crc = known.crc
        with writing(path):
            self._made = status_of(path) is None
            if self._made and known.offset:
                raise self._changed("is missing")
            # Non-blocking: it may have been replaced by a pipe without a reader.
            flags = os.O_RDWR | os.O_APPEND | os.O_NONBLOCK | (_NEW if self._made else 0)
            self._file = private(path, flags)
        try:
            with writing(path):
                self._examine(known)
        except BaseException:
            self.close()
            raise

    def append(self, lines: Iterable[bytes]) -> None:
        """Write lines; raises ValueError if one contains a newline."""
        for text in _joined(lines):
            self._write(text)
            self.written += len(text)

    def roll(self, *, last: bool) -> None:
        """Prepare a checkpoint, the `last` one of a run or not; see `CompressedLog`."""

    def mark(self) -> Mark:
        """Describe the file as it is.

        Raises:
            OutputChangedError: Someone else wrote to it, or moved or replaced it.
        """
        with writing(self.path):
            status = os.fstat(self._file)
            self._refuse_move(status)
            if status.st_size != self.offset:
                raise self._changed("was modified by another program during this run")
            return Mark(self.offset, self._tail_sum(self.offset), self._crc, identity(status))

    def seal(self, mark: Mark, *, last: bool) -> Mark:
        """Complete a mark, to be committed next.

        To the last one of a run it adds the file status, to detect later changes.
        """
        if not last:
            return mark
        with writing(self.path):
            self._refuse_move(os.fstat(self._file))
            # To the nanosecond, so that any later write changes it, even within the same tick of
            # the system's clock.
            now = time.time_ns()
            with suppress(OSError):
                os.utime(self._file, ns=(now, now))
            return evolve(mark, stamp=stamp(os.fstat(self._file)))

    def committed(self) -> None:
        """Note that the mark is durable; see `CompressedLog`."""

    def sync(self) -> None:
        """Make all lines durable."""
        with writing(self.path):
            os.fsync(self._file)

    def new_lines(self) -> Iterator[tuple[bytes, int]]:
        """Yield the whole lines after this export's, to be adopted, and their ends."""
        yield from self._lines(self.offset)

    def own_lines(self) -> Iterator[bytes]:
        """Yield this export's lines, each without its newline."""
        return self.lines_after(Extent())

    def lines_after(self, extent: Extent) -> Iterator[bytes]:
        """Yield this export's lines, without those that it had at a time."""
        own = takewhile(lambda found: found[1] <= self.offset, self._lines(extent.offset))
        yield from (line for line, _ in own)

    def adopt(self, end: int) -> None:
        """Accept the content up to `end` as this export's."""
        with writing(self.path):
            self._crc = self._sum(self.offset, end, self._crc)
            self.offset = end

    def adopt_lines(self) -> None:
        """Accept all whole lines in the file as this export's."""
        ends = (end for _, end in self.new_lines())
        self.adopt(max(ends, default=self.offset))

    def drop_rest(self) -> None:
        """Remove what follows this export's lines: cut a torn line, set anything else aside.

        Raises:
            OutputChangedError: There is more, in a file that may not be this export's.
        """
        with writing(self.path):
            size = os.fstat(self._file).st_size
            if size <= self.offset:
                return
            rest = plural(size - self.offset, "byte")
            if not self._is_ours:
                raise self._changed(f"has {rest} that no export wrote")
            if not self._is_torn():
                name = f"{self._aside.name}.aside"
                paths = (self._aside.with_name(f"{name}-{number}") for number in count(1))
                to = next(path for path in paths if status_of(path) is None)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                with writing(to), os.fdopen(private(to, flags), "wb") as out:
                    for piece in self.pieces(self.offset, size):
                        out.write(piece)
                    sync_file(out)
                sync_folder(to.parent)
                _LOG.warning(
                    "%s: %s at its end may not belong to this export; moved to %s",
                    self.path,
                    rest,
                    to,
                )
            os.ftruncate(self._file, self.offset)

    def refuse_growth(self) -> None:
        """Raise if there is more than this export wrote."""
        if more := self.rest():
            raise self._changed(f"has {plural(more, 'byte')} that no export wrote")

    def rest(self) -> int:
        """Return the number of bytes after this export's lines."""
        return max(0, self.size() - self.offset)

    def size(self) -> int:
        """Return the size of the file."""
        with writing(self.path):
            return os.fstat(self._file).st_size

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """Read the file from one offset to another, or to its end."""
        while start < end and (piece := os.pread(self._file, min(_PIECE, end - start), start)):
            start += len(piece)
            yield piece

    def verify(self) -> None:
        """Compare all of this export's lines with the checksum of what was written.

        Raises:
            OutputChangedError: It is not the same.
        """
        with writing(self.path):
            if self._sum(0, self.offset, 0) != self._crc:
                raise self._changed("was edited since it was written")

    def remove(self) -> None:
        """Delete the file, unless it was replaced by another."""
        with writing(self.path):
            if self._is_named(os.fstat(self._file)):
                self.path.unlink()

    def remove_empty(self, *, made: bool = False) -> None:
        """Delete the file if it is empty; with `made` only if this object created it."""
        with writing(self.path):
            if self._made >= made and not os.fstat(self._file).st_size:
                self.remove()

    def prove(self, read: Callable[[bytes], object] | None) -> None:
        """Check that nothing in the file can have been written by anyone else.

        Args:
            read: Returns None for a line that no export writes. Without it, what follows this
                export's lines may be anything, and is left to `drop_rest`.

        Raises:
            OutputChangedError: Something may have been.
        """
        strange = not self._is_ours
        if read is not None:
            strange = strange or any(read(line) is None for line, _ in self.new_lines())
            self.adopt_lines()
            with writing(self.path):
                strange = strange or (self.rest() > 0 and not self._is_torn())
        if strange:
            raise self._changed("has lines that no export wrote")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _examine(self, known: Mark) -> None:
        """Compare the file with what is known of it, as thoroughly as there is reason to."""
        status = os.fstat(self._file)
        if not stat.S_ISREG(status.st_mode):
            raise OutputError("is not a regular file, so it cannot be resumed", path=str(self.path))
        if not known.file and status.st_uid != os.geteuid() and not self._made:
            raise OutputError("belongs to another user; choose another output", path=str(self.path))
        if status.st_size < known.offset:
            raise self._changed(
                f"has only {status.st_size} of the {plural(known.offset, 'byte')} written so far"
            )
        if self._tail_sum(known.offset) != known.tail:
            raise self._changed("was edited or replaced since it was written")
        is_same = self._made or known.file == identity(status)
        if not is_same or (known.stamp and known.stamp != stamp(status)):
            self.verify()
        # If nothing was compared, only the identity of the file proves that it is this export's.
        self._is_ours = is_same or known.offset > 0

    def _write(self, text: bytes) -> None:
        rest = text
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            # Remove the partly written line; if that fails too, the next run does.
            written = len(text) - len(rest)
            with suppress(OSError):
                if os.fstat(self._file).st_size == self.offset + written:
                    os.ftruncate(self._file, self.offset)
            raise unwritable(self.path, error) from error
        self.offset += len(text)
        self._crc = zlib.crc32(text, self._crc)

    def _is_named(self, status: os.stat_result) -> bool:
        named = status_of(self.path)
        return named is not None and os.path.samestat(named, status)

    def _refuse_move(self, status: os.stat_result) -> None:
        if not self._is_named(status):
            what = "deleted" if not status.st_nlink else "moved away or replaced by another file"
            raise self._changed(f"was {what} during this run")

    def _is_torn(self) -> bool:
        """Whether the rest is one record or dead letter that was not written to its end."""
        pieces = self.pieces(self.offset, os.fstat(self._file).st_size)
        begins = next(pieces)
        return begins.startswith(b"{") and all(b"\n" not in p for p in (begins, *pieces))

    def _sum(self, start: int, end: int, crc: int) -> int:
        for piece in self.pieces(start, end):
            crc = zlib.crc32(piece, crc)
        return crc

    def _lines(self, start: int) -> Iterator[tuple[bytes, int]]:
        with writing(self.path), os.fdopen(os.dup(self._file), "rb") as file:
            end = file.seek(start)
            while (line := file.readline(_LONGEST_LINE)).endswith(b"\n"):
                end += len(line)
                yield line[:-1], end

    def _tail_sum(self, end: int) -> int:
        start = max(0, end - _TAIL)
        return zlib.crc32(os.pread(self._file, end - start, start))

    def _changed(self, what: str) -> OutputChangedError:
        return OutputChangedError(
            f"{what}; restore it, choose another output, or rebuild the export's state "
            "(--rebuild-state) to resume from what is there",
            path=str(self.path),
        )


def _joined(lines: Iterable[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for line in lines:
        if b"\n" in line:
            raise ValueError("a record must be one line")
        if size + len(line) > LONGEST_WRITE:
            yield b"\n".join([*held, b""])
            held, size = [], 0
        held.append(line)
        size += len(line)
    yield b"\n".join([*held, b""])
