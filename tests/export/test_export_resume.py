"""The same export once more: it goes on, or says why it does not."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import weakref
from typing import TYPE_CHECKING

import pytest

from siteassist_async.export import (
    Ending,
    ExitCode,
    InputError,
    OutputChangedError,
    OutputError,
    OutputExistsError,
    OutputInUseError,
    Source,
    StateError,
    exit_code,
    recovery,
)
from siteassist_async.export.id_list import BLOCK, Block, IdList
from siteassist_async.pacing.rate import LearnedRate

from .export_fakes import missing, new_ids

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from siteassist_async.export.checkpoint import Prefix

    from .export_fakes import Workbench

IDS = new_ids(30)


async def stopped(bench: Workbench, after: int, lines: list[str]) -> None:
    """Run an export of these lines that is stopped after so many requests."""
    bench.write(lines)
    job = bench.job()

    def count(_: str) -> None:
        if len(bench.api.asked) == after:
            job.stop()

    bench.api.each = count
    bench.audit(await job.run())
    bench.api.each = lambda _: None


async def test_a_second_run_asks_for_nothing(bench: Workbench) -> None:
    """What is there is counted as being there already; failures are not tried again unasked."""
    bench.write([*IDS, IDS[0], "none"])
    bench.api.errors[IDS[7]] = missing(IDS[7])
    first = await bench.finish()
    files, asked = bench.files(), list(bench.api.asked)
    second = await bench.finish()
    assert (bench.files(), bench.api.asked) == (files, asked)
    assert (
        second.progress.exported,
        second.progress.already_there,
        second.progress.bytes_written,
    ) == (0, 29, 0)
    assert (
        second.progress.asked,
        second.counts.failed,
        second.counts.duplicates,
        second.counts.invalid,
    ) == (32, 1, 1, 1)
    assert exit_code(first) is exit_code(second) is ExitCode.SOME_FAILED


async def test_a_stopped_run_finishes_what_is_in_flight_and_the_next_goes_on(
    bench: Workbench,
) -> None:
    """No id is asked for twice, and each is there once."""
    await stopped(bench, 10, [*IDS, IDS[3]])
    assert 10 <= len(bench.api.asked) < 20
    assert len(bench.records()) == len(bench.api.asked)
    await bench.finish()
    bench.check([*IDS, IDS[3]])
    assert sorted(bench.api.asked) == sorted(IDS)


async def test_a_stopped_run_says_so(bench: Workbench) -> None:
    """The exit code asks for the same command again."""
    bench.write(IDS)
    job = bench.job()
    job.stop()
    summary = await job.run()
    assert (summary.ending, summary.progress.asked) == (Ending.STOPPED, 0)
    assert exit_code(summary) is ExitCode.RUN_AGAIN


async def test_being_stopped_at_the_end_is_being_finished(bench: Workbench) -> None:
    """A run that has nothing left to ask for when it is stopped has finished."""
    bench.write(IDS[:1])
    job = bench.job()
    bench.api.each = lambda _: asyncio.get_running_loop().call_soon(job.stop)
    assert (await job.run()).ending is Ending.FINISHED


async def test_a_cancelled_run_goes_on(bench: Workbench) -> None:
    """What was written before is adopted; only what was in flight is asked for again."""
    bench.write(IDS)
    running = asyncio.create_task(bench.job().run())
    bench.api.each = lambda _: running.cancel() if len(bench.api.asked) == 15 else None
    with pytest.raises(asyncio.CancelledError):
        await running
    bench.api.each = lambda _: None
    written = set(bench.records())
    asked = len(bench.api.asked)
    summary = await bench.finish()
    assert summary.progress.already_there == len(written)
    assert not written & set(bench.api.asked[asked:])
    bench.check(IDS)


@pytest.mark.parametrize("held", [0, 1, 3, 64])
async def test_however_much_was_written_since_the_last_checkpoint_is_adopted(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    """More of the input than is held, a stretch without any id in it, and two kills in a row."""
    monkeypatch.setattr(recovery, "HELD", held)
    ids = new_ids(2500, seed=4)
    lines = [*ids[:500], ids[7], *[""] * 3 * BLOCK, ids[499], "none", *ids[500:]]
    bench.write(lines)

    def kill(_: str) -> None:
        if len(bench.api.asked) in {1800, 1900}:
            raise ZeroDivisionError

    bench.api.each = kill
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await bench.job().run()
    written = set(bench.records())
    assert len(written) > 1800
    asked = len(bench.api.asked)
    bench.append([ids[0]])  # so that the input is compared with what is known of it
    await bench.finish()
    assert not written & set(bench.api.asked[asked:])
    bench.check([*lines, ids[0]])


async def test_what_recovery_holds_is_bounded(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far it has to read: the memory is that of a few blocks."""
    monkeypatch.setattr(recovery, "HELD", 3)
    bench.write(new_ids(5000, seed=4))

    def kill(_: str) -> None:
        if len(bench.api.asked) == 4900:
            raise ZeroDivisionError

    bench.api.each = kill
    with pytest.raises(ZeroDivisionError):
        await bench.job().run()
    blocks: list[weakref.ref[Block]] = []
    alive: list[int] = []
    read = IdList.block

    def block(self: IdList, start: Prefix, line: int) -> Block | None:
        found = read(self, start, line)
        if found is not None:
            blocks.append(weakref.ref(found))
        alive.append(sum(block() is not None for block in blocks))
        return found

    monkeypatch.setattr(IdList, "block", block)
    await bench.finish()
    assert len(blocks) > 20
    assert max(alive) <= 3 + 3  # and those at hand


async def test_ids_may_be_appended(bench: Workbench) -> None:
    """A finished export goes on with the new ids only, and knows duplicates of the old."""
    bench.write(IDS[:10])
    await bench.finish()
    bench.append([*IDS[5:20], IDS[2]])
    summary = await bench.finish()
    assert (
        summary.exported,
        summary.progress.already_there,
        summary.counts.duplicates,
    ) == (10, 10, 6)
    bench.check([*IDS[:10], *IDS[5:20], IDS[2]])


@pytest.mark.parametrize("end", ["\n", "\r\n"])
async def test_ids_may_be_appended_after_a_last_line_without_its_break(
    bench: Workbench, end: str
) -> None:
    """The missing line break may be added, and the numbers of the lines stay right."""
    bench.input.write_text(IDS[0])
    await bench.finish()
    bench.input.write_bytes(f"{IDS[0]}{end}none{end}{IDS[1]}{end}".encode())
    await bench.finish()
    bench.check([IDS[0], "none", IDS[1]])


async def test_what_was_not_asked_for_may_be_edited(bench: Workbench) -> None:
    """Only the part of the input that was read must stay; the rest may be cut, added and moved."""
    await stopped(bench, 5, IDS)
    done = len(bench.api.asked)
    lines = [*IDS[:done], IDS[29], IDS[28], IDS[28], *IDS[20:25], IDS[0], *new_ids(3, seed=1)]
    bench.write(lines)
    summary = await bench.finish()
    bench.check(lines)
    assert summary.counts.duplicates == 2


async def test_a_line_read_ahead_and_then_moved_is_found_where_it_is(bench: Workbench) -> None:
    """The index knows of lines that were read and not taken; it is not believed blindly."""
    await stopped(bench, 5, [*IDS[:20], f"{IDS[20]}", f"x{IDS[21]}", IDS[22]])
    done = len(bench.api.asked)
    # At the place of IDS[20] is the middle of another line now, and IDS[22] comes sooner.
    lines = [*IDS[:done], IDS[22], *IDS[done:19], "y" * 36 + IDS[20], IDS[20], IDS[22]]
    bench.write(lines)
    await bench.finish()
    bench.check([line if len(line) != 72 else "?" for line in lines])


async def test_an_id_that_moved_is_a_duplicate_where_it_comes_again(bench: Workbench) -> None:
    """Also in a later block: the index learns where its line is now."""
    await stopped(bench, 5, IDS)
    done = len(bench.api.asked)
    between = new_ids(BLOCK // 37, seed=1)
    lines = [*IDS[:done], IDS[29], *between, IDS[29]]
    bench.write(lines)
    summary = await bench.finish()
    bench.check(lines)
    assert summary.counts.duplicates == 1


async def test_an_input_that_was_only_touched_is_the_same(bench: Workbench) -> None:
    """A file with other times is read again, and found to be what it was."""
    bench.write(IDS)
    await bench.finish()
    os.utime(bench.input, (1, 1))
    assert (await bench.finish()).progress.already_there == 30


async def test_an_input_may_move_and_come_another_way(bench: Workbench) -> None:
    """What counts is what the input says, not what it is called."""
    await stopped(bench, 10, IDS)
    moved = bench.input.rename(bench.folder / "moved.txt")
    read, write = os.pipe()
    os.write(write, moved.read_bytes())
    os.close(write)
    await bench.run(Source(read))
    os.close(read)
    bench.check(IDS)
    csv = bench.folder / "ids.csv"
    csv.write_text("\n".join(["id,x", *IDS]))
    await bench.run(Source(csv, "id"))  # the numbers of the lines are others
    bench.check(IDS)


async def test_a_column_is_read_once(bench: Workbench) -> None:
    """While a CSV file is the same it is not read again; when it has grown, it is."""
    bench.input.write_text("\n".join(["id,x", *(f"{i},1" for i in IDS[:10])]))
    source = Source(bench.input, "id")
    await bench.run(source)
    made = (bench.state / "ids.txt").stat().st_ino
    await bench.run(source)
    assert (bench.state / "ids.txt").stat().st_ino == made
    bench.input.write_text("\n".join(["id,x", *(f"{i},1" for i in IDS)]))
    summary = await bench.run(source)
    assert (summary.exported, summary.progress.already_there) == (20, 10)
    with pytest.raises(InputError, match=r"no ID in column 'x': IDs are UUIDs, unlike '1'"):
        await bench.run(Source(bench.input, "x"))
    (bench.state / "ids.txt").unlink()
    assert (await bench.run(source)).progress.already_there == 30


EDITS: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (lambda path: os.truncate(path, 100), "has only 100 of the"),
    "emptied": (lambda path: os.truncate(path, 0), "has only 0 of the"),
    "deleted": (lambda path: path.unlink(), "is missing"),
    "edited at its end": (lambda path: overwrite(path, -3), "was edited or replaced"),
    "replaced": (lambda path: path.write_bytes(b"x" * path.stat().st_size), "was edited"),
    "added to": (
        lambda path: path.write_bytes(path.read_bytes() + b"{}\n"),
        "3 bytes that no export",
    ),
}


def overwrite(path: Path, offset: int) -> None:
    """Change one byte."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("which", ["output", "dead_letters"])
@pytest.mark.parametrize("name", EDITS)
async def test_an_output_that_someone_changed_is_refused(
    bench: Workbench, name: str, which: str
) -> None:
    """Nothing is overwritten, and the error names the file and what is wrong with it."""
    bench.write(IDS)
    bench.api.errors = {i: missing(i) for i in IDS[10:20]}
    await bench.finish()
    edit, message = EDITS[name]
    path: Path = getattr(bench, which)
    edit(path)
    files, asked = bench.files(), list(bench.api.asked)
    bench.append(new_ids(3, seed=3))
    with pytest.raises(OutputChangedError, match=message) as raised:
        await bench.job().run()
    assert raised.value.path == str(path)
    assert exit_code(raised.value) is ExitCode.ACT
    assert (bench.files(), bench.api.asked) == (files, asked)


async def test_an_output_that_someone_writes_to_meanwhile_ends_the_run(bench: Workbench) -> None:
    """A stranger's bytes are found at the next checkpoint, and stay."""
    bench.write(IDS)

    def meddle(conversation_id: str) -> None:
        if conversation_id == IDS[9]:
            with bench.output.open("ab") as file:
                file.write(b"stranger")

    bench.api.each = meddle
    with pytest.raises(OutputChangedError, match="another program during this run"):
        await bench.job().run()
    assert b"stranger" in bench.output.read_bytes()


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("which", ["output", "dead_letters"])
async def test_a_strangers_file_is_never_overwritten(
    bench: Workbench, which: str, *, restart: bool
) -> None:
    """A file that no export wrote is refused, whatever is asked for, before anything is made."""
    bench.write(IDS)
    getattr(bench, which).write_bytes(b"precious\n")
    with pytest.raises(OutputExistsError, match="already exists") as raised:
        await bench.job(restart=restart).run()
    assert exit_code(raised.value) is ExitCode.WRONG_USAGE
    assert list(bench.files().values()) == [b"precious\n"]
    assert not bench.state.exists()


async def test_a_strangers_file_beside_a_state_without_a_checkpoint_is_refused(
    bench: Workbench,
) -> None:
    """A run that ended before its first checkpoint has written no output."""
    bench.write(IDS)
    bench.state.mkdir()
    (bench.state / "checkpoint.db").touch()
    bench.output.write_bytes(b"precious\n")
    with pytest.raises(OutputExistsError):
        await bench.job().run()
    assert bench.output.read_bytes() == b"precious\n"


async def test_an_input_is_not_its_own_output(bench: Workbench) -> None:
    """To export to the list of ids itself is refused as any other existing file."""
    bench.output.write_text("\n".join(IDS))
    with pytest.raises(OutputExistsError):
        await bench.job(Source(bench.output)).run()


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
async def test_an_output_must_be_a_regular_file(
    bench: Workbench, make: Callable[[Path], object]
) -> None:
    """A folder or a pipe cannot be resumed."""
    bench.write(IDS)
    make(bench.output)
    with pytest.raises(OutputError, match="is not a regular file") as raised:
        await bench.job().run()
    assert exit_code(raised.value) is ExitCode.ACT


async def test_two_runs_cannot_share_an_output(bench: Workbench) -> None:
    """The second one says who is at it, and the first one goes on."""
    bench.write(IDS)
    errors: list[Exception] = []

    async def fetch(conversation_id: str) -> bytes:
        if conversation_id == IDS[5]:
            with pytest.raises(OutputInUseError, match=f"process {os.getpid()}") as raised:
                await bench.job().run()
            errors.append(raised.value)
        return await bench.api.fetch(conversation_id)

    await bench.finish(fetch=fetch)
    bench.check(IDS)
    assert [exit_code(error) for error in errors] == [ExitCode.RUN_AGAIN]  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # checked above


async def test_two_names_of_one_output_share_its_state(bench: Workbench) -> None:
    """A link is followed, so the export goes on under either name."""
    bench.write(IDS)
    await bench.finish()
    link = bench.folder / "link.jsonl"
    link.symlink_to(bench.output.name)
    bench.output = link
    assert (await bench.job().run()).progress.already_there == 30


async def test_a_restart_begins_anew(bench: Workbench) -> None:
    """Records, dead letters and state of the earlier runs are gone."""
    bench.write([*IDS, "none"])
    await bench.finish()
    bench.write(IDS[:3])
    summary = await bench.finish(restart=True)
    assert (summary.progress.asked, summary.exported, summary.progress.already_there) == (
        3,
        3,
        0,
    )
    bench.check(IDS[:3])


async def test_a_restart_needs_its_input_first(bench: Workbench) -> None:
    """Where a pipe brings no ids, what there was stays."""
    bench.write(IDS)
    await bench.finish()
    read, write = os.pipe()
    os.close(write)
    with pytest.raises(Exception, match="contains no IDs"):
        await bench.job(Source(read), restart=True).run()
    os.close(read)
    bench.check(IDS)


async def test_a_restart_reads_a_pipe(bench: Workbench) -> None:
    """The list that came through the pipe outlives the old state."""
    bench.write(IDS)
    await bench.finish()
    read, write = os.pipe()
    os.write(write, f"{IDS[4]}\n".encode())
    os.close(write)
    await bench.run(Source(read), restart=True)
    os.close(read)
    bench.check(IDS[4:5])


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no database": (lambda path: path.write_bytes(b"x" * 5000), "is damaged: file is not a"),
    "another version": (lambda path: execute(path, "PRAGMA user_version = 9"), "has version 9"),
    "no checkpoint": (
        lambda path: execute(path, "UPDATE checkpoint SET json = '{}x'"),
        "is damaged",
    ),
}


def execute(path: Path, statement: str) -> None:
    """Change the checkpoint's database."""
    database = sqlite3.connect(path)
    database.execute(statement)
    database.commit()
    database.close()


@pytest.mark.parametrize("name", DAMAGES)
async def test_a_state_that_cannot_be_read_is_refused_and_rebuilding_it_cures_it(
    bench: Workbench, name: str
) -> None:
    """The error names the state's file; no restart deletes what it cannot prove to be its own."""
    bench.write(IDS)
    await bench.finish()
    damage, message = DAMAGES[name]
    damage(bench.state / "checkpoint.db")
    files = bench.files()
    for restart in (False, True):
        with pytest.raises(StateError, match=message) as raised:
            await bench.job(restart=restart).run()
        assert raised.value.path == str(bench.state / "checkpoint.db")
        assert "rebuild the export's state" in str(raised.value)
        assert exit_code(raised.value) is ExitCode.ACT
        assert bench.files() == files
    asked = len(bench.api.asked)
    await bench.finish(rebuild_state=True)
    bench.check(IDS)
    assert len(bench.api.asked) == asked
    damage(bench.state / "checkpoint.db")
    bench.output.unlink()
    await bench.finish(restart=True)
    bench.check(IDS)


class FakePacer:
    """Has learned something, and notes what it is given back."""

    def __init__(self, learned: LearnedRate | None) -> None:
        self.rate = learned
        self.restored: list[LearnedRate] = []

    def learned(self) -> LearnedRate | None:
        """As `Pacer.learned`."""
        return self.rate

    def restore(self, learned: LearnedRate) -> None:
        """As `Pacer.restore`."""
        self.restored.append(learned)


async def test_the_learned_rate_outlives_the_run(bench: Workbench) -> None:
    """It is given to the next run's pacer, and stays where that one learns nothing or is none."""
    bench.write(IDS)
    rate = LearnedRate(12.5, 60.0)
    await bench.finish(pacer=FakePacer(None))
    await bench.finish(pacer=FakePacer(rate))
    await bench.finish()
    quiet = FakePacer(None)
    await bench.finish(pacer=quiet)
    last = FakePacer(None)
    await bench.finish(pacer=last)
    assert (quiet.restored, last.restored) == ([rate], [rate])
