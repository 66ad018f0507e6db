"""What SQLite does to its files, seen where it calls the operating system: in its VFS."""

from __future__ import annotations

import _sqlite3
import ctypes
import sqlite3
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
_DELETE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)

_JOURNAL = 0x800 | 0x4000 | 0x80000
"""The flags of a rollback journal, a super-journal and a write-ahead log."""

_METHODS = 19
"""Words of an `sqlite3_io_methods`, of which these are replaced."""
_AT_WRITE, _AT_TRUNCATE, _AT_SYNC = 3, 4, 5


class _Vfs(ctypes.Structure):
    """The beginning of an `sqlite3_vfs`."""

    _fields_ = (
        ("version", c_int),
        ("file_size", c_int),
        ("longest_path", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", _OPEN),
        ("delete", _DELETE),
    )


class Watcher(Protocol):
    """What is told of each change, once it is made, and of each sync in place of it."""

    @property
    def dead(self) -> bool:
        """Whether the process is gone, so that SQLite can change nothing any more."""
        ...

    def observe(self) -> None:
        """Something was changed."""
        ...

    def sync(self, place: Path) -> None:
        """A file or a folder is to be made durable."""
        ...


class _Nobody:
    dead = False

    def observe(self) -> None:
        """Look away."""

    def sync(self, place: Path) -> None:
        """Look away."""


class _Calls:
    """Stands between SQLite and the operating system."""

    def __init__(self) -> None:
        find = ctypes.CDLL(_sqlite3.__file__).sqlite3_vfs_find
        find.restype = POINTER(_Vfs)
        vfs = self._vfs = find(None).contents
        self._watcher: Watcher = _Nobody()
        self._paths: dict[int, Path] = {}
        self._new: set[int] = set()
        self._tables: dict[int, ctypes.Array[c_void_p]] = {}
        self._theirs = (
            ctypes.cast(vfs.open, c_void_p).value,
            ctypes.cast(vfs.delete, c_void_p).value,
        )
        self._open, self._delete = _OPEN(self._theirs[0] or 0), _DELETE(self._theirs[1] or 0)
        self._ours: list[Any] = [_OPEN(self._opened), _DELETE(self._deleted)]

    @contextmanager
    def watched_by(self, watcher: Watcher) -> Generator[None]:
        """Tell a watcher of the files that are opened from now on."""
        self._watcher = watcher
        self._vfs.open, self._vfs.delete = self._ours[:2]
        try:
            yield
        finally:
            self._watcher = _Nobody()
            self._vfs.open, self._vfs.delete = self._open, self._delete

    def _opened(self, vfs: int, name: int | None, file: int, flags: int, out: Any) -> int:  # noqa: ANN401 - a pointer of ctypes
        result: int = self._open(vfs, name, file, flags, out)
        if result == 0 and name is not None:
            self._paths[file] = Path(ctypes.string_at(name).decode())
            if flags & _JOURNAL:
                self._new.add(file)
            methods = c_void_p.from_address(file)
            methods.value = ctypes.addressof(self._watching(methods.value or 0))
            self._watcher.observe()
        return result

    def _deleted(self, _vfs: int, name: int, sync_folder: int) -> int:
        if self._watcher.dead:
            return sqlite3.SQLITE_IOERR
        path = Path(ctypes.string_at(name).decode())
        path.unlink(missing_ok=True)
        self._watcher.observe()
        if sync_folder:
            self._watcher.sync(path.parent)
        return 0

    def _watching(self, methods: int) -> ctypes.Array[c_void_p]:
        """Copy a table of methods, with those that change a file replaced."""
        if methods not in self._tables:
            table = (c_void_p * _METHODS).from_buffer_copy(ctypes.string_at(methods, 8 * _METHODS))
            write, truncate = _WRITE(table[_AT_WRITE] or 0), _TRUNCATE(table[_AT_TRUNCATE] or 0)
            ours = (
                _WRITE(self._passing(write)),
                _TRUNCATE(self._passing(truncate)),
                _SYNC(self._sync),
            )
            for at, call in zip((_AT_WRITE, _AT_TRUNCATE, _AT_SYNC), ours, strict=True):
                table[at] = ctypes.cast(call, c_void_p)
            self._ours += ours
            self._tables[methods] = table
        return self._tables[methods]

    def _passing(self, call: Callable[..., int]) -> Callable[..., int]:
        def passed(*args: int) -> int:
            if self._watcher.dead:
                return sqlite3.SQLITE_IOERR
            result = call(*args)
            self._watcher.observe()
            return result

        return passed

    def _sync(self, file: int, _flags: int) -> int:
        """As SQLite's own: with its first sync of a journal the folder is synced."""
        if self._watcher.dead:
            return sqlite3.SQLITE_IOERR
        self._watcher.sync(self._paths[file])
        if file in self._new:
            self._new.remove(file)
            self._watcher.sync(self._paths[file].parent)
        return 0


@cache
def _calls() -> _Calls:
    """Never forgotten, for SQLite may use them as long as one of its files is open."""
    return _Calls()


def watched_sqlite(watcher: Watcher) -> AbstractContextManager[None]:
    """Let all that SQLite does to files pass a watcher; nothing waits for the real disk."""
    return _calls().watched_by(watcher)
