"""Converting exports: time and memory of each format, and reading them again."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from shutil import rmtree
from statistics import median
from typing import TYPE_CHECKING
from uuid import UUID

import bulk_runs
import msgspec
from attrs import frozen
from outcome import Outcome, Table, Target, parse, publish
from rounds import QUICK
from server import serving

from siteassist_async.codec import decode_conversation
from siteassist_async.emulator import conversation
from siteassist_async.formats import convert, iter_export

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from siteassist_async.emulator.conversations import Spelling

    Step = Callable[[Path, str], float | None]

MESSAGES = 10
MIB = 1 << 20


@frozen
class Cost:
    """Of one step in a process of its own: seconds, CPU seconds, and the most memory in MiB."""

    wall: float
    cpu: float
    memory: float


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = parse(__doc__ or "", argv, ids=500_000)
    rounds, small = (1, 5_000) if options.effort is QUICK else (3, 50_000)
    publish(measure(small, max(options.ids, small), rounds), options.json)


def measure(small: int, large: int, rounds: int, *, apart: bool = True) -> Outcome:
    """Convert logs of two sizes: the small one in interleaved rounds, the large one once.

    Each step is a process of its own, if they are to be `apart`.
    """
    cost = _cost_apart if apart else _cost
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_log(folder / "small.jsonl", small)
        _make_log(folder / "large.jsonl", large)
        costs: dict[str, list[Cost]] = {step: [] for step in (EXPORT, *STEPS)}
        with serving([MESSAGES]) as server:
            for _ in range(rounds):
                costs[EXPORT].append(_export(server.sites[MESSAGES].base_url, small))
                for step in STEPS:  # each makes what the ones after it read
                    costs[step].append(cost(step, folder, "small"))
        whole = {step: cost(step, folder, "large") for step in ("parquet", "sqlite", "count")}
    middle = {step: _median(found) for step, found in costs.items()}
    rows = {step: _row(cost, small) for step, cost in middle.items()}
    rows |= {f"{step}, large": _row(cost, large) for step, cost in whole.items()}
    columns = ["wall s", "CPU s", "per s", "per CPU s", "MiB"]
    title = f"{small:,} conversations of {MESSAGES} messages ({large:,} where it says large)"
    again = max(middle[f"{step}, again"].wall for step in ("parquet", "sqlite", "duckdb"))
    decoding, iterating = middle["decode the log"].cpu, middle["iter_export of the log"].cpu
    return Outcome(
        "formats",
        [Table(title, columns, rows)],
        [
            Target("Parquet, per second", rows["parquet"][2] or 0, at_least=12_000),
            Target("SQLite, per second", rows["sqlite"][2] or 0, at_least=4_000),
            Target("Parquet, MiB", middle["parquet"].memory, at_most=260),
            Target("Parquet, large, MiB", whole["parquet"].memory, at_most=260),
            Target("SQLite, MiB", middle["sqlite"].memory, at_most=100),
            Target("iter_export, speed by the decoder's", decoding / iterating, at_least=0.9),
            Target(
                "export to Parquet, CPU by that of JSON lines",
                1 + middle["parquet"].cpu / middle[EXPORT].cpu,
                at_most=1.6,
            ),
            Target("nothing new, s", again, at_most=0.3),
            Target("DuckDB counts roles in large Parquet, s", whole["count"].wall, at_most=0.2),
        ],
    )


EXPORT = "export to JSON lines"
"""The export itself, without the start of its process."""


def _export(base_url: str, count: int) -> Cost:
    command = [sys.executable, bulk_runs.__file__, "export", str(count), base_url]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    taken = msgspec.json.decode(done.stdout, type=bulk_runs.Taken)
    return Cost(taken.spent.wall, taken.spent.cpu, taken.peak_memory / MIB)


def _make_log(path: Path, count: int) -> None:
    chance = random.Random(count)
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        for number in range(count):
            own = str(UUID(int=chance.getrandbits(128), version=4))
            spelling: Spelling = "current" if number % 2 else "documented"
            file.write(encode(conversation(own, messages=MESSAGES, spelling=spelling)) + b"\n")


def _convert(suffix: str, *, again: bool = False) -> Step:
    def step(folder: Path, size: str) -> None:
        output = folder / f"{size}.{suffix}"
        if not again:
            rmtree(output) if output.is_dir() else output.unlink(missing_ok=True)
        convert(folder / f"{size}.jsonl", output)

    return step


def _read(suffix: str) -> Step:
    def step(folder: Path, size: str) -> None:
        for _ in iter_export(folder / f"{size}.{suffix}"):
            pass

    return step


def _decode(folder: Path, size: str) -> None:
    with (folder / f"{size}.jsonl").open("rb") as file:
        for line in file:
            decode_conversation(line)


def _count(folder: Path, size: str) -> float:
    """Count messages by role; the time of the query, after the import."""
    import duckdb  # noqa: PLC0415 - only here

    parts = folder / f"{size}.parquet" / "messages" / "*.parquet"
    query = f"SELECT role, count(*) FROM '{parts}' GROUP BY role"
    started = time.perf_counter()
    duckdb.connect().execute(query).fetchall()
    return time.perf_counter() - started


STEPS: dict[str, Step] = {
    "decode the log": _decode,
    "iter_export of the log": _read("jsonl"),
    "parquet": _convert("parquet"),
    "parquet, again": _convert("parquet", again=True),
    "iter_export of parquet": _read("parquet"),
    "sqlite": _convert("sqlite"),
    "sqlite, again": _convert("sqlite", again=True),
    "iter_export of sqlite": _read("sqlite"),
    "duckdb": _convert("duckdb"),
    "duckdb, again": _convert("duckdb", again=True),
    "count": _count,
}


def _cost_apart(step: str, folder: Path, size: str) -> Cost:
    command = [sys.executable, __file__, "--step", step, str(folder), size]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return msgspec.json.decode(done.stdout, type=Cost)


def _cost(step: str, folder: Path, size: str) -> Cost:
    began = time.perf_counter()
    wall = STEPS[step](folder, size) or time.perf_counter() - began
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / MIB)


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        median(cost.wall for cost in costs),
        median(cost.cpu for cost in costs),
        max(cost.memory for cost in costs),
    )


def _row(cost: Cost, count: int) -> list[float | None]:
    return [cost.wall, cost.cpu, count / cost.wall, count / cost.cpu, cost.memory]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        print(msgspec.json.encode(_cost(sys.argv[2], Path(sys.argv[3]), sys.argv[4])).decode())
    else:
        main()
