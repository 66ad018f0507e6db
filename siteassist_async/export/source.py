"""The source of an export: files of IDs, plain or compressed, as text, CSV or JSON."""

from __future__ import annotations

import codecs
import os
import re
import stat
import zlib
from contextlib import ExitStack, contextmanager
from gzip import GzipFile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from attrs import field, frozen

from siteassist_async.compression import zstd_module
from siteassist_async.errors import (
    ConfigurationError,
    printable,
)
from siteassist_async.export.errors import InputError
from siteassist_async.export.id_list import reading
from siteassist_async.export.values import Columns, columns, must_choose, values
from siteassist_async.ids import is_id

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable


_HEAD = 1 << 16

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"

_UUID = rb"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_ROW = re.compile(
    rb"^\{\s*\"|[,;|\t] ?\"?" + _UUID + rb"|" + _UUID + rb"\"? ?[,;|\t]"
)  # of JSON, or with an ID among its cells

_CSV_NAME = re.compile(r"\.[ct]sv(\.gz|\.zst)?$", re.IGNORECASE)

_FEW = 1000
"""Values among which there must be an ID."""


def _files(given: Path | int | Iterable[Path | int]) -> tuple[Path | int, ...]:
    files = (given,) if isinstance(given, Path | int) else tuple(given)
    if not files:
        raise ConfigurationError("a source needs a file")
    return files


@frozen
class Source:
    """Files of IDs, read one after another.

    Each is plain text with one ID per line, where `#` begins a comment; CSV; JSON lines; or a JSON
    array. It may be compressed with gzip or, if `siteassist_async[zstd]` is installed, with zstd.
    An ID may be quoted, in braces, without dashes, a `urn:uuid:`, or the end of a URL.

    Attributes:
        files: A path or an open file descriptor, of which 0 is standard input; or several of these.
        column: The CSV column, or JSON key, that contains the IDs: by name, by its number from 1
            (CSV), or by a path within objects, such as `conversation.id`. None for plain text, and
            for an array of IDs.
        updated: The column or key with the time at which a conversation changed, in ISO 8601. What
            has not changed since it was exported is not fetched again. None for `updatedAt` beside
            the IDs, if there is such a column.
        label: The name in errors, in place of the files'.
        is_staged: The one file consists of lines by `id_list.staged_line`, as a partition's does.
    """

    files: tuple[Path | int, ...] = field(converter=_files)
    column: str | None = None
    updated: str | None = None
    label: str | None = field(default=None, kw_only=True)
    is_staged: bool = field(default=False, kw_only=True)

    @property
    def name(self) -> str:
        """The name of the source in errors."""
        return self.label or ", ".join(map(_name, self.files))

    @contextmanager
    def open(self) -> Generator[OpenSource]:
        """Open the source while in the context.

        Raises:
            InputError: It is missing or cannot be read.
        """
        wanted = Columns(self.column, self.updated)
        with ExitStack() as stack:
            parts: list[Part] = []
            for given in self.files:
                name = self.label or _name(given)
                with reading(name):
                    if isinstance(given, int):
                        file = os.dup(given)
                    else:
                        # Opening a named pipe would block until there is a writer, and ignore
                        # signals.
                        file = os.open(given, os.O_RDONLY | os.O_NONBLOCK)
                    stack.callback(os.close, file)
                    os.set_blocking(file, True)
                    status = os.fstat(file)
                    is_whole = stat.S_ISREG(status.st_mode) and not os.lseek(file, 0, os.SEEK_CUR)
                version = status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
                identity = "/".join(map(str, version)) if is_whole else None
                parts.append(Part(name, file, identity, wanted))
            yield OpenSource(self.name, tuple(parts), self.is_staged)


@frozen
class Part:
    """One of the files of a source, open.

    Attributes:
        identity: Identifies the file and its version; None for what cannot be read twice: a pipe,
            or a file that was already partly read.
    """

    name: str
    file: int
    identity: str | None
    wanted: Columns

    @contextmanager
    def content(self) -> Generator[BinaryIO]:
        """Read the file from its beginning, decompressed.

        Raises:
            InputError: It cannot be read or decompressed.
        """
        with reading(self.name), os.fdopen(os.dup(self.file), "rb") as raw:
            raw.seek(0)
            start = raw.peek(len(_ZSTD))
            if start.startswith(_GZIP):
                with _decompressing(self.name, "gzip", zlib.error), GzipFile(fileobj=raw) as file:
                    yield cast("BinaryIO", file)
            elif start.startswith(_ZSTD):
                try:
                    zstd = zstd_module()
                except ImportError as error:
                    raise InputError(
                        "is compressed with zstd; pip install 'siteassist_async[zstd]' to read it",
                        path=self.name,
                    ) from error
                with _decompressing(self.name, "zstd", zstd.ZstdError), zstd.ZstdFile(raw) as file:
                    yield file
            else:
                yield raw

    def inspect(self) -> bool:
        """Check the beginning of the file; returns whether there is anything that may be an ID.

        Raises:
            InputError: It is not text, or nothing in its beginning is an ID.
            UnknownColumnError: There is no such column; or no column was named, but there are some.
        """
        with self.content() as content:
            head = content.read(_HEAD)
            if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise InputError("is UTF-16; save it as UTF-8", path=self.name)
            if b"\0" in head:
                raise InputError("is not text: it contains NUL bytes", path=self.name)
            try:
                codecs.getincrementaldecoder("utf-8")().decode(head)
            except UnicodeDecodeError as error:
                raise InputError(f"is not UTF-8 text: {error}", path=self.name) from error
            if self.wanted.ids is None and not _is_array(head):
                self._refuse_rows(head, columns(content))
            some = [value.text for value in islice(values(content, self.wanted, self.name), _FEW)]
        if some and not any(map(is_id, some)):
            where = "its first lines" if self.wanted.ids is None else f"column {self.wanted.ids!r}"
            raise InputError(
                f"has no ID in {where}: IDs are UUIDs, unlike {printable(some[0], 60)!r}",
                path=self.name,
            )
        return bool(some)

    def is_list(self) -> bool:
        """Whether the file is a plain list of IDs, which can be read at any offset."""
        if self.identity is None or self.wanted.ids is not None:
            return False
        with reading(self.name):
            head = os.pread(self.file, _HEAD, 0)
        return not (head.startswith((_GZIP, _ZSTD)) or _is_array(head))

    def _refuse_rows(self, head: bytes, found: tuple[str, ...]) -> None:
        """Raise if the file has columns and none was chosen.

        Rows are told from plain lines by the first two, of which one may be a header. What makes
        a single column with a header out of a list, one line of which is wrong, is the file's name.
        """
        lines = head.removeprefix(codecs.BOM_UTF8).split(b"\n")
        rows = filter(None, (line[:4096].partition(b"#")[0].strip() for line in lines))
        first = list(islice(rows, 2))
        has_columns = any(map(_ROW.search, first))
        if len(first) == 2 and _CSV_NAME.search(self.name):
            header, value = (row.decode(errors="replace") for row in first)
            has_columns = has_columns or (not is_id(header) and is_id(value))
        if found and has_columns:
            raise must_choose(found, self.name)


@frozen
class OpenSource:
    """A source, open."""

    name: str
    parts: tuple[Part, ...]
    is_staged: bool = False

    @property
    def identity(self) -> str | None:
        """Identifies the files, their versions and the columns; None if a part has none."""
        identities = [part.identity for part in self.parts]
        if None in identities:
            return None
        wanted = self.parts[0].wanted
        return "/".join([*map(str, identities), str(wanted.ids), str(wanted.updated)])

    def inspect(self) -> None:
        """Check the beginning of each file that can be read twice.

        Raises:
            InputError: As `Part.inspect`; or all of them are empty.
        """
        if self.is_staged:
            return
        found = [part.identity is None or part.inspect() for part in self.parts]
        if not any(found):
            raise no_ids(self.name)

    @property
    def plain(self) -> Part | None:
        """The file, if the source is one plain list of IDs."""
        if self.is_staged or (len(self.parts) == 1 and self.parts[0].is_list()):
            return self.parts[0]
        return None


def no_ids(name: str) -> InputError:
    """Return the error for an empty source."""
    return InputError("contains no IDs", path=name)


def _name(file: Path | int) -> str:
    if isinstance(file, Path):
        return str(file)
    return "standard input" if file == 0 else f"file descriptor {file}"


def _is_array(head: bytes) -> bool:
    return head.lstrip().removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


@contextmanager
def _decompressing(name: str, kind: str, invalid: type[Exception]) -> Generator[None]:
    try:
        yield
    except (EOFError, invalid) as error:
        raise InputError(f"is not valid {kind}: {printable(str(error))}", path=name) from error
