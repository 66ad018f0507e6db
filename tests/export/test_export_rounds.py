"""An input that was rewritten, conversations that changed: what is there is not fetched again."""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import pytest
from attrs import frozen
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from siteassist_async.errors import BadGatewayError
from siteassist_async.export import (
    Ending,
    ExitCode,
    InputChangedError,
    OutputChangedError,
    Source,
    Summary,
    checkpoint,
    exit_code,
    verify,
)
from siteassist_async.export.lines import glance
from siteassist_async.export.store import Held
from siteassist_async.export.values import NO_VERSION, UNKNOWN_VERSION, version_of

from .export_fakes import Workbench, missing, new_ids
from .failing_disk import PowerLossError, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .export_fakes import Options

IDS = new_ids(30)
HISTORIES = int(os.environ.get("EXPORT_HISTORIES", "40"))
"""How many histories are tried; more of them on demand."""


class Changing(Workbench):
    """An export of conversations that change.

    Attributes:
        days: The day on which each conversation changed last, from 0.
        closed: The conversations that are not open.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.days: defaultdict[str, int] = defaultdict(int)
        self.closed: set[str] = set()
        self.api.make = self.record
        self.csv = folder / "ids.csv"

    def record(self, conversation_id: str) -> bytes:
        """What the API sends."""
        status = "closed" if conversation_id in self.closed else "open"
        time = self.time(conversation_id)
        record = {"id": conversation_id, "object": "conversation", "updatedAt": time}
        return json.dumps(record | {"status": status}).encode()

    def time(self, conversation_id: str) -> str:
        """When the conversation changed."""
        return (
            datetime(2026, 1, 1, tzinfo=UTC) + timedelta(self.days[conversation_id])
        ).isoformat()

    def make_list(self, ids: Iterable[str]) -> None:
        """List conversations with their times, as they are now."""
        self.csv.write_text("".join(["id,updatedAt\n", *(f"{i},{self.time(i)}\n" for i in ids)]))

    def export(self, source: Path | None = None, **options: Unpack[Options]) -> Summary:
        """Export what was listed, and verify it."""
        self.api.asked.clear()
        column = None if source else "id"
        job = self.job(Source(source or self.csv, column), **options)
        with watched():
            summary = asyncio.run(job.run())
        found = verify(self.output)
        assert (found.faults, found.unfinished) == ((), False)
        assert found.records == len(self.newest())
        assert found.updated == summary.counts.updated
        assert summary.exported + summary.progress.already_there == found.records + found.updated
        assert (found.failed, found.invalid) == (summary.failed, summary.counts.invalid)
        assert summary.progress.asked == summary.counts.claimed
        return summary

    def written(self) -> list[dict[str, Any]]:
        """All records."""
        return [json.loads(line) for line in self.output.read_bytes().splitlines()]

    def newest(self) -> dict[str, bytes]:
        """The last record of each ID; no record is written twice in a row."""
        lines = defaultdict[str, list[bytes]](list)
        for line in self.output.read_bytes().splitlines() if self.output.exists() else ():
            lines[json.loads(line)["id"]].append(line)
        assert not any(a == b for same in lines.values() for a, b in pairwise(same))
        return {conversation_id: same[-1] for conversation_id, same in lines.items()}


@pytest.fixture
def changing(tmp_path: Path) -> Changing:
    """An export that is yet to begin."""
    return Changing(tmp_path)


NEW = new_ids(10, seed=2)

REWRITES: dict[str, tuple[Callable[[list[str]], str], int]] = {
    # what becomes of the list, and how many IDs are new
    "shorter": (lambda ids: "\n".join(ids[:5]), 0),
    "another order": (lambda ids: "\n".join(reversed(ids)), 0),
    "another line end": (lambda ids: "\r\n".join(ids) + "\r\n", 0),
    "new at the front": (lambda ids: "\n".join([*NEW, *ids]), 10),
    "half of it": (lambda ids: "\n".join([*NEW, *ids[15:]]), 10),
    "one deleted": (lambda ids: "\n".join([*ids[:3], *ids[4:], NEW[0]]), 1),
    "braces": (lambda ids: "\n".join(f"{{{i.upper()}}}" for i in ids), 0),
    "a last line that goes on": (lambda ids: "\n".join(ids) + NEW[0], 0),
}


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("name", REWRITES)
def test_a_list_that_was_rewritten_goes_on_by_its_ids(
    changing: Changing, name: str, *, killed: bool
) -> None:
    """At the end of a run or amid it, even killed: what is there is not fetched again."""
    rewrite, new = REWRITES[name]
    changing.input.write_text("\n".join(IDS))
    if killed:
        kill(changing, 20)
    else:
        changing.export(changing.input)
    there = set(changing.newest())
    changing.input.write_text(rewrite(IDS))
    summary = changing.export(changing.input)
    assert not there & set(changing.api.asked)
    assert summary.ending is Ending.FINISHED
    assert killed or (summary.exported, summary.counts.unchanged) == (
        new,
        len(there & set(changing.input.read_text().lower().replace("{", "").split())) or 30,
    )
    changing.export(changing.input)
    assert changing.api.asked == []
    changing.input.write_text(rewrite(IDS) + f"\n{NEW[9]}\n{NEW[8]}\n")
    changing.export(changing.input)
    assert set(changing.api.asked) == {NEW[9], NEW[8]} - (set(NEW) if new == 10 else set())


def kill(changing: Changing, after: int) -> None:
    """End a run in disorder."""

    def fail(_: str) -> None:
        changing.clock.time += 0.3  # so that there are checkpoints
        if len(changing.api.asked) > after:
            raise PowerLossError

    changing.api.each = fail
    changing.api.before = partial(asyncio.to_thread, len, "")  # type: ignore[assignment] # pyright: ignore[reportAttributeAccessIssue] # awaited only
    with watched(), pytest.raises(PowerLossError):
        asyncio.run(changing.job().run())
    changing.api.each = lambda _: None


@pytest.mark.parametrize("restarted", [False, True])
def test_a_killed_run_and_a_rewritten_list(
    changing: Changing, monkeypatch: pytest.MonkeyPatch, *, restarted: bool
) -> None:
    """What it wrote since its last checkpoint counts, letters and updates too."""
    changing.input.write_text("\n".join([*IDS[:25], "none"]))
    changing.export(changing.input)
    changing.days.update(dict.fromkeys(IDS[:9], 1))
    changing.api.errors = {i: missing(i) for i in (IDS[3], IDS[26])}
    changing.make_list([*IDS[:28], "none", *IDS[28:]])
    with changing.csv.open("a") as file:
        file.write("nor this,\n")
    changing.api.asked.clear()

    def fail(_: str) -> None:
        if len(changing.api.asked) == 13:
            raise PowerLossError

    changing.api.each = fail
    with watched(), pytest.raises(PowerLossError):
        asyncio.run(changing.job(Source(changing.csv, "id"), limit=1).run())
    changing.api.each = lambda _: None
    there = {*changing.newest(), *(letter["id"] for letter in changing.letters())}
    asked = there.intersection(changing.api.asked)
    assert len(asked) > 10
    changing.api.asked.clear()
    if restarted:
        (changing.folder / "boot_id").write_text("another")
        monkeypatch.setattr(checkpoint, "_BOOT_ID", changing.folder / "boot_id")
    changing.make_list([*reversed(IDS), "nor this"])
    summary = changing.export()
    assert restarted or not asked & set(changing.api.asked)
    assert sorted(changing.newest()) == sorted(set(IDS) - {IDS[26]})
    assert (summary.failed, summary.counts.invalid, summary.counts.updated) == (2, 1, 8)


@pytest.mark.parametrize("rebuild_state", [False, True])
@pytest.mark.parametrize("known", [0, 9])
def test_another_jobs_list_is_refused(
    changing: Changing, known: int, *, rebuild_state: bool
) -> None:
    """With what was counted, and nothing is written; unless any input is welcome."""
    changing.input.write_text("\n".join(IDS[:20]))
    changing.export(changing.input)
    files = changing.files()
    changing.input.write_text("\n".join([*NEW, *new_ids(10, seed=5), *IDS[:known]]))
    with pytest.raises(InputChangedError, match=f"has only {known} of the 20 IDs") as raised:
        changing.export(changing.input, rebuild_state=rebuild_state)
    assert "20 others, so it is taken for another job's input" in str(raised.value)
    assert exit_code(raised.value) is ExitCode.WRONG_USAGE
    assert (changing.files(), changing.api.asked) == (files, [])
    summary = changing.export(changing.input, any_input=True, rebuild_state=rebuild_state)
    assert (summary.exported, summary.counts.unchanged) == (20, known)


def test_looking_at_a_list_can_be_stopped(changing: Changing) -> None:
    """What the export holds stays."""
    changing.input.write_text("\n".join(IDS))
    changing.export(changing.input)
    changing.input.write_text("\n".join(reversed(IDS)))
    job = changing.job()
    job.stop()
    assert asyncio.run(job.run()).ending is Ending.STOPPED
    assert (changing.export(changing.input).counts.unchanged, changing.api.asked) == (30, [])


def test_dead_letters_go_with_the_list(changing: Changing) -> None:
    """Those of lines are met again where they are now; those of IDs stay, and are not asked for."""
    changing.input.write_text("\n".join(["x", *IDS, "y"]))
    changing.api.errors = {i: missing(i) for i in IDS[:3]}
    changing.export(changing.input)
    changing.input.write_text("\n".join([*reversed(IDS), "y", IDS[0]]))
    summary = changing.export(changing.input)
    assert changing.api.asked == []
    assert [(x["id"], x["line"]) for x in changing.letters() if x["line"]] == [("y", 31)]
    assert (summary.counts.unchanged, summary.counts.settled) == (27, 3)
    assert (summary.failed, summary.counts.duplicates, summary.progress.asked) == (3, 1, 32)
    changing.api.errors.popitem()
    summary = changing.export(changing.input, retry_failed=True)
    assert (sorted(changing.api.asked), summary.exported) == (sorted(IDS[:3]), 1)
    assert (summary.failed, summary.progress.asked) == (2, 32)


def test_only_what_changed_is_fetched_again(changing: Changing) -> None:
    """Given a list of versions, in any order; the new record comes after the old one."""
    changing.make_list(IDS)
    changing.export()
    changing.days.update(dict.fromkeys(IDS[5:8], 1))
    changing.make_list([*reversed(IDS), *NEW[:2]])
    summary = changing.export()
    assert sorted(changing.api.asked) == sorted([*IDS[5:8], *NEW[:2]])
    assert (summary.exported, summary.progress.updated, summary.counts.unchanged) == (5, 3, 27)
    assert summary.progress.asked == 32
    assert all(
        json.loads(line)["updatedAt"] == changing.time(i) for i, line in changing.newest().items()
    )
    changing.export()
    changing.make_list(IDS)  # with another time of its file
    assert changing.export().counts.unchanged == 30
    assert changing.api.asked == []


def test_a_plain_list_may_come_to_have_versions(changing: Changing) -> None:
    """What is compared is in the records."""
    changing.input.write_text("\n".join(IDS))
    changing.export(changing.input)
    changing.days[IDS[3]] = 1
    changing.make_list(IDS)
    changing.export()
    assert changing.api.asked == [IDS[3]]


def test_a_newer_version_further_down_is_fetched(changing: Changing) -> None:
    """As in a list to which what has changed is appended; an older one is a duplicate."""
    changing.make_list(IDS)
    changing.export()
    for day in (1, 2):
        changing.days[IDS[3]] = day
        with changing.csv.open("a") as file:
            file.write(f"{IDS[3]},{changing.time(IDS[3])}\n")
            file.write(f"{IDS[3]},2025-01-01\n{IDS[4]},2025-01-01\n")
        summary = changing.export()
        assert (changing.api.asked, summary.progress.updated) == ([IDS[3]], 1)
    assert summary.counts.duplicates == 5


def test_a_time_of_another_clock_counts_too(changing: Changing) -> None:
    """What was fetched at a time that the list named is current until it names a later one."""
    changing.csv.write_text("id,updatedAt\n" + "".join(f"{i},2027-01-01\n" for i in IDS))
    changing.api.errors[IDS[4]] = missing(IDS[4])
    changing.export()
    changing.csv.write_text("updatedAt,id\n" + "".join(f"2027-01-01,{i}\n" for i in IDS))
    changing.export()
    assert changing.api.asked == []


def test_a_time_that_cannot_be_read_is_a_reason_to_ask(changing: Changing) -> None:
    """What comes is the same, and is not written again."""
    changing.make_list(IDS)
    changing.export()
    content = changing.output.read_bytes()
    changing.csv.write_text("id,updatedAt\n" + "".join(f"{i},?\n" for i in IDS))
    summary = changing.export()
    assert sorted(changing.api.asked) == sorted(IDS)
    assert (summary.exported, summary.counts.unchanged) == (0, 30)
    assert changing.output.read_bytes() == content


def test_a_change_that_cannot_be_fetched_is_a_dead_letter(changing: Changing) -> None:
    """Beside the older record, until it is tried again."""
    changing.make_list(IDS)
    changing.export()
    changing.days[IDS[3]] = 1
    changing.api.errors[IDS[3]] = BadGatewayError("x")
    changing.make_list(IDS)
    summary = changing.export()
    assert (summary.failed, summary.counts.unchanged) == (1, 29)
    changing.days[IDS[3]] = 2
    changing.make_list(IDS)
    changing.api.errors.clear()
    changing.export()
    assert changing.api.asked == []
    summary = changing.export(retry_failed=True)
    assert (summary.progress.updated, summary.failed) == (1, 0)


def test_those_that_were_open_are_asked_again(changing: Changing) -> None:
    """Only they, first, once, and only what has changed is written."""
    changing.closed.update(IDS[10:])
    changing.input.write_text("\n".join(IDS))
    changing.api.errors[IDS[0]] = missing(IDS[0])
    changing.export(changing.input)
    changing.closed.update(IDS[:5])
    changing.days.update(dict.fromkeys(IDS[:5], 1))
    changing.api.errors[IDS[1]] = BadGatewayError("x")
    with changing.input.open("a") as file:
        file.write(f"\n{NEW[0]}\n{IDS[2]}\n")
    summary = changing.export(changing.input, refresh_open=True)
    assert sorted(changing.api.asked[:9]) == sorted(IDS[1:10])
    assert (changing.api.asked[-1], summary.exported, summary.progress.updated) == (NEW[0], 4, 3)
    assert (summary.counts.unchanged, summary.failed, summary.progress.asked) == (5, 2, 32)
    changing.api.errors.clear()
    summary = changing.export(changing.input, refresh_open=True, retry_failed=True)
    assert sorted(changing.api.asked) == sorted([*IDS[:2], *IDS[5:10], NEW[0]])
    assert (summary.exported, summary.progress.updated, summary.failed) == (2, 1, 0)
    changing.closed.update([*IDS, *NEW])
    changing.export(changing.input, refresh_open=True)
    changing.export(changing.input, refresh_open=True)
    assert changing.api.asked == []


def test_asking_again_goes_on_with_a_rewritten_list(changing: Changing) -> None:
    """Those that were asked for are not asked a second time by the list."""
    changing.input.write_text("\n".join(IDS))
    changing.export(changing.input)
    changing.days.update(dict.fromkeys(IDS, 1))
    job = changing.job(refresh_open=True, limit=1)
    changing.api.asked.clear()
    changing.api.each = lambda _: job.stop() if len(changing.api.asked) == 10 else None
    asyncio.run(job.run())
    changing.api.each = lambda _: None
    first = set(changing.api.asked)
    changing.make_list(reversed(IDS))
    summary = changing.export(refresh_open=True)
    assert set(changing.api.asked) == set(IDS) - first
    assert summary.counts.updated == 30


def test_a_state_is_rebuilt_from_what_was_fetched_again(changing: Changing) -> None:
    """The last record of an ID counts; the same one twice is no update."""
    changing.make_list(IDS)
    changing.export()
    changing.days[IDS[3]] = 1
    changing.make_list(IDS)
    changing.export()
    changing.make_list(reversed(IDS))
    summary = changing.export(rebuild_state=True)
    assert (changing.api.asked, summary.counts.unchanged, summary.counts.updated) == ([], 30, 1)
    last = changing.output.read_bytes().splitlines()[-1]
    with changing.output.open("ab") as file:
        file.write(last + b"\n")
    with pytest.raises(OutputChangedError, match="has a second line for the ID"):
        changing.export(rebuild_state=True)


def test_an_update_that_was_deleted_is_missed(changing: Changing) -> None:
    """By its number, since the older record is there."""
    changing.make_list(IDS)
    changing.export()
    changing.days[IDS[3]] = 1
    changing.make_list(IDS)
    changing.export()
    lines = changing.output.read_bytes().splitlines(keepends=True)
    changing.output.write_bytes(b"".join(lines[:-1]))
    told = " ".join(str(fault) for fault in verify(changing.output).faults)
    assert "has 30 records, but 31 were written" in told
    assert "has 0 records of IDs that had one, but 1 were written" in told


@pytest.mark.parametrize(
    ("line", "version", "is_open"),
    [
        (b'{"id":"%s"}', UNKNOWN_VERSION, False),
        (b'{"id":"%s","updatedAt":7,"status":["open"]}', UNKNOWN_VERSION, False),
        (
            b'{"id":"%s","x":"\\ud800","updatedAt":"1970-01-01T00:00:01Z","status":"open"}',
            10**6,
            True,
        ),
        (b'{"id":"%s","x":"\xff"}', UNKNOWN_VERSION, False),
        (b'{"id":"%s","status":"\\ud800"}', UNKNOWN_VERSION, False),
    ],
)
def test_what_the_index_knows_of_a_record(line: bytes, version: int, *, is_open: bool) -> None:
    """Of odd ones too."""
    found = glance(line % IDS[0].encode())
    assert (found.id, found.version, found.is_open) == (IDS[0], version, is_open)


def test_which_record_is_current() -> None:
    """Where the list names no version, any is; where it is unknown, none."""
    held = Held(5, 0, is_open=False)
    found = [held.is_current(version) for version in (NO_VERSION, UNKNOWN_VERSION, 4, 5, 6)]
    assert found == [True, False, True, True, False]


@frozen
class Step:
    """What happens before a run, and to it.

    Attributes:
        changes: The conversations that change.
        order: How the list is shuffled; 0 if it stays as it is.
        listed: How many conversations it has.
        plain: Whether it names no versions.
        end: The change to a file before which the run is killed; 0 if it ends by itself.
        restarted: Whether the machine is started anew after that.
        retry: Whether it asks again for what failed, and for what was open.
    """

    changes: set[int]
    order: int
    listed: int
    plain: bool
    end: int
    restarted: bool
    retry: bool
    broken: int


steps = st.builds(
    Step,
    changes=st.sets(st.integers(0, 29), max_size=5),
    order=st.integers(0, 3),
    listed=st.integers(16, 30),
    plain=st.booleans(),
    end=st.integers(0, 40),
    restarted=st.booleans(),
    retry=st.booleans(),
    broken=st.integers(0, 40),
)


@settings(max_examples=HISTORIES, deadline=None, phases=[Phase.reuse, Phase.generate])
@given(history=st.lists(steps, max_size=6), limit=st.integers(1, 8))
def test_every_history_of_lists_and_kills_ends_with_what_is_newest(
    history: list[Step], limit: int
) -> None:
    """Each conversation of the last list as it is now, and no record twice in a row."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        bench = Changing(Path(folder))
        for number, step in enumerate(history):
            bench.days.update({IDS[i]: bench.days[IDS[i]] + 1 for i in step.changes})
            bench.closed = set(IDS[step.order * 5 :])
            bench.api.errors = {IDS[i]: BadGatewayError("x") for i in [step.broken] if i < 30}
            for error in bench.api.errors.values():
                error.isolated = True
            if step.order or not bench.csv.exists():
                ids = IDS[: step.listed]
                random.Random(step.order).shuffle(ids)
                bench.make_list(ids)
                bench.input.write_text("".join(f"{i}\n" for i in ["x", *ids]))
            run_to(step, bench, limit)
            if step.restarted:
                boot = bench.folder / "boot_id"
                boot.write_text(str(number))
                patch.setattr(checkpoint, "_BOOT_ID", boot)
        bench.api.errors.clear()
        bench.make_list(IDS)
        bench.export(limit=limit, retry_failed=True)
        newest = bench.newest()
        assert sorted(newest) == sorted(IDS)
        for conversation_id, line in newest.items():
            assert version_of(json.loads(line)["updatedAt"]) == version_of(
                bench.time(conversation_id)
            )
        bench.make_list(reversed(IDS))
        assert bench.export().counts.unchanged == 30
        assert bench.api.asked == []


def run_to(step: Step, bench: Changing, limit: int) -> None:
    """Run an export until it is killed, or to its end."""

    def fail(number: int, _: str) -> None:
        if number == step.end:
            raise PowerLossError

    source = Source(bench.input) if step.plain else Source(bench.csv, "id")
    job = bench.job(source, limit=limit, retry_failed=step.retry, refresh_open=step.retry)
    with watched() as disk, suppress(PowerLossError):
        disk.before = fail
        asyncio.run(job.run())
