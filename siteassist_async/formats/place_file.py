"""The file with the place of an output that has no room for it among its own content."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from siteassist_async.export.checkpoint import Mark
from siteassist_async.export.disk import private, replace, writing
from siteassist_async.formats.log import Place
from siteassist_async.formats.sink import damaged, foreign, unreadable

if TYPE_CHECKING:
    from pathlib import Path


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
