"""Edits that keep a file's size: of the outputs, of the state, of the input while it is read."""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from siteassist_async.export import (
    ExitCode,
    ExportError,
    InputChangedError,
    OutputChangedError,
    Source,
    StateError,
    exit_code,
)
from siteassist_async.export.checkpoint import Prefix
from siteassist_async.export.id_list import BLOCK, IdList

from .export_fakes import Workbench, missing, new_ids

if TYPE_CHECKING:
    from collections.abc import Callable

IDS = new_ids(60)


class KilledError(Exception):
    """Ends a run in disorder."""


async def killed(bench: Workbench, after: int, source: Source | None = None) -> None:
    """Run an export that ends in its midst."""

    def kill(_: str) -> None:
        bench.clock.time += 0.3  # so that there are checkpoints
        if len(bench.api.asked) > after:
            raise KilledError

    bench.api.each = kill
    with pytest.raises(KilledError):
        await bench.job(source, limit=1).run()
    bench.api.each = lambda _: None


def edit(path: Path, offset: int) -> None:
    """Change one byte."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("which", ["output", "dead_letters"])
async def test_an_edit_in_the_middle_of_a_finished_output_is_refused(
    bench: Workbench, which: str
) -> None:
    """However far from its end it is, and though the edit keeps the size."""
    bench.write(IDS)
    bench.api.errors = {i: missing(i) for i in IDS[::2]}
    await bench.finish()
    path: Path = getattr(bench, which)
    edit(path, 60)
    bench.append(new_ids(5, seed=3))
    with pytest.raises(OutputChangedError, match="was edited since it was written") as raised:
        await bench.job().run()
    assert raised.value.path == str(path)
    assert "rebuild the export's state" in str(raised.value)


async def test_a_finished_output_that_was_only_touched_is_read_and_found_whole(
    bench: Workbench,
) -> None:
    """Other times or rights are a reason to look closer, and no more."""
    bench.write(IDS)
    await bench.finish()
    os.utime(bench.output, (1, 1))
    bench.output.chmod(0o640)
    assert (await bench.finish()).progress.already_there == 60


async def test_a_finished_output_that_nobody_touched_is_not_read(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To go on costs no time that grows with what is there."""
    bench.write(IDS)
    await bench.finish()
    read: list[int] = []
    pread = os.pread

    def counting(file: int, size: int, offset: int) -> bytes:
        data = pread(file, size, offset)
        if os.path.samestat(os.fstat(file), bench.output.stat()):
            read.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", counting)
    await bench.finish()
    assert sum(read) < bench.output.stat().st_size


async def test_a_file_system_that_sets_no_times_is_no_reason_to_fail(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of another owner can be written and their times not set."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "utime", refused)
    bench.write(IDS)
    await bench.finish()
    assert (await bench.finish()).progress.already_there == 60


async def test_an_id_that_was_edited_in_the_dead_letters_is_not_asked_for(
    bench: Workbench,
) -> None:
    """Another id in its place would be exported twice, and its own never."""
    bench.write([*IDS, "none"])
    bench.api.errors = {i: missing(i) for i in IDS[:20]}
    await killed(bench, 40)  # so that its times tell nothing
    letters = bench.dead_letters.read_bytes()
    bench.dead_letters.write_bytes(letters.replace(IDS[0].encode(), IDS[30].encode(), 1))
    bench.api.asked.clear()
    with pytest.raises(OutputChangedError, match="was edited"):
        await bench.job(retry_failed=True).run()
    assert bench.api.asked == []
    bench.dead_letters.write_bytes(letters)
    bench.api.errors.clear()
    await bench.finish(retry_failed=True)
    bench.check([*IDS, "none"])


LIST_EDITS: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, 37 * 30),
    "edited": lambda path: edit(path, 37 * 50),
    "deleted": lambda path: path.unlink(),
    "longer": lambda path: path.write_bytes(path.read_bytes() + f"{IDS[0]}\n".encode()),
}


@pytest.mark.parametrize("name", LIST_EDITS)
async def test_a_list_made_of_a_column_is_made_anew_where_it_was_changed(
    bench: Workbench, name: str
) -> None:
    """The input is there to be read again."""
    bench.input.write_text("\n".join(["id,x", *(f"{i},1" for i in IDS)]))
    source = Source(bench.input, "id")
    await killed(bench, 10, source)
    LIST_EDITS[name](bench.state / "ids.txt")
    await bench.run(source)
    bench.check(IDS)


@pytest.mark.parametrize("name", LIST_EDITS)
async def test_a_list_of_ids_to_ask_again_that_was_changed_is_refused(
    bench: Workbench, name: str
) -> None:
    """What it had been nobody knows; the state can be rebuilt, and none of them is lost."""
    bench.write(IDS)
    bench.api.errors = {i: missing(i) for i in IDS}
    await bench.finish()
    bench.api.errors.clear()
    job = bench.job(retry_failed=True, limit=1)
    bench.api.each = lambda given: job.stop() if given == IDS[4] else None
    await job.run()
    bench.api.each = lambda _: None
    again = bench.state / "retry.txt"
    whole = again.read_bytes()
    LIST_EDITS[name](again)
    if name != "longer":  # there nothing that is read has changed
        with pytest.raises(StateError, match="was changed since it was written") as raised:
            await bench.job().run()
        assert raised.value.path == str(again)
        assert exit_code(raised.value) is ExitCode.ACT
        again.write_bytes(whole)
    await bench.finish()
    bench.check(IDS)
    await bench.finish(rebuild_state=True)
    bench.check(IDS)


INPUTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "shortened": (
        lambda path: os.truncate(path, 37 * 700),
        "was shortened from 37000 bytes to 25900",
    ),
    "emptied": (lambda path: os.truncate(path, 0), "was shortened from 37000 bytes to 0"),
    "another order": (
        lambda path: path.write_text("".join(f"{i}\n" for i in reversed(new_ids(1000, seed=4)))),
        "changed in its first 37000 bytes, which were already read",
    ),
}


@pytest.mark.parametrize("name", INPUTS)
async def test_an_input_that_is_changed_while_it_is_read_ends_the_run(
    bench: Workbench, name: str
) -> None:
    """No run says that it is done by a list that was not read to its end as it was."""
    ids = new_ids(1000, seed=4)
    bench.write(ids)
    change, message = INPUTS[name]
    bench.api.each = lambda given: change(bench.input) if given == ids[200] else None
    with pytest.raises(InputChangedError, match=message) as raised:
        await bench.job().run()
    assert exit_code(raised.value) is ExitCode.WRONG_USAGE
    bench.api.each = lambda _: None
    bench.write(ids)
    await bench.finish()
    bench.check(ids)


async def test_an_input_may_grow_while_it_is_read(bench: Workbench) -> None:
    """What is appended in time is asked for."""
    ids = new_ids(1010, seed=4)
    bench.write(ids[:1000])
    bench.api.each = lambda given: bench.append(ids[1000:]) if given == ids[200] else None
    await bench.finish()
    bench.check(ids)


@pytest.mark.parametrize("before", [IDS[:1], ["none", IDS[0]], [*IDS[:40], "a8b2", "none"]])
async def test_a_half_written_last_line_is_asked_for_once_it_is_whole(
    bench: Workbench, before: list[str]
) -> None:
    """It is an invalid id as long as it is all there is, and no longer."""
    half = IDS[50][:4]
    bench.input.write_text("".join(f"{line}\n" for line in before) + half)
    summary = await bench.finish()
    assert summary.counts.invalid == len([line for line in [*before, half] if len(line) != 36])
    lines = [*before, IDS[50], IDS[51], "none"]
    bench.write(lines)
    await bench.finish()
    bench.check(lines)


async def test_a_half_written_last_line_is_reopened_after_a_kill(bench: Workbench) -> None:
    """What was written after the last checkpoint is adopted first."""
    bench.input.write_text("".join(f"{line}\n" for line in IDS[:20]) + IDS[50][:4])

    async def fetch(conversation_id: str) -> bytes:
        for _ in range(IDS.index(conversation_id)):
            bench.clock.time += 0.1
            await asyncio.to_thread(len, "")  # so that there are checkpoints
        if conversation_id == IDS[19]:
            raise KilledError
        return await bench.api.fetch(conversation_id)

    with pytest.raises(KilledError):
        await bench.job(fetch=fetch, limit=40).run()
    assert len(bench.letters()) == 1
    lines = [*IDS[:20], IDS[50]]
    bench.write(lines)
    await bench.finish()
    bench.check(lines)
    assert len(bench.api.asked) == len(set(bench.api.asked))


@pytest.mark.parametrize("last", [" ", "x" * (BLOCK + 10), IDS[5]])
async def test_any_other_last_line_that_goes_on_is_read_again(bench: Workbench, last: str) -> None:
    """A blank one, one that is longer than any id, and an id too, which then is none."""
    bench.input.write_text(f"{IDS[0]}\n{last}")
    await bench.finish()
    lines = [IDS[0], f"{last}{IDS[1]}".strip()]
    bench.write(lines)
    await bench.finish()
    assert set(bench.records()) - {last} == {line for line in lines if len(line) == 36}
    assert [letter["line"] for letter in bench.letters()] == [2] * (last != " ")


def test_a_line_that_goes_on_while_it_is_read_is_no_second_line(tmp_path: Path) -> None:
    """The rest of a line that was half written ends the run; the next one reads it whole."""
    path = tmp_path / "ids.txt"
    path.write_text(f"{IDS[0]}\n{IDS[1][:4]}")
    with closing(IdList(os.open(path, os.O_RDONLY), "ids.txt")) as ids:
        first = ids.block(Prefix(), 1)
        assert first is not None
        half = ids.block(first.end, first.line)
        assert half is not None
        with path.open("a") as file:
            file.write(f"{IDS[1][4:]}\n")
        with pytest.raises(InputChangedError, match="has been continued in its last line"):
            ids.block(half.end, half.line)


@settings(max_examples=25, phases=(Phase.generate,))
@given(
    at=st.floats(0, 1, exclude_max=True),
    size=st.integers(1, 4096),
    name=st.sampled_from(["checkpoint.db", "checkpoint.db-wal", "ids.txt", "seal"]),
    content=st.sampled_from([b"\0", b"\xff", b"x", b""]),
    ended=st.booleans(),
)
def test_a_damaged_state_is_an_error_or_does_no_harm(
    at: float, size: int, name: str, content: bytes, *, ended: bool
) -> None:
    """It never makes an export incomplete, or double, nor ends it by an error of another kind."""
    ids = new_ids(400, seed=6)
    with tempfile.TemporaryDirectory() as folder:
        bench = Workbench(Path(folder))
        bench.input.write_text("\n".join(["id,x", *(f"{i},1" for i in ids[:300])]))
        source = Source(bench.input, "id")
        bench.api.errors = {i: missing(i) for i in ids[::7]}
        asyncio.run(bench.run(source) if ended else killed(bench, 200, source))
        damage(bench.state / name, at, size, content)
        with bench.input.open("a") as file:
            file.writelines(f"\n{i},1" for i in [*ids[300:], *ids[:20]])
        before = bench.output.read_bytes()
        if refused := refusal_of(bench, source):
            assert "rebuild the export's state" in refused or "move it away" in refused
            assert bench.output.read_bytes().startswith(before)
            asyncio.run(bench.run(source, rebuild_state=True))
        bench.check(ids)


def refusal_of(bench: Workbench, source: Source) -> str:
    """Run an export; returns the error that is for a person to act on, if it ends by one."""
    try:
        asyncio.run(bench.run(source))
    except ExportError as error:
        return str(error) if exit_code(error) in {ExitCode.ACT, ExitCode.WRONG_USAGE} else ""
    return ""


def damage(path: Path, at: float, size: int, content: bytes) -> None:
    """Write over a part of a file, or cut it there."""
    if path.exists():
        data = path.read_bytes()
        start = int(len(data) * at)
        rest = data[start + size :] if content else b""
        path.write_bytes(data[:start] + (content * size)[: len(data) - start] + rest)
