"""The folder of a distributed export: which IDs are in which partition, and what is done.

    out/
        part-00000.jsonl             each partition is an ordinary export
        part-00000.failed.jsonl
        .part-00000.jsonl.export/
        .partitions.export/
            lock                     of the process that places the partitions
            manifest.json            how many there are, and how far the input was split
            00000.ids                the IDs of a partition
            00000.done               how its last run ended
            pace.json                what the workers have learned of the rate limit

An object store has the same names, without the state of the partitions and the lock.
"""

from __future__ import annotations

import os
import zlib
from collections import defaultdict
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar
from uuid import uuid4

import msgspec
from attrs import frozen

from siteassist_async.errors import ConfigurationError
from siteassist_async.export.checkpoint import Counts, Prefix
from siteassist_async.export.disk import (
    private,
    replace,
    status_of,
    sync_file,
    sync_folder,
    writing,
)
from siteassist_async.export.errors import StateError
from siteassist_async.export.id_list import staged_line
from siteassist_async.export.layout import Layout
from siteassist_async.export.resume import open_list
from siteassist_async.export.staging import Staging
from siteassist_async.export.state import NEW_IDS, locked, made_state

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from siteassist_async.export.id_list import IdList
    from siteassist_async.export.source import Source
    from siteassist_async.export.state import State

VERSION = 1
"""The version of the manifest."""

A_WORKER = 32
"""Partitions for each worker: the last ones to end are then a small part of all."""

LEAST, MOST = 64, 99_999
"""Partitions at the least, where the number is not given; and at most."""

_BUFFERED = 64 << 20
"""Bytes of IDs that are held in memory while a list is split."""

_MANIFEST = "manifest.json"


@frozen
class Part:
    """The list of a partition: its size in bytes, its number of lines, and its checksum."""

    size: int
    lines: int
    crc: int


@frozen
class Manifest:
    """What fixes the partitions.

    Attributes:
        identity: The input that was split, as `OpenSource.identity`.
        parts: The list of each partition.
    """

    version: int
    identity: str | None
    parts: tuple[Part, ...]


@frozen
class Mark:
    """How the last run of a partition ended.

    Attributes:
        list: Its list then. If that is another now, there may be more to do.
        output: The size of its output.
        finished: Whether each ID of the list had its outcome.
        counts: The outcomes.
    """

    list: Part
    output: int
    finished: bool
    counts: Counts


# Threads read marks, and msgspec crashes if two of them use a new type at once.
msgspec.json.Decoder(Mark)


@frozen
class Folder:
    """The paths of a distributed export; the same on every worker."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def layout(self) -> Layout:
        """The layout whose state folder is that of the partitions."""
        return Layout(self.path / "partitions")

    @property
    def manifest(self) -> Path:
        """What fixes the partitions."""
        return self.layout.folder / _MANIFEST

    @property
    def pace(self) -> Path:
        """What the workers have learned of the limit, all together."""
        return self.layout.folder / "pace.json"

    def output(self, number: int) -> Path:
        """The records of a partition."""
        return self.path / f"part-{number:05}.jsonl"

    def letters(self, number: int) -> Path:
        """The dead letters of a partition."""
        return Layout(self.output(number)).dead_letters

    @property
    def local(self) -> Folder:
        """Where a partition is exported: here."""
        return self

    def fetch(self, number: int) -> Folder:  # noqa: ARG002 - as of a store
        """Return where a partition is exported, with what there is of it."""
        return self

    def ids(self, number: int) -> Path:
        """The list of a partition."""
        return self.layout.folder / _ids(number)

    def done(self, number: int) -> Path:
        """How the last run of a partition ended."""
        return self.layout.folder / f"{number:05}.done"

    def mark(self, number: int) -> Mark | None:
        """Read how the last run of a partition ended; None if that is not known."""
        return read(self.done(number), Mark)

    def end(self, number: int, mark: Mark) -> None:
        """Note how a run of a partition ended, in one step."""
        write(self.done(number), mark)

    def size(self, number: int) -> int:
        """Return the size of a partition's output."""
        with writing(self.output(number)):
            status = status_of(self.output(number))
        return status.st_size if status else 0


@contextmanager
def opened(folder: Folder) -> Generator[State]:
    """Create the folder if it is missing, and lock it for this process.

    Raises:
        OutputInUseError: Another process places its partitions.
        OutputError: It cannot be written.
    """
    with writing(folder.path):
        if status_of(folder.path) is None:
            folder.path.mkdir(mode=0o700, parents=True)
            sync_folder(folder.path.parent)
    with made_state(folder.layout) as state, locked(folder.layout, state):
        yield state


def split(  # noqa: PLR0913 - each by its name
    source: Source,
    folder: Folder,
    state: State,
    *,
    partitions: int | None,
    usual: Callable[[], int],
    stopped: Callable[[], bool],
) -> Manifest:
    """Write the list of each partition, unless they are as the source is.

    The partition of an ID follows from its last digits. So duplicates are in one list, and if the
    source grows, lists grow. What else may have changed is judged by the job of a partition.

    `partitions` is how many there shall be; None for those that there are, at first as many as
    `usual` says.

    Raises:
        ConfigurationError: There is another number of partitions.
        InputError: The source cannot be read.
        OutputError: A list cannot be written.
        StoppedError: The run was stopped.
    """
    known = read(folder.manifest, Manifest)
    if known is None:
        count = partitions or usual()
    else:
        if known.version != VERSION:
            raise StateError(
                f"has version {known.version}, but this package writes version {VERSION}; use the "
                "package that wrote it, or choose another output",
                path=str(folder.manifest),
            )
        count = len(known.parts)
        if partitions not in {None, count}:
            raise ConfigurationError(
                f"{folder.path} has {count} partitions, which cannot be changed to {partitions}; "
                "leave the number out, or choose another output"
            )
    with source.open() as opened_source:
        opened_source.inspect()
        identity = opened_source.identity
        if known and identity is not None and identity == known.identity:
            return known
        lists = _Lists(folder, state, count)
        staging = Staging(opened_source, state, stopped)
        with closing(open_list(opened_source, state, staging.stage(staged=""))) as ids:
            lists.add(ids)
        state.remove(NEW_IDS)
    manifest = Manifest(VERSION, identity, lists.finish(known))
    write(folder.manifest, manifest)
    return manifest


class _Lists:
    """The new lists of the partitions, while they are written."""

    def __init__(self, folder: Folder, state: State, count: int) -> None:
        self._folder = folder
        self._state = state
        self._count = count
        self._most = _BUFFERED // count
        self._buffers: defaultdict[int, bytearray] = defaultdict(bytearray)
        self._lines = [0] * count
        self._sizes = [0] * count
        self._crcs = [0] * count
        for number in range(count):
            state.remove(_new(number))

    def add(self, ids: IdList) -> None:
        at, line = Prefix(), 1
        while block := ids.block(at, line):
            for entry in block.entries:
                # The last digits are random in every version of a UUID that has random digits.
                key = int(entry.id[-8:], 16) if entry.id else zlib.crc32(entry.text.encode())
                number = key % self._count
                buffer = self._buffers[number]
                buffer += staged_line(entry.id or entry.text, entry.version)
                self._lines[number] += 1
                if len(buffer) >= self._most:
                    self._flush(number)
            at, line = block.end, block.line
        ids.confirm(at)

    def finish(self, known: Manifest | None) -> tuple[Part, ...]:
        """Put the new lists in their places, and return what they are."""
        for number in range(self._count):
            self._flush(number)
        parts = tuple(map(Part, self._sizes, self._lines, self._crcs))
        for number, part in enumerate(parts):
            if known is None or known.parts[number] != part:
                with self._open(number) as file:
                    sync_file(file)
                self._state.rename(_new(number), _ids(number))
            else:
                self._state.remove(_new(number))
        self._state.sync()
        return parts

    def _flush(self, number: int) -> None:
        data = self._buffers.pop(number, b"")
        with self._open(number) as file:
            file.seek(0, os.SEEK_END)
            file.write(data)
        self._sizes[number] += len(data)
        self._crcs[number] = zlib.crc32(data, self._crcs[number])

    @contextmanager
    def _open(self, number: int) -> Generator[BinaryIO]:
        with writing(self._folder.ids(number)):
            flags = os.O_RDWR | os.O_CREAT
            with os.fdopen(self._state.open(_new(number), flags), "r+b") as file:
                yield file


def _ids(number: int) -> str:
    return f"{number:05}.ids"


def _new(number: int) -> str:
    return f"{number:05}.new"


T = TypeVar("T")


def read(path: Path, kind: type[T]) -> T | None:
    """Read a file of the folder; None if it does not exist.

    Raises:
        StateError: It cannot be read.
    """
    try:
        with os.fdopen(private(path, os.O_RDONLY), "rb") as file:
            return msgspec.json.decode(file.read(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise StateError(
            f"cannot be read: {error}; restore it, or choose another output", path=str(path)
        ) from error


def write(path: Path, value: object) -> None:
    """Write a file in one step; a process that was lost may be writing it at the same time."""
    with writing(path):
        new = path.with_name(f"{path.name}.{uuid4().hex}")
        replace(path, msgspec.json.encode(value), new)
