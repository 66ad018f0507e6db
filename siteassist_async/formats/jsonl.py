"""Reading conversations from a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siteassist_async.export.lines import record_id
from siteassist_async.formats.log import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_raw(path: Path, *, latest: bool) -> Iterator[bytes]:
    """Yield the records of a log, each without its newline."""
    if not latest:
        yield from (line.removesuffix(b"\n") for line in lines_of(path))
        return
    last = {record_id(line): number for number, line in enumerate(lines_of(path))}
    for number, line in enumerate(lines_of(path)):
        if last.get(record_id(line), number) == number:
            yield line.removesuffix(b"\n")
