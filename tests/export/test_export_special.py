"""Files and file systems of another kind: what cannot be synced, what is no plain file."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from siteassist_async.export import Ending, OutputError, Source, StateError
from siteassist_async.export.checkpoint import Checkpoint, Mark
from siteassist_async.export.log import Log
from siteassist_async.export.store import Store

from .export_fakes import new_ids, record_of

if TYPE_CHECKING:
    from pathlib import Path

    from .export_fakes import Workbench

IDS = new_ids(20)


def fail_folders(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Let no folder be synced."""
    fsync = os.fsync

    def failing(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(code, os.strerror(code))
        fsync(file)

    monkeypatch.setattr(os, "fsync", failing)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EBADF])
async def test_a_folder_that_cannot_be_synced_is_no_reason_to_stop(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """As on SMB and some of FUSE, where names are durable or not, whatever is asked."""
    fail_folders(monkeypatch, code)
    bench.write(IDS)
    await bench.finish()
    bench.check(IDS)


async def test_a_folder_whose_disk_fails_ends_the_run(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that is no lack of support is told."""
    fail_folders(monkeypatch, errno.EIO)
    bench.write(IDS)
    with pytest.raises(OutputError, match="cannot be written: Input/output error"):
        await bench.job().run()


async def test_a_named_pipe_without_a_writer_can_be_stopped(bench: Workbench) -> None:
    """To open it would wait for one, and nothing but a kill would end that."""
    os.mkfifo(bench.input)
    job = bench.job(Source(bench.input))
    running = asyncio.create_task(job.run())
    while not bench.state.exists():  # noqa: ASYNC110 - a folder tells nobody that it is there
        await asyncio.sleep(0)
    job.stop()
    assert (await running).ending is Ending.STOPPED


async def test_an_output_that_became_a_pipe_is_refused(tmp_path: Path) -> None:
    """It is opened without waiting for who reads it."""
    os.mkfifo(tmp_path / "out.jsonl")
    with pytest.raises(OutputError, match="is not a regular file"):
        Log(tmp_path / "out.jsonl", Mark())


def test_an_error_of_the_disk_takes_back_its_own_bytes_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody else wrote meanwhile is not cut with them."""
    path, write = tmp_path / "out.jsonl", os.write
    record = record_of(IDS[0])

    def failing(file: int, data: bytes) -> int:
        if len(data) <= len(record) - 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[:10])

    with closing(Log(path, Mark())) as log:
        monkeypatch.setattr(os, "write", failing)
        with pytest.raises(OutputError, match="No space left"):
            log.append([record])
        assert path.read_bytes() == b""
        log.remove()
        assert not path.exists()
        path.write_bytes(b"precious\n")
        log.remove()
        assert path.read_bytes() == b"precious\n"


def test_an_error_of_the_disk_cuts_nothing_that_another_wrote_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The half line stays then, for the next run to deal with."""
    path = tmp_path / "out.jsonl"
    record = record_of(IDS[0])

    def failing(file: int, data: bytes) -> int:
        if data.startswith(record):
            return write(file, data[:10])
        write(file, b"note\n")
        raise OSError(errno.ENOSPC, "No space left on device")

    write = os.write
    with closing(Log(path, Mark())) as log:
        monkeypatch.setattr(os, "write", failing)
        with pytest.raises(OutputError, match="No space left"):
            log.append([record])
    assert path.read_bytes() == record[:10] + b"note\n"


def test_a_store_that_was_touched_says_so(tmp_path: Path) -> None:
    """A change of the file, a copy in its place and a lost seal; and none of them is none."""
    path, seal = tmp_path / "checkpoint.db", tmp_path / "seal"
    for touch, is_touched in (
        (lambda: None, False),
        (lambda: os.utime(path, (1, 1)), True),
        (seal.unlink, True),
        (lambda: seal.write_bytes(b"\xff"), True),
        (lambda: seal.write_bytes(b"busy"), False),
    ):
        with closing(Store(path)) as store:
            store.add([(IDS[0], 0, 0)])
            store.commit(Checkpoint())
        touch()
        with closing(Store(path)) as store:
            assert store.is_touched == is_touched


def test_a_store_that_lost_an_id_says_so(tmp_path: Path) -> None:
    """As where a page of its file was damaged and can be read all the same."""
    with closing(Store(tmp_path / "checkpoint.db")) as store:
        store.add([(IDS[0], 0, 7)])
        assert store.positions(IDS[:1]) == {IDS[0]: (0, 7)}
        with pytest.raises(StateError, match="is damaged: an ID is missing from its index"):
            store.positions(IDS[:2])


def test_a_store_that_can_be_read_and_is_wrong_says_so(tmp_path: Path) -> None:
    """SQLite tells it where it is asked to look at everything."""
    path = tmp_path / "checkpoint.db"
    with closing(Store(path)) as store:
        store.commit(Checkpoint())
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute("UPDATE checkpoint SET only = 2")
        database.commit()
    with closing(Store(path)) as store, pytest.raises(StateError, match="CHECK constraint"):
        store.check()


async def test_a_state_that_was_copied_is_read_as_a_whole(bench: Workbench) -> None:
    """Where it does not agree with the outputs, it is not trusted."""
    bench.write([*IDS, "none"])
    await bench.finish()
    path = bench.state / "checkpoint.db"
    with closing(Store(path)) as store:
        known = store.load()
        assert known is not None
        known.counts.exported -= 1
        store.commit(known)
    os.utime(path, (1, 1))
    with pytest.raises(StateError, match=r"out\.jsonl has 20 records, but 19 were written"):
        await bench.job().run()
    await bench.finish(rebuild_state=True)
    bench.check([*IDS, "none"])
