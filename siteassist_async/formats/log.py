"""Reading a log of conversations from any place on, by whole lines."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from io import BufferedReader, RawIOBase, UnsupportedOperation
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

import msgspec
from attrs import frozen

from siteassist_async.codec.fast import decode_head
from siteassist_async.compression import Compression, DamagedFrameError, compression_of
from siteassist_async.export.errors import InputChangedError, InputError
from siteassist_async.export.lines import record_id

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from _typeshed import WriteableBuffer

BATCH = 1 << 18
"""Bytes of lines in a batch; a longer line is a batch of its own.

So few that what is made of them is still in the processor's cache when it is used again.
"""

_TAIL = 1024
_BUFFER = 1 << 17  # half of the time for reading lines that the usual 8 KiB take
_PIECE = 1 << 14  # of a compressed file: what it holds is in memory at once


@frozen
class Place:
    """How far a log was read.

    Attributes:
        end: The offset of the first byte that was not; of a compressed log, in its content.
        tail: A checksum of the last bytes before.
        lines: The number of lines before.
    """

    end: int = 0
    tail: int = 0
    lines: int = 0


START = Place()
"""The place before the first line."""


@frozen
class Batch:
    """Some lines of a log, each with its newline.

    Attributes:
        start: The place before the first of them.
        place: The place after the last of them.
    """

    lines: Sequence[bytes]
    start: Place
    place: Place


@contextmanager
def opened_log(path: Path) -> Generator[BinaryIO]:
    """Open the content of a log, decompressed where its name says so; it can seek.

    Raises:
        InputError: It cannot be read. Also for errors that occur while it is open.
        ConfigurationError: The library for its compression is not installed.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError("is not a regular file", path=str(path))
        compression = compression_of(path)
        with path.open("rb", buffering=_BUFFER) as file:
            if compression is None:
                yield file
            else:
                yield BufferedReader(_Content(file, compression), _PIECE)
    except DamagedFrameError as error:
        raise InputError(f"is damaged: {error}", path=str(path)) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path=str(path)) from error


def batches(path: Path, start: Place = START, *, size: int | None = None) -> Generator[Batch]:
    """Read the whole lines after a place; a line that is being written is left for later.

    Every line is on the disk before it is yielded, so that nobody can know more of a log than is
    left of it after a power failure.

    Raises:
        InputError: The log cannot be read.
        InputChangedError: What is before the place is not what was there.
    """
    with opened_log(path) as file:
        tail = _seek(file, path, start)
        place = start
        on_disk = -1
        while lines := _whole_lines(file, size or BATCH):
            written = os.fstat(file.fileno()).st_size
            if written != on_disk:
                os.fsync(file.fileno())
                on_disk = written
            tail = _last_bytes(tail, lines)
            end = place.end + sum(map(len, lines))
            after = Place(end, zlib.crc32(tail), place.lines + len(lines))
            yield Batch(lines, place, after)
            place = after


def lines_of(path: Path) -> Iterator[bytes]:
    """Read all whole lines of a log."""
    # One by one: a batch would be out of the processor's cache before its last line is used.
    with opened_log(path) as file:
        yield from filter(_is_whole, file)


@frozen
class Newest:
    """Which lines of a log are the newest records of their conversations."""

    _last: Mapping[str | None, int]

    @classmethod
    def of(cls, path: Path) -> Newest:
        """Read the IDs of a whole log; takes some 200 bytes of memory for each."""
        return cls({_id(line): number for number, line in enumerate(lines_of(path))})

    def has(self, line: bytes, number: int) -> bool:
        """Whether a line, the number of which is counted from 0, is one of them."""
        conversation_id = _id(line)
        return conversation_id is None or self._last.get(conversation_id, number) == number


def has_repeats(path: Path, first: int, end: int) -> bool:
    """Whether any of some lines is a newer record of a conversation that came before.

    Reads the IDs of all lines up to the last of them, each of which takes 100 bytes of memory.
    """
    seen: set[int] = set()
    for number, line in enumerate(islice(lines_of(path), end)):
        found = hash(_id(line))  # half of the memory of the ID; that two are equal only costs time
        if number >= first and found in seen:
            return True
        seen.add(found)
    return False


def _id(line: bytes) -> str | None:
    try:
        return decode_head(line).id
    except (msgspec.MsgspecError, RecursionError):
        return record_id(line)  # slower, but knows lone surrogates


def check_place(path: Path, place: Place) -> None:
    """Check that a log has what was before a place; raises the errors of `batches`."""
    with opened_log(path) as file:
        _seek(file, path, place)


class _Content(RawIOBase):
    """The content of a compressed file, up to the end of a frame that is being written.

    It is read from the beginning: to seek means to decompress what is skipped.
    """

    def __init__(self, file: BinaryIO, compression: Compression) -> None:
        self._file = file
        pieces = iter(lambda: file.read(_PIECE), b"")
        self._plain = (plain for plain, _ in compression.decompress(pieces) if plain)
        self._held = memoryview(b"")
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._file.fileno()

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence != os.SEEK_SET or offset < self._at:
            raise UnsupportedOperation("cannot go back")
        while self._at < offset and self._fill():
            self._take(offset - self._at)
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self._fill()
        into = memoryview(buffer)
        found = self._take(len(into))
        into[: len(found)] = found
        return len(found)

    def _fill(self) -> bool:
        self._held = self._held or memoryview(next(self._plain, b""))
        return bool(self._held)

    def _take(self, size: int) -> memoryview:
        found, self._held = self._held[:size], self._held[size:]
        self._at += len(found)
        return found


def _seek(file: BinaryIO, path: Path, place: Place) -> bytes:
    """Go to a place, and return the bytes before it, of which it has the checksum."""
    before = max(0, place.end - _TAIL)
    file.seek(before)
    tail = file.read(place.end - before)
    if len(tail) < place.end - before or zlib.crc32(tail) != place.tail:
        raise InputChangedError(
            "is not the log that was converted before: it was restarted, replaced or edited; "
            "use `siteassist convert --rebuild` to convert all of it again",
            path=str(path),
        )
    return tail


def _whole_lines(file: BinaryIO, size: int) -> list[bytes]:
    lines = file.readlines(size)
    if lines and not _is_whole(lines[-1]):
        lines.pop()
    return lines


def _is_whole(line: bytes) -> bool:
    return line.endswith(b"\n")


def _last_bytes(before: bytes, lines: Sequence[bytes]) -> bytes:
    last = b""
    for line in reversed(lines):
        last = line[-_TAIL:] + last
        if len(last) >= _TAIL:
            return last[-_TAIL:]
    return (before + last)[-_TAIL:]
