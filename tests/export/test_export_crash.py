"""A crash at any moment: every id comes out once."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from siteassist_async.errors import InternalServerError
from siteassist_async.export import Summary, checkpoint

from .export_fakes import Workbench, missing, new_ids
from .failing_disk import Disk, PowerLossError, watched

IDS = new_ids(40)
EXAMPLES = int(os.environ.get("EXPORT_HISTORIES", "40"))
"""How many histories are tried; more of them on demand."""

LINES = [*IDS[:12], "none", IDS[3], "", *IDS[12:30], IDS[29].upper(), "x" * 5000, *IDS[30:], "end"]


def trouble(bench: Workbench, seconds: float = 0.3) -> None:
    """Let some ids fail, and let time pass, so that there are checkpoints."""
    bench.api.errors = {i: missing(i) for i in IDS[::5]}
    bench.api.errors[IDS[11]] = gone = InternalServerError("gone")
    gone.isolated = True  # or an export of this id alone would not end

    async def wait() -> None:
        bench.clock.time += seconds
        await asyncio.to_thread(len, "")  # long enough for a checkpoint to get on

    bench.api.before = wait


def run(bench: Workbench, *, retry_failed: bool = False) -> Summary:
    """Run an export from beginning to end."""
    with watched():
        return asyncio.run(bench.finish(retry_failed=retry_failed))


def copies_of_each_step(
    bench: Workbench, to: Path, *, retry_failed: bool = False, limit: int = 4
) -> list[Path]:
    """Run an export; copy all files before each change that it makes to one of them."""
    copies: list[Path] = []

    def copy(step: int, name: str) -> None:
        copies.append(to / f"{step}-{name}")
        shutil.copytree(bench.folder, copies[-1])

    with watched() as disk:
        disk.before = copy
        asyncio.run(bench.finish(retry_failed=retry_failed, limit=limit))
    return copies


@pytest.fixture
def started(tmp_path: Path) -> Workbench:
    """An export that is yet to begin."""
    bench = Workbench(tmp_path / "original")
    bench.folder.mkdir()
    bench.write(LINES)
    trouble(bench)
    return bench


@pytest.mark.parametrize(("limit", "steps"), [(1, 50), (4, 30)])
def test_a_kill_before_any_change_loses_nothing(
    started: Workbench, tmp_path: Path, limit: int, steps: int
) -> None:
    """From the files as they are at each step, the export is completed without asking twice."""
    copies = copies_of_each_step(started, tmp_path, limit=limit)
    assert len(copies) > steps  # fewer where more records come at once, and are written at once
    for copy in copies:
        bench = Workbench(copy)
        trouble(bench)
        whole = set(complete_records(bench))
        run(bench)
        bench.check(LINES)
        assert not whole & set(bench.api.asked)


def complete_records(bench: Workbench) -> list[str]:
    """The ids of the records whose line break is there, while others are being written."""
    content = bench.output.read_bytes() if bench.output.exists() else b""
    return [line[29:65].decode() for line in content.split(b"\n")[:-1]]


def test_a_kill_while_the_failed_are_asked_again_loses_nothing(
    started: Workbench, tmp_path: Path
) -> None:
    """Neither the ids that moved out of the dead letters are lost, nor those that stayed."""
    run(started)
    started.api.errors = {i: error for i, error in started.api.errors.items() if i in IDS[:20]}
    copies = copies_of_each_step(started, tmp_path, retry_failed=True)
    assert len(copies) > 20
    for copy in copies:
        for retry_failed in (False, True):
            bench = Workbench(tmp_path / "again")
            shutil.rmtree(bench.folder, ignore_errors=True)
            shutil.copytree(copy, bench.folder)
            bench.api.errors = started.api.errors
            run(bench, retry_failed=retry_failed)
            bench.check(LINES)


@frozen
class Crash:
    """How one run ends.

    Attributes:
        step: The change at which the power goes.
        power: Whether the machine fails, and not the process alone: then what was not synced is
            damaged, in a way of its own for each of the two files.
        restarted: Whether the machine was started anew since.
        retry_failed: Whether that run asks again for what failed.
    """

    step: int
    power: bool
    restarted: bool
    retry_failed: bool
    damages: tuple[Damage, Damage]


@frozen
class Damage:
    """What becomes of the bytes that were not synced.

    Attributes:
        kept: How many of them are as they were written, as a share.
        rest: What is in place of the others: nothing, or bytes repeated to their number.
    """

    kept: float
    rest: bytes

    def apply(self, path: Path, disk: Disk) -> None:
        """Damage a file."""
        if not path.exists():
            return
        start, end = disk.unsynced(path)
        start += round((end - start) * self.kept)
        rest = (self.rest * (end - start))[: end - start]
        path.write_bytes(path.read_bytes()[:start] + rest)


damages = st.builds(
    Damage,
    kept=st.floats(0, 1),
    rest=st.sampled_from(
        [b"", b"\0", b"\n", b"\0\n", b"\xff", b'{"id":1}\n', b"{}\n", b'"', b"}\n"]
    )
    | st.binary(min_size=1, max_size=50),
)
crashes = st.builds(
    Crash,
    step=st.integers(1, 70),
    power=st.booleans(),
    restarted=st.booleans(),
    retry_failed=st.booleans(),
    damages=st.tuples(damages, damages),
)
lines = st.lists(st.sampled_from([*IDS, *IDS, IDS[0].upper(), "", "none", "x" * 17000]), min_size=1)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    lines=lines.filter(lambda lines: any(len(line) == 36 for line in lines)),
    history=st.lists(crashes, max_size=4),
    limit=st.integers(1, 10),
    seconds=st.floats(0, 1.5),
)
def test_every_history_of_crashes_ends_with_every_id_once(
    lines: list[str], history: list[Crash], limit: int, seconds: float
) -> None:
    """Whatever is written when the power goes, and how often it does, no id is lost or doubled."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        bench = Workbench(Path(folder))
        bench.write(lines)
        trouble(bench, seconds)
        for number, crash in enumerate(history):
            run_to(crash, bench, limit)
            if crash.power and crash.restarted:
                patch.setattr(checkpoint, "_BOOT_ID", start_of_machine(bench, number))
        with watched():
            asyncio.run(bench.finish(limit=limit))
        bench.check(lines)


def test_what_was_killed_is_durable_before_the_failed_are_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That commits the lines of the killed run, which nothing had synced: then the power goes."""
    bench = Workbench(tmp_path)
    bench.write(LINES)
    bench.api.errors = {IDS[0]: missing(IDS[0])}

    def end(_: str) -> None:
        if len(bench.api.asked) > 20:
            raise PowerLossError

    bench.api.each = end
    with watched() as disk:
        for retry_failed in (False, True):
            with pytest.raises(PowerLossError):
                asyncio.run(bench.job(limit=1, retry_failed=retry_failed).run())
        for path in outputs(bench):
            Damage(kept=0, rest=b"").apply(path, disk)
    monkeypatch.setattr(checkpoint, "_BOOT_ID", start_of_machine(bench, 1))
    bench.api.each = lambda _: None
    run(bench)
    bench.check(LINES)


def run_to(crash: Crash, bench: Workbench, limit: int) -> None:
    """Run an export until its crash, or to its end if that comes first."""

    def fail(step: int, _: str) -> None:
        if step == crash.step:
            raise PowerLossError

    with watched() as disk:
        disk.synced = {path.stat().st_ino: path.stat().st_size for path in outputs(bench)}
        disk.before = fail
        with suppress(PowerLossError):
            asyncio.run(bench.job(limit=limit, retry_failed=crash.retry_failed).run())
        if crash.power:
            for path, damage in zip(outputs(bench), crash.damages, strict=False):
                damage.apply(path, disk)


def outputs(bench: Workbench) -> list[Path]:
    """The files that a loss of power may damage."""
    return [path for path in (bench.output, bench.dead_letters) if path.exists()]


def start_of_machine(bench: Workbench, number: int) -> Path:
    """A file that tells this start of the machine from others."""
    path = bench.folder / "boot_id"
    path.write_text(str(number))
    return path
