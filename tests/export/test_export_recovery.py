"""What stands after the last checkpoint: adopted where it is what an export wrote, else cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from siteassist_async.errors import AuthenticationError
from siteassist_async.export import Ending, checkpoint

from .export_fakes import new_ids, record_of

if TYPE_CHECKING:
    from .export_fakes import Workbench

IDS = new_ids(20)
LINES = [IDS[0], "none", *IDS[1:10], IDS[2], "no id", *IDS[10:]]


class BugError(Exception):
    """Ends a run in disorder."""


async def broken_off(bench: Workbench) -> None:
    """Leave an export after its first checkpoint, with nothing written since."""
    bench.write(LINES)

    def fail(_: str) -> None:
        raise BugError

    bench.api.each = fail
    with pytest.raises(BugError):
        await bench.job(limit=1).run()
    bench.api.each = lambda _: None
    bench.api.asked.clear()
    bench.dead_letters.write_bytes(b"")


def record(number: int) -> bytes:
    """One whole line of the output."""
    return record_of(IDS[number]) + b"\n"


TAILS: dict[str, tuple[bytes, int]] = {
    # what stands in the output, how many records of it are adopted
    "nothing": (b"", 0),
    "whole lines": (record(3) + record(0), 2),
    "far ahead": (record(19), 1),
    "a line without its end": (record(3) + record(4)[:-1], 1),
    "half a line": (record(3) + record(4)[:30], 1),
    "the first line torn": (record(3)[9:] + record(4), 0),
    "a hole in the middle": (record(3) + b"\0" * 60 + b"\n" + record(4), 1),
    "a line of zeros in a string": (record(3).replace(b'e":"', b'e":"\0\0'), 0),
    "only zeros": (b"\0" * 5000, 0),
    "not UTF-8": (record(3) + record(4).replace(b'e":"', b'e":"\xff'), 1),
    "no object": (record(3) + b'"' + IDS[4].encode() + b'"\n' + record(5), 1),
    "no id": (record(3) + b'{"object":"conversation"}\n' + record(5), 1),
    "an id that is none": (record(3) + b'{"id":"none"}\n' + record(5), 1),
    "an id of another input": (record(3) + record_of(new_ids(1, seed=9)[0]) + b"\n" + record(5), 1),
    "the same id again": (record(3) + record(4) + record(3) + record(5), 2),
    "lone surrogates": (b"".join(map(record, range(20))), 20),
    "a lone surrogate in what is none": (record(3) + b'{"id":7,"x":"\\ud83d"}\n', 1),
    "an empty line": (record(3) + b"\n" + record(4), 1),
}


@pytest.mark.parametrize("name", TAILS)
async def test_records_are_adopted_up_to_the_first_that_is_none(
    bench: Workbench, name: str
) -> None:
    """What was adopted is not asked for again; what was cut is."""
    tail, adopted = TAILS[name]
    await broken_off(bench)
    bench.output.write_bytes(tail)
    summary = await bench.finish()
    bench.check(LINES)
    assert summary.progress.already_there == adopted
    assert len(bench.api.asked) == 20 - adopted
    assert bench.output.read_bytes().startswith(b"".join(tail.splitlines(keepends=True)[:adopted]))


async def letters_of(bench: Workbench) -> list[bytes]:
    """The dead letters of a whole export, each with its line break."""
    bench.write(LINES)
    await bench.finish()
    lines = bench.dead_letters.read_bytes().splitlines(keepends=True)
    for path in (bench.output, bench.dead_letters, *bench.state.iterdir()):
        path.unlink()
    return lines


async def test_dead_letters_are_adopted_too(bench: Workbench) -> None:
    """By the line of the input, where it is no id; one that is cut is written once more."""
    first, second = await letters_of(bench)
    for tail, adopted in ((first + second, 2), (second, 1), (second + first[:-3], 1), (b"{}\n", 0)):
        await broken_off(bench)
        bench.output.write_bytes(record(12))
        bench.dead_letters.write_bytes(tail)
        summary = await bench.finish()
        bench.check(LINES)
        assert summary.counts.invalid == 2
        kept = b"".join(tail.splitlines(keepends=True)[:adopted])
        assert bench.dead_letters.read_bytes().startswith(kept)
        for path in (bench.output, bench.dead_letters, *bench.state.iterdir()):
            path.unlink()


async def test_a_run_that_is_stopped_at_once_leaves_what_was_in_flight(bench: Workbench) -> None:
    """The ids that an earlier run had in flight stay open for the next."""
    bench.write(LINES)

    def end(conversation_id: str) -> None:
        if conversation_id == IDS[5]:
            bench.api.otherwise = AuthenticationError("who?")

    bench.api.each = end
    refused = await bench.run()
    assert refused.ending is Ending.BLOCKED
    bench.api.each = lambda _: None
    bench.api.otherwise = None
    asked = list(bench.api.asked)
    job = bench.job()
    job.stop()
    assert (await job.run()).progress.asked == refused.progress.asked
    assert bench.api.asked == asked
    await bench.finish()
    bench.check(LINES)


async def test_a_system_that_does_not_name_its_starts_is_trusted(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no boot id, lines are adopted for being whole."""
    monkeypatch.setattr(checkpoint, "_BOOT_ID", bench.folder / "missing")
    await broken_off(bench)
    bench.output.write_bytes(record(3))
    assert (await bench.finish()).progress.already_there == 1


async def test_after_a_start_of_the_machine_nothing_is_adopted(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that were not synced may be whole and yet not what was written."""
    await broken_off(bench)
    bench.output.write_bytes(record(3))
    bench.dead_letters.write_bytes(b"{}\n")
    boot = bench.folder / "boot_id"
    boot.write_text("another start")
    monkeypatch.setattr(checkpoint, "_BOOT_ID", boot)
    assert (await bench.finish()).progress.already_there == 0
    bench.check(LINES)


async def killed(bench: Workbench, after: int) -> set[str]:
    """Run an export that is killed after so many answers, before its next checkpoint."""
    bench.api.asked.clear()

    def kill(_: str) -> None:
        if len(bench.api.asked) > after:
            raise BugError

    bench.api.each = kill
    with pytest.raises(BugError):
        await bench.job(limit=1).run()
    bench.api.each = lambda _: None
    bench.api.asked.clear()
    return set(bench.records())


async def test_a_kill_after_an_orderly_end_loses_nothing(bench: Workbench) -> None:
    """What that run wrote is its own, though the run before it had ended in order."""
    bench.write(IDS[:5])
    await bench.finish()
    bench.append(IDS[5:])
    written = await killed(bench, 8)
    assert len(written) == 13
    await bench.finish()
    assert not written & set(bench.api.asked)
    bench.check(IDS)


async def test_a_kill_after_a_start_of_the_machine_loses_nothing(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written since that start is adopted."""
    bench.write(IDS)
    await killed(bench, 5)
    boot = bench.folder / "boot_id"
    boot.write_text("another start")
    monkeypatch.setattr(checkpoint, "_BOOT_ID", boot)
    written = await killed(bench, 8)
    assert len(written) == 8
    await bench.finish()
    assert not written & set(bench.api.asked)
    bench.check(IDS)


async def test_a_line_for_what_is_a_duplicate_is_cut(bench: Workbench) -> None:
    """Its id has a record before the checkpoint, so no export wrote another."""
    lines = [*IDS[:10], IDS[0]]
    bench.write(lines[:5])
    await bench.finish()
    bench.append(lines[5:])
    await killed(bench, 3)
    with bench.output.open("ab") as output:
        output.write(record(0))
    await bench.finish()
    bench.check(lines)
