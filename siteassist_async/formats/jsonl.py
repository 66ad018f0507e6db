"""Reading conversations from a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siteassist_async.formats.log import Newest, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_raw(path: Path, *, latest: bool) -> Iterator[bytes]:
    """Yield the records of a log, each without its newline."""
    newest = Newest.of(path) if latest else None
    for number, line in enumerate(lines_of(path)):
        if newest is None or newest.has(line, number):
            yield line.removesuffix(b"\n")
