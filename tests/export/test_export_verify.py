"""All of an export's files read, and a state made anew from them."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siteassist_async.errors import BadGatewayError
from siteassist_async.export import (
    ExitCode,
    InputError,
    OutputChangedError,
    OutputInUseError,
    StateError,
    exit_code,
    verify,
)
from siteassist_async.export.store import Store

from .export_fakes import Workbench, missing, new_ids, record_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IDS = new_ids(40)
LINES = ["id", *IDS, IDS[3], "none"]


class KilledError(Exception):
    """Ends a run in disorder."""


async def finished(bench: Workbench) -> None:
    """An export with dead letters of each kind."""
    bench.write(LINES)
    bench.api.errors = {i: missing(i) for i in IDS[:4]}
    bench.api.errors[IDS[9]] = BadGatewayError("gone")
    await bench.finish()


async def test_an_export_that_is_whole(bench: Workbench) -> None:
    """Its counts are told, nothing is changed, and it goes on afterwards."""
    await finished(bench)
    files = bench.files()
    found = verify(bench.output)
    assert (found.records, found.failed, found.invalid) == (35, 5, 2)
    assert (found.faults, found.unfinished) == ((), False)
    assert bench.files() == files
    assert (await bench.finish()).progress.already_there == 35


def edit(bench: Workbench, old: bytes, new: bytes, *, which: str = "output") -> None:
    """Edit the output or the dead letters."""
    path: Path = getattr(bench, which)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def repeat(bench: Workbench) -> None:
    """Put one of the records in place of another."""
    lines = bench.output.read_bytes().splitlines(keepends=True)
    bench.output.write_bytes(b"".join([*lines[:5], lines[3], *lines[6:]]))


EDITS: dict[str, tuple[Callable[[Workbench], object], str, str]] = {
    # the edit, the file, and what is told of it
    "a broken line": (
        lambda bench: edit(bench, b'{"object"', b"######### "),
        "out.jsonl",
        "has no valid record in line 1",
    ),
    "another text": (
        lambda bench: edit(bench, b"conversation", b"Conversation"),
        "out.jsonl",
        "was edited since it was written",
    ),
    "another id": (
        lambda bench: edit(bench, IDS[20].encode(), new_ids(1, seed=9)[0].encode()),
        "out.jsonl",
        f"contains the ID {new_ids(1, seed=9)[0]}, which is not in the input",
    ),
    "an id twice": (repeat, "out.jsonl", "has a second line for the ID"),
    "a line less": (
        lambda bench: edit(bench, record_of(IDS[20]) + b"\n", b""),
        "out.jsonl",
        "has 34 records, but 35 were written",
    ),
    "no output": (lambda bench: bench.output.unlink(), "out.jsonl", "is missing"),
    "more than was written": (
        lambda bench: bench.output.write_bytes(bench.output.read_bytes() + b"note\n"),
        "out.jsonl",
        "has 5 bytes that no export wrote",
    ),
    "a dead letter of what has a record": (
        lambda bench: edit(bench, IDS[1].encode(), IDS[20].encode(), which="dead_letters"),
        "out.failed.jsonl",
        f"has a second line for the ID {IDS[20]}",
    ),
    "a dead letter twice": (
        lambda bench: edit(bench, b'"line":43', b'"line":1 ', which="dead_letters"),
        "out.failed.jsonl",
        "has a second line for line 1 of the input",
    ),
    "a broken dead letter": (
        lambda bench: edit(bench, b'"reason"', b'"reasom"', which="dead_letters"),
        "out.failed.jsonl",
        "has no valid dead letter in line",
    ),
}


@pytest.mark.parametrize("name", EDITS)
async def test_every_edit_is_told_with_its_file(bench: Workbench, name: str) -> None:
    """And the files stay as they are."""
    await finished(bench)
    change, file, message = EDITS[name]
    change(bench)
    files = bench.files()
    found = verify(bench.output)
    told = [fault.what for fault in found.faults if fault.path.name == file]
    assert any(message in what for what in told), found.faults
    assert message in " ".join(map(str, found.faults))
    assert bench.files() == files


async def test_an_export_that_did_not_end_is_told(bench: Workbench) -> None:
    """What stands there so far is whole; the rest comes with the next run."""
    bench.write(IDS)

    def kill(_: str) -> None:
        if len(bench.api.asked) > 20:
            raise KilledError

    bench.api.each = kill
    with pytest.raises(KilledError):
        await bench.job().run()
    found = verify(bench.output)
    assert (found.faults, found.unfinished) == ((), True)


async def test_letters_that_are_being_replaced_are_found(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before they took the place of the others, those that were kept are in the state."""
    await finished(bench)

    def kill(*_: object, **__: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", kill)
        with pytest.raises(KilledError):
            await bench.job(retry_failed=True).run()
    found = verify(bench.output)
    assert (found.faults, found.unfinished, found.invalid) == ((), True, 2)


async def test_what_no_export_wrote_cannot_be_verified(bench: Workbench) -> None:
    """There is nothing to compare it with."""
    bench.output.write_bytes(b"precious\n")
    with pytest.raises(InputError, match="is not the output of an export") as raised:
        verify(bench.output)
    assert exit_code(raised.value) is ExitCode.WRONG_USAGE


async def test_a_damaged_state_cannot_be_compared_with(bench: Workbench) -> None:
    """The error says what to do."""
    await finished(bench)
    state = bench.state / "checkpoint.db"
    content = state.read_bytes()
    state.write_bytes(content[: len(content) // 2])
    with pytest.raises(StateError, match="rebuild the export's state"):
        verify(bench.output)


async def test_a_state_without_a_checkpoint_has_nothing_to_say(bench: Workbench) -> None:
    """As a run leaves that was killed before its first."""
    bench.state.mkdir(mode=0o700)
    Store(bench.state / "checkpoint.db").close()
    found = verify(bench.output)
    assert (found.records, found.faults, found.unfinished) == (0, (), True)


async def test_an_export_that_is_running_is_not_verified(bench: Workbench) -> None:
    """What it writes meanwhile would look like somebody else's."""
    bench.write(IDS)
    errors: list[ExitCode] = []

    def look(_: str) -> None:
        if not errors:
            with pytest.raises(OutputInUseError) as raised:
                verify(bench.output)
            errors.append(exit_code(raised.value))

    bench.api.each = look
    await bench.finish()
    assert errors == [ExitCode.RUN_AGAIN]


async def test_a_lost_state_is_rebuilt(bench: Workbench) -> None:
    """Nothing is asked for twice, and all counts are as they were."""
    await finished(bench)
    before = await bench.finish()
    shutil.rmtree(bench.state)
    files, asked = bench.files(), len(bench.api.asked)
    after = await bench.finish(rebuild_state=True)
    assert bench.files()["out.jsonl"] == files["out.jsonl"]
    assert len(bench.api.asked) == asked
    assert (after.progress.asked, after.counts.failed, after.counts.retryable) == (43, 5, 1)
    assert (after.counts.invalid, after.counts.duplicates) == (
        before.counts.invalid,
        before.counts.duplicates,
    )
    assert verify(bench.output).faults == ()
    bench.append(new_ids(2, seed=5))
    assert (await bench.finish()).progress.exported == 2


async def test_the_state_of_an_export_that_was_not_begun_is_an_empty_one(bench: Workbench) -> None:
    """There is nothing to make it of."""
    bench.write(LINES)
    assert (await bench.finish(rebuild_state=True)).progress.exported == 40
    bench.check(LINES)


@settings(max_examples=40)
@given(
    kept=st.lists(st.booleans(), min_size=len(IDS), max_size=len(IDS)),
    letters=st.lists(st.booleans(), min_size=7, max_size=7),
    torn=st.booleans(),
)
async def test_what_is_missing_from_an_output_is_asked_for(
    tmp_path_factory: pytest.TempPathFactory, kept: list[bool], letters: list[bool], *, torn: bool
) -> None:
    """Whichever lines were deleted, in either file; a torn last line is cut."""
    bench = Workbench(tmp_path_factory.mktemp("bench"))
    await finished(bench)
    keep(bench.output, kept)
    keep(bench.dead_letters, letters)
    if torn:
        with bench.output.open("ab") as file:
            file.write(record_of(IDS[0])[:30])
    bench.api.errors = {}
    left = set[str]() if torn else set(bench.records())
    bench.api.asked.clear()
    await bench.finish(rebuild_state=True)
    bench.check(LINES)
    assert not left & set(bench.api.asked)
    assert verify(bench.output).faults == ()


def keep(path: Path, which: list[bool]) -> None:
    """Delete some lines of a file."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line, is_kept in zip(lines, which, strict=False) if is_kept))


REFUSED: dict[str, tuple[Callable[[Workbench], object], str]] = {
    "a broken line": (lambda bench: edit(bench, b'{"object"', b"#"), "no valid record in line 1"),
    "an id twice": (repeat, "a second line for the ID"),
    "a dead letter twice": (
        lambda bench: edit(bench, IDS[1].encode(), IDS[2].encode(), which="dead_letters"),
        "a second line for the ID",
    ),
    "a broken dead letter": (
        lambda bench: edit(bench, b'"reason"', b'"reasom"', which="dead_letters"),
        "no valid dead letter in line",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_state_is_not_rebuilt_from_what_no_export_wrote(
    bench: Workbench, name: str
) -> None:
    """The error names the line and what to do, and nothing is changed."""
    await finished(bench)
    change, message = REFUSED[name]
    change(bench)
    files = bench.files()
    with pytest.raises(OutputChangedError, match=message) as raised:
        await bench.job(rebuild_state=True).run()
    assert "delete such lines" in str(raised.value)
    assert exit_code(raised.value) is ExitCode.ACT
    assert bench.files() == files
