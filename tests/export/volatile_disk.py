"""A disk that keeps of what was not synced whatever it likes.

Until it is synced, each sector of a file that was written, the file's size, and each change of a
folder's entries may be lost without the others, in any order. What holds is POSIX's promise:
the sync of a file keeps its content and not its name, that of a folder keeps names and no content.
A sector is written as a whole or not at all, and so is a change of one name. A file that is left
is the one that it was: it has its inode.

The model looks at the files themselves, after each call that may change one, so that it does not
depend on how the export writes them.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen

from .sqlite_calls import watched_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from random import Random

SECTOR = 512

Names = dict[str, int]
"""Which file or folder each path is, by its inode."""

Change = dict[str, int | None]
"""Names that are given or taken away together: one, or the two of a rename."""


@frozen
class Moment:
    """All that a loss of power may choose from.

    Attributes:
        names: Those that are durable.
        changes: The later ones, in their order.
        contents: What each file held, from its last sync on; nothing for a folder.
    """

    names: Names
    changes: tuple[Change, ...]
    contents: dict[int, tuple[bytes, ...]]

    def restore(self, folder: Path, attic: Path, chance: Random) -> None:
        """Make a folder what a loss of power may leave of it, by files from the attic."""
        shutil.rmtree(folder)
        folder.mkdir()
        placed: dict[int, Path] = {}
        for name, inode in sorted(self.left(chance).items()):
            path = Path(name)
            if not path.parent.is_dir():
                continue  # the folder itself was lost
            if not (versions := self.contents[inode]):
                path.mkdir(mode=0o700)
            elif inode in placed:  # moved, and only the folder that it came to was synced
                path.hardlink_to(placed[inode])
            else:
                placed[inode] = path
                with suppress(
                    FileNotFoundError
                ):  # deleted by SQLite, whose files nobody tells apart
                    (attic / str(inode)).rename(path)
                path.write_bytes(_left(versions, chance))

    def left(self, chance: Random) -> Names:
        """Choose which names a loss of power may leave."""
        left: dict[str, int | None] = dict(self.names)
        share = chance.choice([0, 0.5, 1])
        for change in self.changes:
            if chance.random() < share:
                left.update(change)
        return {name: inode for name, inode in left.items() if inode is not None}


def _left(versions: tuple[bytes, ...], chance: Random) -> bytes:
    """Choose what is left of a file."""
    match chance.choice(["all", "none", "some", "some"]):
        case "all":
            return versions[-1]
        case "none":
            return versions[0]
        case _:
            size = len(chance.choice(versions))
            sectors = (
                chance.choice(_states(versions, at, chance)) for at in range(0, size, SECTOR)
            )
            return b"".join(sectors)[:size]


def _states(versions: tuple[bytes, ...], at: int, chance: Random) -> list[bytes]:
    """List what a sector may hold: what it ever did, or anything where the file ended before."""
    states = [version[at : at + SECTOR] for version in versions if len(version) > at]
    shortest = min(map(len, versions))
    if shortest < at + SECTOR:
        kept = versions[0][at:shortest]
        states += [kept, kept + chance.randbytes(SECTOR)]
    return [state[:SECTOR].ljust(SECTOR, b"\0") for state in states]


class VolatileDisk:
    """Watches a folder.

    Args:
        deaf: Syncs that do nothing: of a "file", of a "folder".

    Attributes:
        moments: One before each sync, and one at the end. No others are needed: what may be lost
            may be lost at any time after it was written.
        dead: Whether the process was killed: it changes nothing any more.
    """

    def __init__(self, folder: Path, deaf: Iterable[str] = ()) -> None:
        self.moments: list[Moment] = []
        self.dead = False
        self._folder = folder
        self._deaf = frozenset(deaf)
        self._turn = threading.RLock()
        self._names: Names = {}
        self._durable: Names = {}
        self._changes: list[Change] = []
        self._contents: dict[int, list[bytes]] = {folder.stat().st_ino: []}
        self.observe()
        self._settle()

    def observe(self) -> None:
        """Note what was changed."""
        with self._turn:
            names = {entry.path: entry.inode() for entry in _entries(self._folder)}
            for name, inode in names.items():
                self._note_content(inode, Path(name))
            self._changes += _changes(self._names, names)
            self._names = names

    def sync(self, place: int | Path) -> None:
        """Make an open file or a path durable, be it a file or a folder."""
        with self._turn:
            self.observe()
            self.mark()
            self._sync(os.stat(place).st_ino)  # noqa: PTH116 - of a descriptor too

    def mark(self) -> None:
        """Remember this moment."""
        contents = {inode: tuple(versions) for inode, versions in self._contents.items()}
        self.moments.append(Moment(dict(self._durable), tuple(map(dict, self._changes)), contents))

    def _note_content(self, inode: int, path: Path) -> None:
        is_file = path.is_file()
        versions = self._contents.setdefault(inode, [b""] if is_file else [])
        if is_file and versions[-1] != (content := path.read_bytes()):
            versions.append(content)

    def _sync(self, inode: int) -> None:
        versions = self._contents.get(inode)
        if versions:
            if "file" not in self._deaf:
                del versions[:-1]
        elif versions is not None and "folder" not in self._deaf:
            names = (name for name, other in self._names.items() if other == inode)
            self._sync_names(next(names, str(self._folder)))

    def _sync_names(self, folder: str) -> None:
        for change in self._changes:
            for name in [name for name in change if name.rpartition("/")[0] == folder]:
                self._keep(name, change.pop(name))
        self._changes = [change for change in self._changes if change]

    def _keep(self, name: str, inode: int | None) -> None:
        if inode is None:
            self._durable.pop(name, None)
        else:
            self._durable[name] = inode

    def _settle(self) -> None:
        """Take all that is there as durable."""
        self._durable, self._changes = dict(self._names), []
        for versions in self._contents.values():
            del versions[:-1]


def _entries(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """List what is in a folder and below it."""
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry
            if entry.is_dir():
                yield from _entries(entry.path)


def _changes(before: Names, after: Names) -> Iterator[Change]:
    """Tell what was done to names; a file that has another name than before was renamed."""
    gone = {name: inode for name, inode in before.items() if name not in after}
    for name, inode in after.items():
        if before.get(name) != inode:
            old = [other for other, was in gone.items() if was == inode]
            for other in old:
                del gone[other]
            yield {name: inode, **dict.fromkeys(old)}
    for name in gone:
        yield {name: None}


@contextmanager
def undying(attic: Path) -> Generator[None]:
    """Keep each file that Python code deletes in an attic, by its inode, which none gets anew."""
    attic.mkdir()

    def keep(path: str | Path, folder: int | None) -> None:
        with suppress(FileNotFoundError, FileExistsError):  # it is there where it had two names
            inode = os.stat(path, dir_fd=folder, follow_symlinks=False).st_ino
            os.link(path, attic / str(inode), src_dir_fd=folder)

    def unlink(path: str | Path, *, dir_fd: int | None = None) -> None:
        keep(path, dir_fd)
        remove(path, dir_fd=dir_fd)

    def replace(
        path: str | Path,
        to: str | Path,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
    ) -> None:
        keep(to, dst_dir_fd)
        move(path, to, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    remove, move = os.unlink, os.replace
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "unlink", unlink)
        patch.setattr(os, "replace", replace)
        yield


@contextmanager
def volatile(folder: Path, deaf: Iterable[str] = ()) -> Generator[VolatileDisk]:
    """Watch all that this process does to a folder, in one thread."""
    disk = VolatileDisk(folder, deaf)

    def passing(call: Callable[..., Any]) -> Callable[..., Any]:
        def passed(*args: object, **options: object) -> object:
            if disk.dead:
                raise OSError(errno.EIO, "the process is dead")
            result = call(*args, **options)
            disk.observe()
            return result

        return passed

    with pytest.MonkeyPatch.context() as patch, watched_sqlite(disk):
        for name in (
            "open",
            "write",
            "pwrite",
            "ftruncate",
            "replace",
            "rename",
            "unlink",
            "mkdir",
        ):
            patch.setattr(os, name, passing(getattr(os, name)))
        for name in ("fsync", "fdatasync"):
            patch.setattr(os, name, disk.sync)
        unthreaded(patch)
        yield disk
    disk.observe()
    disk.mark()


def unthreaded(patch: pytest.MonkeyPatch) -> None:
    """Let what is done in threads be done between the steps of the loop, always alike."""
    patch.setattr(asyncio, "to_thread", _to_no_thread)


async def _to_no_thread(call: Callable[..., object], *args: object) -> object:
    for _ in range(3):  # others go on meanwhile
        await asyncio.sleep(0)
    return call(*args)
