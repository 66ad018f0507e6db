"""The power goes at any moment, and takes what was not synced: every id comes out once."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from siteassist_async.errors import InternalServerError
from siteassist_async.export import ExportError, OutputChangedError, OutputError, Source, checkpoint

from .export_fakes import Options, Workbench, missing, new_ids
from .failing_disk import watched
from .volatile_disk import Moment, undying, unthreaded, volatile

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from .volatile_disk import VolatileDisk

IDS = new_ids(40)
EXAMPLES = int(os.environ.get("EXPORT_HISTORIES", "25"))
"""How many histories are tried; more of them on demand."""

SEEDS = int(os.environ.get("EXPORT_LOSSES", "2"))
"""How many ways of losing what was not synced are tried at each moment."""


LINES = [*IDS[:3], "none", *IDS[3:14], IDS[2], "x" * 600, IDS[14]]


class KilledError(Exception):
    """Ends a run in disorder."""


@frozen
class Loss:
    """How one run ends.

    Attributes:
        killed: After how many answers a run before it was killed.
        at: The moment: the part of the runs that is behind it.
        seed: What is lost then.
        retry_failed: Whether the run asks again for what failed.
    """

    killed: int
    at: float
    seed: int
    retry_failed: bool


class Machine:
    """An export, and a machine whose power goes.

    Args:
        folder: Where all of it is; the input is not of the export, and so is never lost.
        column: Whether the input is rows, of which the ids are a column.
        seconds: That pass with each request.
        suffix: As a workbench has it.
    """

    def __init__(
        self,
        folder: Path,
        lines: list[str],
        *,
        column: bool = False,
        seconds: float = 0.3,
        suffix: str = "",
    ) -> None:
        self.bench = bench = Workbench(folder / "bench", suffix)
        bench.folder.mkdir()
        bench.input = folder / "ids"
        self._column = column
        self.write(lines)
        bench.api.errors = {i: missing(i) for i in IDS[::5]}
        bench.api.errors[IDS[11]] = InternalServerError("gone")
        bench.api.before = self._wait
        self._source = Source(bench.input, "id" if column else None)
        self._seconds = seconds
        self._answers = 0
        self._deaths: dict[int, Callable[[], None]] = {}
        self._attic = folder / "attic"
        self._starts = folder / "boot_id"
        self._starts.write_text("1")

    def write(self, lines: list[str]) -> None:
        """Make the input."""
        rows = ["id,name", *(f"{line},x" for line in lines)]
        self.bench.write(rows if self._column else lines)

    async def _wait(self) -> None:
        for _ in range(4 * (len(self.bench.api.asked) % 9) + 1):  # so that some overtake others
            self.bench.clock.time += self._seconds / 16
            await asyncio.sleep(0)
        self._answers += 1
        if die := self._deaths.get(self._answers):
            die()

    def run(self, **options: Unpack[Options]) -> None:
        """Run the export to its end."""
        with watched(), pytest.MonkeyPatch.context() as patch:
            unthreaded(patch)
            asyncio.run(self.bench.finish(self._source, **options))

    def kill(self, disk: VolatileDisk, after: int, **options: Unpack[Options]) -> None:
        """Run the export until so many ids were answered; nothing is closed at its end."""

        def die() -> None:
            disk.dead = True
            raise KilledError

        self._deaths[self._answers + after] = die
        with suppress(KilledError, ExportError):
            asyncio.run(self.bench.run(self._source, **options))
        self._deaths.clear()
        disk.dead = False

    def moments(self, deaf: Iterable[str] = (), **options: Unpack[Options]) -> list[Moment]:
        """Run the export to its end; returns the moments at which the power might have gone."""
        with volatile(self.bench.folder, deaf) as disk:
            asyncio.run(self.bench.finish(self._source, **options))
        return disk.moments

    def moments_after_kill(self, after: int, **options: Unpack[Options]) -> list[Moment]:
        """The same, where a run was killed before it, so that its files may be lost too."""
        with volatile(self.bench.folder) as disk:
            self.kill(disk, after, **options)
            asyncio.run(self.bench.finish(self._source, **options))
        return disk.moments

    def lose(self, moment: Moment, seed: int) -> None:
        """Go back to a moment, lose what was not durable then, and start anew."""
        moment.restore(self.bench.folder, self._attic, random.Random(seed))
        self._starts.write_text(f"{self._starts.read_text()}1")


@contextmanager
def machine(
    lines: list[str], *, column: bool = False, seconds: float = 0.3, suffix: str = ""
) -> Generator[Machine]:
    """Have a machine with the export of these lines."""
    with (
        tempfile.TemporaryDirectory() as folder,
        undying(Path(folder, "attic")),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(checkpoint, "_BOOT_ID", Path(folder, "boot_id"))
        yield Machine(Path(folder), lines, column=column, seconds=seconds, suffix=suffix)


RUNS: dict[str, Options] = {
    "the first": {},
    "one that asks again": {"retry_failed": True},
    "one that begins anew": {"restart": True},
    "one with more ids": {},
}


def moments_of(
    name: str, machine: Machine, lines: list[str], deaf: Iterable[str] = ()
) -> list[Moment]:
    """Make the run; where it is not the first, there was one before it."""
    if name != "the first":
        machine.write(lines[:8] if name == "one with more ids" else lines)
        machine.run()
        machine.write(lines)
        del machine.bench.api.errors[IDS[0]]
    return machine.moments(deaf, **RUNS[name])


@pytest.mark.parametrize("column", [False, True], ids=["plain", "column"])
@pytest.mark.parametrize("name", RUNS)
def test_the_power_may_go_at_any_moment(name: str, column: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """The next run completes; where the files were being deleted, it may have to be said again."""
    lines = [line for line in LINES if len(line) == 36] if column else LINES
    with machine(lines, column=column) as mine:
        for moment, seed in product(moments_of(name, mine, lines), range(SEEDS)):
            mine.lose(moment, seed)
            try:
                mine.run()
            except OutputChangedError:
                if "restart" not in RUNS[name]:
                    raise
                mine.run(restart=True)
            mine.bench.check(lines)


@pytest.mark.parametrize("killed", [5, 7, 8, 40])
def test_the_power_may_go_while_a_half_written_line_is_taken_back(killed: int) -> None:
    """What a killed run had written is durable before a checkpoint counts on it."""
    lines = [*LINES[:9], IDS[9], IDS[10]]
    with machine(lines[:9]) as mine:
        with mine.bench.input.open("a") as file:
            file.write(lines[9][:5])
        with volatile(mine.bench.folder) as disk:
            mine.kill(disk, killed, limit=40)
            mine.write(lines)
            asyncio.run(mine.bench.finish())
        for moment, seed in product(disk.moments, range(SEEDS)):
            mine.lose(moment, seed)
            mine.run()
            mine.bench.check(lines)


@pytest.mark.parametrize("killed", [3, 9, 14])
def test_the_power_may_go_while_a_state_is_rebuilt(killed: int) -> None:
    """The next run completes, or says that the state is to be rebuilt."""
    with machine(LINES) as mine:
        store, journal = mine.bench.state / "checkpoint.db", mine.bench.state / "checkpoint.db-wal"
        with volatile(mine.bench.folder) as disk:
            mine.kill(disk, killed)
            old = journal.stat().st_ino
            asyncio.run(mine.bench.finish(rebuild_state=True))
        new = store.stat().st_ino
        for moment, seed in product(disk.moments, range(50)):
            left = moment.left(random.Random(seed))
            assert left.get(str(store)) != new or left.get(str(journal)) != old
        for moment, seed in product(disk.moments, range(SEEDS)):
            mine.lose(moment, seed)
            try:
                mine.run()
            except OutputError:
                mine.run(rebuild_state=True)
            mine.bench.check(LINES)


losses = st.builds(
    Loss,
    killed=st.integers(1, 40),
    at=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
    retry_failed=st.booleans(),
)
ids = st.sampled_from([*IDS, IDS[0].upper()])


@settings(max_examples=EXAMPLES)
@given(
    lines=st.lists(ids | st.sampled_from(["", "none", "x" * 17000]), min_size=1).filter(
        lambda lines: any(len(line) == 36 for line in lines)
    ),
    history=st.lists(losses, min_size=1, max_size=3),
    limit=st.integers(1, 10),
    seconds=st.floats(0, 1.5),
)
def test_every_history_of_losses_of_power_ends_with_every_id_once(
    lines: list[str], history: list[Loss], limit: int, seconds: float
) -> None:
    """However often it goes, no run needs anybody's help."""
    with machine(lines, seconds=seconds) as mine:
        for loss in history:
            moments = mine.moments_after_kill(
                loss.killed, limit=limit, retry_failed=loss.retry_failed
            )
            mine.lose(moments[round(loss.at * (len(moments) - 1))], loss.seed)
        mine.run(limit=limit)
        mine.bench.check(lines)


@pytest.mark.parametrize("deaf", ["file", "folder"])
def test_the_model_tells_when_syncs_do_nothing(deaf: str) -> None:
    """So what passes the tests above passes because of them."""
    stuck = 0
    with machine(LINES) as mine:
        for number, moment in enumerate(moments_of("the first", mine, LINES, [deaf])):
            mine.lose(moment, number)
            try:
                mine.run()
            except (ExportError, AssertionError):
                stuck += 1
    assert stuck


@pytest.mark.parametrize("killed", [2, 9])
def test_an_export_may_begin_anew_after_any_loss(killed: int) -> None:
    """Whatever stands in its files now, they are its own, and it need not be told to move them."""
    with machine(LINES) as mine:
        moments = mine.moments_after_kill(killed)
        for moment, seed in product(moments, range(SEEDS)):
            mine.lose(moment, seed)
            mine.run(restart=True)
            mine.bench.check(LINES)
