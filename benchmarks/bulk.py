"""Many ids: the rate and the memory of `get_many` and of an export beside a plain loop."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import bulk_runs
import msgspec
from attrs import define, field
from bulk_runs import WAYS, Taken
from outcome import Outcome, Table, Target, parse, publish
from resuming import RATE, STRETCH, seconds_to_resume
from rounds import QUICK, Results, Spent, play
from server import serving

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MESSAGES = 10
PLAIN, EXPORT = bulk_runs.plain_lines.__name__, bulk_runs.export.__name__


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = parse(__doc__ or "", argv, ids=100_000)
    quick = options.effort is QUICK
    most = options.ids // 20 if quick else options.ids
    rounds = {most // 10: 5 if quick else 9, most: 1 if quick else 5}
    publish(measure(rounds, resumed=most if quick else 50 * most), options.json)


def measure(
    rounds: Mapping[int, int], *, resumed: int, resumes: int = 5, stretch: int = STRETCH
) -> Outcome:
    """Run each number of ids in so many rounds; then resume an export of `resumed` ids."""
    with serving([MESSAGES]) as server:
        url = server.sites[MESSAGES].base_url
        runs = {count: _Runs(count, url) for count in rounds}
        results = {count: run.rounds(rounds[count]) for count, run in runs.items()}
    with tempfile.TemporaryDirectory() as folder:
        resuming = seconds_to_resume(Path(folder), resumed, resumes, stretch) * 1000
    least, most = min(rounds), max(rounds)
    growth = runs[most].peak(EXPORT) / runs[least].peak(EXPORT)
    return Outcome(
        f"bulk, {server.kind}",
        [_table(runs[count], of_count) for count, of_count in results.items()],
        [
            Target(
                f"export of {most:,} ids, x a plain loop that writes lines",
                results[most].speed(EXPORT, PLAIN).median,
                at_least=0.9,
            ),
            Target(f"memory for {most:,} ids, x {least:,}", growth, at_most=1.1),
            Target(
                f"ms until an export killed after {resumed:,} ids at {RATE:,.0f}/s goes on",
                resuming,
                at_most=50,
            ),
        ],
    )


@define
class _Runs:
    """Runs over one number of ids, each in a new process, and the memory that they needed."""

    count: int
    base_url: str
    taken: dict[str, list[Taken]] = field(factory=dict[str, list[Taken]])

    def rounds(self, rounds: int) -> Results:
        """Run every way once a round."""
        return play({way: partial(self._run, way) for way in WAYS}, rounds, Random(self.count))

    def peak(self, way: str) -> float:
        """The most memory that a run needed, in MiB."""
        return max(taken.peak_memory for taken in self.taken[way]) / 2**20

    def _run(self, way: str) -> Spent:
        command = [sys.executable, bulk_runs.__file__, way, str(self.count), self.base_url]
        output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        taken = msgspec.json.decode(output, type=Taken)
        self.taken.setdefault(way, []).append(taken)
        return taken.spent / self.count


def _table(runs: _Runs, results: Results) -> Table:
    rows: dict[str, list[float | None]] = {
        way: [
            1e6 / results.microseconds(way, "wall"),
            results.microseconds(way, "cpu"),
            results.speed(way, PLAIN, "wall").median,
            results.speed(way, PLAIN).median,
            runs.peak(way),
        ]
        for way in WAYS
    }
    columns = ["ids/s", "CPU, µs", "x by wall", "x by CPU", "peak MiB"]
    return Table(f"{runs.count:,} ids of {MESSAGES} messages, 32 at once", columns, rows)


if __name__ == "__main__":
    main()
