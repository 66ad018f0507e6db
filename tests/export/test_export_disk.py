"""A disk that is full, broken or read-only: an error that names the path, and nothing torn."""

from __future__ import annotations

import asyncio
import errno
import json
import resource
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from siteassist_async.export import ExitCode, OutputError, exit_code, log, store
from siteassist_async.export.checkpoint import Checkpoint, Mark
from siteassist_async.export.log import Log
from siteassist_async.export.store import Store

from .export_fakes import Options, Workbench, missing, new_ids
from .failing_disk import watched

IDS = new_ids(40)
LINES = ["id", *IDS, "none"]

FULL = "cannot be written: No space left on device"

PROGRAM = Path(__file__).with_name("export_process.py")


def prepared(folder: Path) -> Workbench:
    """An export with dead letters and checkpoints."""
    folder.mkdir(exist_ok=True)
    bench = Workbench(folder)
    bench.write(LINES)
    bench.api.errors = {i: missing(i) for i in IDS[::5]}

    async def wait() -> None:
        bench.clock.time += 0.3
        await asyncio.to_thread(len, "")

    bench.api.before = wait
    return bench


@pytest.mark.parametrize("options", [{}, {"retry_failed": True}, {"restart": True}], ids=str)
def test_any_change_to_the_disk_may_fail(tmp_path: Path, options: Options) -> None:
    """Whichever it is, the error names a path, no line is torn, and the next run completes."""
    original = prepared(tmp_path / "original")
    if options:
        with watched():
            asyncio.run(original.finish())
    with watched() as disk:
        shutil.copytree(original.folder, tmp_path / "whole")
        asyncio.run(prepared(tmp_path / "whole").finish(**options))
    for step in range(1, disk.steps + 1):
        bench = Workbench(tmp_path / str(step))
        shutil.copytree(original.folder, bench.folder)
        fails_at(step, bench, options)
        with watched():
            asyncio.run(prepared(bench.folder).finish(**options))
        bench.check(LINES)
        shutil.rmtree(bench.folder)


def fails_at(step: int, bench: Workbench, options: Options) -> None:
    """Run an export on a disk that is full at one step."""

    def fail(number: int, name: str) -> None:
        if number == step and name == "commit":  # as the store says it
            raise OutputError(FULL, path=str(bench.state / "checkpoint.db"))
        if number == step:
            raise OSError(errno.ENOSPC, "No space left on device")

    errors: list[OutputError] = []
    with watched() as disk:
        disk.before = fail
        try:
            asyncio.run(prepared(bench.folder).job(**options).run())
        except OutputError as refusal:
            errors.append(refusal)
    for error in errors:
        assert str(error) == f"{error.path}: {FULL}"
        assert Path(error.path).is_relative_to(bench.folder)
        assert exit_code(error) is ExitCode.ACT
    bench.records()
    bench.letters()


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_the_log_of_the_store_is_emptied_when_it_is_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: str
) -> None:
    """Else the next to open it reads it all; where there is another journal, nothing is amiss."""
    monkeypatch.setattr(store, "_SETTINGS", f"PRAGMA journal_mode = {journal}")
    monkeypatch.setattr(store, "LONGEST_LOG", 40_000)
    folder, path = tmp_path / "copy", tmp_path / "store" / "checkpoint.db"
    path.parent.mkdir()
    ids = new_ids(1000)
    with closing(Store(path)) as opened:
        sizes: list[int] = []
        for number, conversation_id in enumerate(ids):
            opened.add([(conversation_id, number, 0)])
            opened.commit(Checkpoint(boot=conversation_id))
            sizes += [wal.stat().st_size for wal in path.parent.glob("*-wal")]
        assert max(sizes, default=0) <= 40_000
        assert (0 in sizes) == (journal == "WAL")
        shutil.copytree(path.parent, folder)  # as it is after a kill
    with closing(Store(folder / path.name)) as after:
        assert after.load() == Checkpoint(boot=ids[-1])
        assert after.positions(ids) == {text: (number, 0) for number, text in enumerate(ids)}


def test_lines_are_written_together_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more is copied at once, and where the disk is full whole lines stay and all counts."""
    monkeypatch.setattr(log, "LONGEST_WRITE", 100)
    lines = [b"x" * size for size in (30, 60, 11, 500, 0, 100)]
    steps: list[str] = []

    def fail(_: int, name: str) -> None:
        steps.append(name)
        if len(steps) == 6:
            raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "log"
    with closing(Log(path, Mark())) as opened, watched() as disk:
        disk.before = fail
        opened.append(lines)
        assert path.read_bytes() == b"".join(line + b"\n" for line in lines)
        with pytest.raises(OutputError, match="No space left"):
            opened.append(lines)
        assert path.read_bytes() == b"".join(line + b"\n" for line in [*lines, *lines[:2]])
        assert opened.mark().offset == path.stat().st_size
    assert steps == ["write"] * 6 + ["ftruncate"]


@pytest.mark.parametrize("size", [0, 5_000, 20_000, 50_000, 150_000, 500_000])
def test_a_limit_on_the_size_of_files_is_met_in_order(tmp_path: Path, size: int) -> None:
    """The system's own refusal, in any of the files, ends in one line and the exit code 4."""
    ids = new_ids(3000, seed=6)
    source, output = tmp_path / "ids.txt", tmp_path / "out.jsonl"
    source.write_text("\n".join(ids))
    command = [sys.executable, str(PROGRAM), str(source), str(output)]
    limited = subprocess.run(
        command,
        preexec_fn=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert limited.returncode == ExitCode.ACT
    assert limited.stderr.startswith(str(tmp_path))
    assert limited.stderr.count("\n") == 1
    content = output.read_bytes() if output.exists() else b""
    assert content[-1:] in b"\n"
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    assert done.returncode == ExitCode.SOME_FAILED
    files = output, tmp_path / "out.failed.jsonl"
    lines = [line for file in files for line in file.read_bytes().splitlines()]
    assert Counter(json.loads(line)["id"] for line in lines) == Counter(ids)


def test_a_store_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """SQLite's own words come after the path."""
    path = tmp_path / "checkpoint.db"
    path.mkdir()
    with pytest.raises(OutputError, match=r"checkpoint\.db: cannot be written: unable to open"):
        Store(path)


def test_a_store_that_is_in_use_is_named(tmp_path: Path) -> None:
    """As where someone looks into it with another program."""
    path = tmp_path / "checkpoint.db"
    with closing(Store(path)), pytest.raises(OutputError, match="database is locked"):
        Store(path)
