"""A compressed log: whole frames in the output, and the lines that follow them in a plain file.

A kill during a write would lose a whole frame, and small frames compress badly. So lines are
first appended to a plain file in the state folder, as to an uncompressed log. A checkpoint that
finds `FRAME` bytes there closes that file; further lines go to the next one. The closed file is
compressed to the end of the output, synced, committed, and then deleted. After a kill before that
commit, the frames beyond the last checkpoint are cut, and the lines are still in the plain files,
of which there are never more than two.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import chain, islice
from typing import TYPE_CHECKING

from attrs import evolve

from siteassist_async.compression import Compression, DamagedFrameError, compression_of
from siteassist_async.export.checkpoint import Extent, Mark, PlainMark
from siteassist_async.export.disk import identity
from siteassist_async.export.log import Log
from siteassist_async.export.state import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from siteassist_async.export.state import State

FRAME = 1 << 20
"""The minimum size of the lines that are compressed together, except at the end of a run."""

_MORE = 1 << 16  # bytes read at a time to find the end of a frame's last line


def records_log(path: Path, known: Mark, state: State) -> Log:
    """Open the log of the records, compressed if its name asks for it.

    Raises:
        ConfigurationError: The library for the compression is not installed.
        OutputChangedError: As `Log`.
    """
    compression = compression_of(path)
    # An output that an earlier version began without compression goes on as it is.
    if compression is None or (known.offset and known.plain is None):
        return Log(path, known)
    return CompressedLog(path, known, state, compression)


class CompressedLog(Log):
    """A log whose file grows by whole frames.

    `offset` is the end of the frames. `new_lines` and `adopt` are about the plain files, whose
    bytes they count from the start of the first.
    """

    def __init__(self, path: Path, known: Mark, state: State, compression: Compression) -> None:
        self._state = state
        self._compression = compression
        self._is_last = False
        self._is_name_durable = False  # of the plain file that lines are appended to
        self._compressed: list[Log] = []  # to be deleted after the commit
        self._closed: list[Log] = []  # to be compressed
        self._plain: Log | None = None  # to be appended to; created by the first line
        super().__init__(path, known)
        self._number = known.plain.number if known.plain else 0
        try:
            if known.plain is not None:
                self._plain = self._open(self._number, known.plain.mark)
                following = self._open(self._number + 1, Mark())
                if following is not None:  # a run was killed meanwhile
                    self._close_plain()
                    self._plain = following
        except BaseException:
            self.close()
            raise

    def append(self, lines: Iterable[bytes]) -> None:
        """Write lines; raises ValueError if one contains a newline."""
        if self._plain is None:
            self._is_name_durable = False
            self._state.remove(_name(self._number))  # of a state that was rebuilt or restarted
            self._plain = Log(self._state.path / _name(self._number), Mark(), aside=self.path)
        before = self._plain.written
        self._plain.append(lines)
        self.written += self._plain.written - before

    def roll(self, *, last: bool) -> None:
        """Close the plain file if it is large enough, or if this is the last checkpoint."""
        self._is_last = last
        plain = self._plain
        if plain is not None and (last or (plain.offset >= FRAME and not self._closed)):
            self._close_plain()

    def mark(self) -> Mark:
        """Describe the plain file as it is; `seal` adds the frames."""
        return Mark(plain=PlainMark(self._number, self._plain.mark() if self._plain else Mark()))

    def seal(self, mark: Mark, *, last: bool) -> Mark:
        """Complete a mark, with everything that was closed before it in durable frames."""
        self._compress()
        return super().seal(evolve(super().mark(), plain=mark.plain), last=last)

    def committed(self) -> None:
        """Delete the plain files that are compressed."""
        for log in self._compressed:
            log.close()
        self._compressed = []
        for number in (self._number + 1, self._number + 2):
            self._state.remove(_name(number))

    def sync(self) -> None:
        """Make all lines durable."""
        self._compress()
        if self._plain is not None:
            self._plain.sync()
            if not self._is_name_durable:
                self._is_name_durable = True
                self._state.sync()

    def new_lines(self) -> Iterator[tuple[bytes, int]]:
        """Yield the whole lines after this export's, to be adopted, and their ends."""
        start = 0
        for log in self._plain_logs():
            end = log.offset
            for line, end in log.new_lines():
                yield line, start + end
            if end < log.size():
                return
            start += end

    def own_lines(self) -> Iterator[bytes]:
        """Yield this export's lines; for a damaged frame an empty one, which no export writes."""
        try:
            yield from self._compression.lines(self.pieces(0, self.offset))
        except DamagedFrameError:
            yield b""
        for log in self._plain_logs():
            yield from log.own_lines()

    def lines_after(self, extent: Extent) -> Iterator[bytes]:
        """Yield this export's lines, without those that it had at a time."""
        return islice(self.own_lines(), extent.lines, None)

    def adopt(self, end: int) -> None:
        """Accept the lines up to `end` as this export's."""
        for log in self._plain_logs():
            size = log.size()
            log.adopt(max(log.offset, min(end, size)))
            end -= size

    def adopt_lines(self) -> None:
        """Accept all whole frames and lines as this export's."""
        whole = 0
        pieces = self.pieces(self.offset, self.size())
        with suppress(DamagedFrameError):
            for _, end in self._compression.decompress(pieces):
                whole = end
        super().adopt(self.offset + whole)
        for log in self._plain_logs():
            log.adopt_lines()

    def drop_rest(self) -> None:
        """Remove what follows this export's frames and lines, as `Log` does."""
        super().drop_rest()  # first: what it may cut is proved by the plain files
        for log in self._plain_logs():
            log.drop_rest()

    def refuse_growth(self) -> None:
        """Raise if there is more than this export wrote."""
        super().refuse_growth()
        for log in self._plain_logs():
            log.refuse_growth()

    def verify(self) -> None:
        """Compare all of this export's frames and lines with the checksums of what was written."""
        super().verify()
        for log in self._plain_logs():
            log.verify()

    def prove(self, read: Callable[[bytes], object] | None) -> None:
        """Check that nothing in the file can have been written by anyone else."""
        if not self._is_ours or (read is not None and self.rest() and not self._is_torn()):
            raise self._changed("has content that no export wrote")

    def close(self) -> None:
        """Close the files."""
        super().close()
        for log in (*self._compressed, *self._plain_logs()):
            log.close()

    def _plain_logs(self) -> list[Log]:
        return [*self._closed, self._plain] if self._plain else self._closed

    def _open(self, number: int, mark: Mark) -> Log | None:
        status = self._state.status(_name(number))
        if status is None and not mark.offset:
            return None
        if status is not None and not mark.offset:
            mark = Mark(file=identity(status))  # in this folder it is ours without a proof
        return Log(self._state.check_file(_name(number)), mark, aside=self.path)

    def _close_plain(self) -> None:
        self._closed, self._plain = self._plain_logs(), None
        self._number += 1

    def _compress(self) -> None:
        before = self.offset
        for log in self._closed:
            # In frames of about the same size, so that none is small.
            size = -(-log.offset // max(1, log.offset // FRAME))
            end = 0
            while lines := b"".join(log.pieces(end, min(end + size, log.offset))):
                end += len(lines)
                while not lines.endswith(b"\n"):
                    more = next(log.pieces(end, end + _MORE))
                    more = more[: more.find(b"\n") + 1] or more
                    lines += more
                    end += len(more)
                self._write(self._compression.compress(lines))
        if self._is_last and not self.offset:
            self._write(self._compression.compress(b""))  # an empty file is no compressed file
        if self.offset > before:
            super().sync()
        if self._closed:
            # Or a loss of power could undo the last deletion, when that name is used again.
            self._state.sync()
        self._compressed, self._closed = [*self._compressed, *self._closed], []

    def _is_torn(self) -> bool:
        """Whether the rest is frames of the plain files, complete or not: it may be cut."""
        written = chain.from_iterable(log.pieces(0, log.size()) for log in self._plain_logs())
        held = b""
        try:
            for plain, _ in self._compression.decompress(self.pieces(self.offset, self.size())):
                while len(held) < len(plain) and (piece := next(written, b"")):
                    held += piece
                if not held.startswith(plain):
                    return False
                held = held[len(plain) :]
        except DamagedFrameError:
            return False
        return True


def _name(number: int) -> str:
    return PLAIN[number % len(PLAIN)]
