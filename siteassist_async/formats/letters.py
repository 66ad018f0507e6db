"""The dead letters of the export that a file came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siteassist_async.compression import without_compression
from siteassist_async.export.lines import read_letter
from siteassist_async.formats.log import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from siteassist_async.export.dead_letters import DeadLetter


def dead_letters(path: Path) -> Iterator[DeadLetter]:
    """Read the dead letters beside a file; a line that is not one is skipped.

    Raises:
        InputError: They cannot be read.
    """
    plain = without_compression(path)
    beside = f"{plain.stem}.failed.jsonl", f"{path.name}.failed.jsonl"
    for name in dict.fromkeys(beside):
        if (letters := path.with_name(name)).exists():
            yield from filter(None, map(read_letter, lines_of(letters)))
