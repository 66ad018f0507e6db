"""Logs that are compressed are read and followed as others are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from siteassist_async.compression import COMPRESSED, Compression, compression_of
from siteassist_async.export import InputChangedError, InputError
from siteassist_async.formats import convert, iter_export
from siteassist_async.formats.log import START, batches, opened_log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LINES = [b'{"object":"conversation","id":"%032x","x":"%s"}\n' % (n, b"x" * n) for n in range(300)]


@pytest.fixture(params=COMPRESSED)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A log of a hundred records in ten frames."""
    path = tmp_path / f"log.jsonl{request.param}"
    append(path, LINES[:100])
    return path


def append(path: Path, lines: Sequence[bytes]) -> None:
    """Add frames of ten lines."""
    with path.open("ab") as file:
        for at in range(0, len(lines), 10):
            file.write(compression(path).compress(b"".join(lines[at : at + 10])))


def compression(path: Path) -> Compression:
    """That of a path which has one."""
    found = compression_of(path)
    assert found is not None
    return found


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
def test_a_log_is_followed_from_any_place(log: Path, size: int) -> None:
    """A place counts the bytes of the content, so that it does not depend on the frames."""
    found = list(batches(log, START, size=size))
    assert b"".join(line for batch in found for line in batch.lines) == b"".join(LINES[:100])
    append(log, LINES[100:])
    for batch in found:
        rest = [line for later in batches(log, batch.place) for line in later.lines]
        assert rest == LINES[batch.place.lines :]


def test_a_frame_that_is_being_written_is_read_up_to_its_last_line(log: Path) -> None:
    """And whole when it is."""
    frame = compression(log).compress(b"".join(LINES[100:]))
    whole = log.read_bytes()
    for size in range(0, len(frame), 97):
        log.write_bytes(whole + frame[:size])
        lines = list(iter_export(log, raw=True))
        assert [line + b"\n" for line in lines] == LINES[: len(lines)]
        assert len(lines) >= 100


def test_another_log_is_refused(log: Path) -> None:
    """As it is without compression."""
    (batch,) = batches(log)
    log.unlink()
    append(log, LINES[1:200])
    with pytest.raises(InputChangedError, match="--rebuild"):
        list(batches(log, batch.place))
    log.unlink()
    append(log, LINES[:3])
    with pytest.raises(InputChangedError, match="--rebuild"):
        list(batches(log, batch.place))


def test_a_damaged_log_is_named(log: Path) -> None:
    """After the records before the damage."""
    with log.open("ab") as file:
        file.write(b"no frame at all")
    with pytest.raises(InputError, match=r"log\.jsonl.*: is damaged"):
        list(iter_export(log, raw=True))
    with pytest.raises(InputError, match=r"log\.jsonl.*: is damaged"):
        convert(log, log.with_name("out.csv"))


def test_the_content_cannot_be_read_backwards(log: Path) -> None:
    """That would mean to begin anew, for each piece."""
    with opened_log(log) as file:
        assert file.seek(5000) == 5000
        assert file.read(10) == b"".join(LINES)[5000:5010]
        with pytest.raises(OSError, match="cannot go back"):
            file.seek(0)
        with pytest.raises(OSError, match="cannot go back"):
            file.seek(0, os.SEEK_END)
