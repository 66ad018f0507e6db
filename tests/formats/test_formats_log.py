"""Reading a log by whole lines, and knowing it again."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from siteassist_async.export import InputChangedError, InputError
from siteassist_async.formats.log import START, batches, lines_of

if TYPE_CHECKING:
    from pathlib import Path


def test_lines_and_places(tmp_path: Path) -> None:
    """Batches follow each other; a torn line is left until it is whole."""
    log = tmp_path / "log"
    lines = [b"%d" % number * number + b"\n" for number in range(1, 30)]
    log.write_bytes(b"".join(lines) + b"to")
    found = [*batches(log, size=50)]
    assert [line for batch in found for line in batch.lines] == lines
    assert len(found) > 3
    for batch, after in pairwise(found):
        assert batch.place == after.start
        assert next(batches(log, after.start, size=50)) == after
    last = found[-1].place
    assert (last.end, last.lines) == (log.stat().st_size - 2, 29)
    assert [*batches(log, last)] == []
    with log.open("ab") as file:
        file.write(b"rn\n")
    assert [batch.lines for batch in batches(log, last)] == [[b"torn\n"]]
    assert [*lines_of(log)] == [*lines, b"torn\n"]


def test_lines_are_on_the_disk_before_they_are_yielded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, and again after the log has grown, whatever of it was read before."""
    log = tmp_path / "log"
    log.write_bytes(b"1\n2\n3\n")
    synced: list[int] = []

    def sync(file: int) -> None:
        synced.append(os.fstat(file).st_size)

    monkeypatch.setattr(os, "fsync", sync)
    found = batches(log, size=1)
    assert next(found).place.end <= synced[-1]
    with log.open("ab") as file:
        file.write(b"4\n")
    for batch in found:
        assert batch.place.end <= synced[-1]
    assert synced == [6, 8]


@pytest.mark.parametrize("size", [10, 3000])
def test_another_log_is_not_the_same(tmp_path: Path, size: int) -> None:
    """Shorter, or with other bytes before the place."""
    log = tmp_path / "log"
    log.write_bytes(b"x" * size + b"\n")
    (batch,) = batches(log)
    assert batch.start == START
    for content in (b"", b"x" * (size - 1) + b"\n", b"x" * (size - 1) + b"y\n" + b"x" * size):
        log.write_bytes(content)
        with pytest.raises(InputChangedError, match="not the log that was converted before"):
            list(batches(log, batch.place))


def test_a_log_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a folder, a pipe: a line that says so."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, why in (
        (tmp_path / "none", "No such file"),
        (tmp_path, "regular"),
        (pipe, "regular"),
    ):
        with pytest.raises(InputError, match=why):
            list(batches(path))
