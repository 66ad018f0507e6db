"""A file that only grows, by whole lines."""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from siteassist_async.export.checkpoint import Mark
from siteassist_async.export.disk import private, unwritable, writing
from siteassist_async.export.errors import OutputChangedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_TAIL = 1024
_LONGEST_LINE = 1 << 30
LONGEST_WRITE = 1 << 20
"""Bytes of lines that are copied to be written together; a longer line is written alone."""


class Log:
    """Appends lines; a line is there once its line break is.

    Lines are written together, for one write each costs 2 µs more a line; nothing is held back, for
    a buffer would lose what it holds with the process.

    Args:
        path: The file; made if it is missing and nothing was known of it.
        known: What the last checkpoint knows of it.

    Raises:
        OutputChangedError: It is shorter than what is known of it, or not the same.
    """

    def __init__(self, path: Path, known: Mark) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_APPEND | (0 if known.offset else os.O_CREAT)
        with writing(path):
            try:
                self._file = private(path, flags)
            except FileNotFoundError:
                raise self._changed("is gone") from None
            self.offset = os.fstat(self._file).st_size
        try:
            self._compare(known)
        except BaseException:
            self.close()
            raise

    def append(self, lines: Iterable[bytes]) -> None:
        """Write lines; raises ValueError if one of them is more than one."""
        for text in _joined(lines):
            rest = text
            try:
                while rest:
                    rest = rest[os.write(self._file, rest) :]
            except OSError as error:
                # Leave no half line; if that fails too, the next run cuts it.
                with suppress(OSError):
                    os.ftruncate(self._file, self.offset)
                raise unwritable(self.path, error) from error
            self.offset += len(text)

    def mark(self) -> Mark:
        """Describe the file as it is.

        Raises:
            OutputChangedError: Someone else wrote to it.
        """
        with writing(self.path):
            if os.fstat(self._file).st_size != self.offset:
                raise self._changed("was written to by someone else during this run")
            return Mark(self.offset, self._tail_sum(self.offset))

    def sync(self) -> None:
        """Make all lines durable."""
        with writing(self.path):
            os.fsync(self._file)

    def lines(self, start: int) -> Iterator[tuple[bytes, int]]:
        """Yield the whole lines from `start` on, each without its line break, with its end."""
        with writing(self.path), self.path.open("rb") as file:
            end = file.seek(start)
            while (line := file.readline(_LONGEST_LINE)).endswith(b"\n"):
                end += len(line)
                yield line[:-1], end

    def cut(self, offset: int) -> None:
        """Drop everything from `offset` on."""
        if offset < self.offset:
            with writing(self.path):
                os.ftruncate(self._file, offset)
            self.offset = offset

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def refuse_growth(self, known: int) -> None:
        """Raise where the file is longer than is known of it."""
        if self.offset > known:
            raise self._changed(f"has {self.offset - known} bytes that no export wrote")

    def _compare(self, known: Mark) -> None:
        if self.offset < known.offset:
            raise self._changed(f"has {self.offset} of the {known.offset} bytes written so far")
        with writing(self.path):
            if self._tail_sum(known.offset) != known.tail:
                raise self._changed("was edited or replaced since it was written")

    def _tail_sum(self, end: int) -> int:
        start = max(0, end - _TAIL)
        return zlib.crc32(os.pread(self._file, end - start, start))

    def _changed(self, what: str) -> OutputChangedError:
        return OutputChangedError(
            f"{what}; put it back as it was, name another output, or restart the export",
            path=str(self.path),
        )


def _joined(lines: Iterable[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for line in lines:
        if b"\n" in line:
            raise ValueError("a record is one line")
        if size + len(line) > LONGEST_WRITE:
            yield b"\n".join([*held, b""])
            held, size = [], 0
        held.append(line)
        size += len(line)
    yield b"\n".join([*held, b""])
