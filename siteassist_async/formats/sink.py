"""What a format is made of: a sink, and the module that opens it.

An output with no room for its place among its own content keeps it in a file beside it.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec
from attrs import frozen

from siteassist_async.errors import printable
from siteassist_async.export.checkpoint import Mark
from siteassist_async.export.disk import private, replace, writing
from siteassist_async.export.errors import OutputExistsError, StateError
from siteassist_async.export.layout import Layout
from siteassist_async.formats.log import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from siteassist_async.formats.log import Batch


Ids = tuple[str, ...]
"""IDs as they may be written in records."""


@frozen
class Contents:
    """What is in a sink.

    Attributes:
        place: How far the log is in it.
        conversations: Their number; None where a checksum says that they are as they were written.
        settled: Whether it has no rows that newer records have replaced, or that are not counted.
    """

    place: Place
    conversations: int | None = None
    settled: bool = True


class Sink(Protocol):
    """An output of a conversion, open, of which nobody else writes.

    The process may be killed at any moment: what is in it then is a number of whole records and
    the place after the last of them. The newest record of a conversation counts.
    """

    def place(self) -> Place:
        """Return how far the log is in the sink, durably; the start for a new sink."""
        ...

    def write(self, batch: Batch) -> None:
        """Add the records of a batch, which begins where the last one ended.

        They become durable together with `batch.place`, now or in a later call.

        Raises:
            NotAConversationError: A line is not a record; nothing of the batch is written.
            OutputError: The sink cannot be written. It may be opened again later.
        """
        ...

    def finish(self) -> None:
        """Make everything that was written durable."""
        ...


@runtime_checkable
class AppendOnlySink(Sink, Protocol):
    """A sink whose rows cannot be deleted: to replace some, all of it is written again.

    Attributes:
        settled: The number of lines of the log of which the sink has the newest records only.
    """

    settled: int

    def settle(self, lines: int) -> None:
        """Keep a new value of `settled`, durably."""
        ...


class SinkModule(Protocol):
    """A module of a format that logs are converted to."""

    def create(self, path: Path) -> None:
        """Create an empty sink, durably, where nothing is.

        Raises:
            OutputError: It cannot be written.
        """
        ...

    def prove(self, path: Path) -> None:
        """Check that a sink is one, of whatever version, before it is replaced by a new one.

        Raises:
            OutputExistsError: It is something that no conversion wrote.
        """
        ...

    def contents(self, path: Path) -> Contents:
        """Return what is in a sink, without changing it.

        Raises:
            OutputExistsError: It is something that no conversion wrote.
            StateError: It is damaged, such as by rows that are missing, or of another version.
            OutputError: It cannot be read.
        """
        ...

    def open_sink(self, path: Path) -> AbstractContextManager[Sink]:
        """Open a sink. Leaving it without `finish` is as if the process were killed.

        Raises:
            OutputExistsError: It is something that no conversion wrote.
            StateError: It is damaged, or was written by another version of this package.
            OutputError: It cannot be written.
        """
        ...


class SourceModule(Protocol):
    """A module of a format that conversations can be read from."""

    def read_raw(self, path: Path, *, latest: bool, ids: Ids | None = None) -> Iterator[bytes]:
        """Yield the conversations as JSON, each on one line without its newline.

        With `latest` only the newest record of each. With `ids` those of others may be left out.
        """
        ...


def place_file(path: Path) -> Path:
    """Return the hidden file beside an output for its place, where the output has no room."""
    return path.with_name(f".{path.name}.place")


def foreign(path: Path, what: str) -> OutputExistsError:
    """Return the error for an output that no conversion wrote."""
    return OutputExistsError(
        f"already exists and is not {what} that was converted from a log; move it away or choose "
        "another output",
        path=str(path),
    )


def unreadable(path: Path, version: object, known: int) -> StateError:
    """Return the error for a sink of another version."""
    return StateError(
        f"has version {version} of the tables, but this package writes version {known}; use the "
        f"package that wrote it, or `{_rebuilding(path)}`",
        path=str(path),
    )


def damaged(path: Path, why: object) -> StateError:
    """Return the error for a sink that is not as a conversion left it."""
    return StateError(
        f"is damaged: {printable(str(why))}; use `{_rebuilding(path)}`", path=str(path)
    )


def whole(path: Path, contents: Contents, *, promised: int, messages: int) -> Contents:
    """Return the contents, unless rows are missing or are too many.

    `promised` are the messages that the conversations say to have.

    Raises:
        StateError: They are.
    """
    if promised != messages:
        raise damaged(path, f"it has {messages} messages, but {promised} were written")
    if contents.place.lines and not contents.conversations:
        raise damaged(path, "its conversations were deleted")
    return contents


def hidden_log(output: Path) -> Path | None:
    """Return the log of an export to another format, which is in its state folder."""
    log = Layout(output, hidden=True).records
    return log if log.exists() else None


def _rebuilding(path: Path) -> str:
    """Return the command that makes an output anew; `path` may be that of a part of it."""
    command = ("siteassist", "convert", "--rebuild")
    for output in (path, *path.parents[:2]):
        if output.name and (log := hidden_log(output)):
            return shlex.join((*command, str(log), "-o", str(output)))
    return shlex.join((*command, "LOG", "-o", "OUTPUT"))


class PlaceFile(msgspec.Struct):
    """What the file says.

    Attributes:
        format: The name of the output's format.
        version: That of the output's content.
        place: How far the log is in the output.
        mark: The output, if it is one file.
        settled: See `AppendOnlySink`.
    """

    format: str
    version: int
    place: Place = Place()
    mark: Mark = Mark()
    settled: int = 0

    def save(self, path: Path) -> None:
        """Write the file, durably, in place of an older one."""
        with writing(path):
            replace(path, msgspec.json.encode(self), path.with_name(f"{path.name}.new"))


def read_place(path: Path, output: Path, format: str) -> PlaceFile:  # noqa: A002 - what it is
    """Read the file of an output.

    Raises:
        OutputExistsError: There is none, so no conversion to this format wrote the output.
        StateError: It is damaged.
    """
    try:
        with os.fdopen(private(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            found = msgspec.json.decode(file.read(10_000), type=PlaceFile)
    except OSError as error:
        raise foreign(output, format) from error
    except msgspec.MsgspecError as error:
        raise damaged(path, error) from error
    if found.format != format:
        raise foreign(output, format)
    return found


def check_version(path: Path, found: PlaceFile, known: int) -> PlaceFile:
    """Return what was found, if this package can go on from it.

    Raises:
        StateError: It is of another version.
    """
    if found.version != known:
        raise unreadable(path, found.version, known)
    return found
