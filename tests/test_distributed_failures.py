"""Exports on real worker processes that are killed, hang or are refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from export.export_fakes import new_ids
from distributed import Client, LocalCluster

from siteassist_async.distributed import PartitionLostError, Project, Report, export
from siteassist_async.emulator import Emulator, in_thread
from siteassist_async.errors import AuthenticationError
from siteassist_async.export import Ending, ExitCode, OutputExistsError, OutputInUseError
from siteassist_async.export.layout import Layout
from siteassist_async.export.state import locked, made_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TOKEN = "sk_test_distributed"

AT_ONCE = 4
"""Requests in flight of a worker."""

IDS = new_ids(200, seed=3)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler in this process, and two workers that are started again when they die."""
    made: Any = LocalCluster
    with made(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
    ) as cluster:
        yield cluster


@pytest.fixture
def api() -> Iterator[Emulator]:
    """The API; it answers slowly enough for a run to be disturbed."""
    with in_thread(Emulator(token=TOKEN, latency=0.03, count_ids=True)) as api:
        yield api


class Bench:
    """An export of `IDS`, to be run on a cluster and disturbed."""

    def __init__(self, folder: Path, api: Emulator, cluster: Any) -> None:
        self.api = api
        self.cluster = cluster
        self.output = folder / "out"
        (folder / "token").write_text(TOKEN)
        (folder / "ids.txt").write_text("\n".join([*IDS, IDS[0], "none", ""]))
        self.project = Project(
            folder / "ids.txt",
            token_file=folder / "token",
            base_url=api.url,
            concurrency=AT_ONCE,
        )

    def run(
        self, disturb: Callable[[], object] = lambda: None, *, after: int = 0, wait: float = 20
    ) -> Report:
        """Export; `disturb` is called once, when so many requests were answered."""
        is_disturbed = False

        def tick(_: object) -> None:
            nonlocal is_disturbed
            if not is_disturbed and sum(self.api.counters.statuses.values()) >= after:
                is_disturbed = True
                disturb()

        return export(
            self.project,
            self.output,
            cluster=self.cluster.scheduler_address,
            partitions=6,
            wait=wait,
            on_progress=tick,
        )

    def signal(self, number: signal.Signals = signal.SIGKILL) -> Any:
        """Send a signal to the process of a worker, and return Dask's view of that worker."""
        worker = next(iter(self.cluster.scheduler.workers.values()))
        nanny = next(n for n in self.cluster.workers.values() if n.worker_address == worker.address)
        os.kill(nanny.pid, number)
        return worker

    def records(self) -> Counter[str]:
        """How often each id is in the outputs."""
        found = Counter[str]()
        for path in self.output.glob("part-?????.jsonl"):
            found.update(json.loads(line)["id"] for line in path.read_bytes().splitlines())
        return found

    def repeated(self) -> int:
        """How many requests were for an id that was requested before."""
        return sum(count - 1 for count in self.api.counters.ids.values())


@pytest.fixture
def bench(tmp_path: Path, api: Emulator, cluster: Any) -> Bench:
    """An export in an empty folder."""
    return Bench(tmp_path, api, cluster)


def adds_up(report: Report, total: int = len(IDS) + 2) -> bool:
    """Whether the numbers of a report say what happened to each line of the input."""
    counts = report.progress.counts
    parts = [partition.counts for partition in report.partitions]
    return (
        report.progress.asked == total
        and counts.exported == sum(part.exported for part in parts)
        and (counts.duplicates, counts.invalid) == (1, 1)
        and report.progress.total == len(IDS) + 2
    )


def complete(bench: Bench, report: Report) -> bool:
    """Whether an export has everything once, and says so."""
    return (
        bench.records() == Counter(IDS)
        and adds_up(report)
        and not report.unfinished
        and report.ending is Ending.FINISHED
        and report.exit_code is ExitCode.SOME_FAILED
    )


def test_a_worker_that_is_killed_is_replaced(bench: Bench) -> None:
    """Its partition is taken up by another; only what was in flight is fetched again."""
    report = bench.run(bench.signal, after=60)
    assert complete(bench, report)
    assert bench.repeated() <= AT_ONCE


def test_a_token_is_revoked_half_way(bench: Bench) -> None:
    """All partitions stop; with a new token the export is completed."""

    def revoke() -> None:
        bench.api.token = "sk_test_new"

    report = bench.run(revoke, after=60)
    assert report.ending is Ending.BLOCKED
    assert report.exit_code is ExitCode.ACT
    assert [type(p.error) for p in report.partitions if p.ending is Ending.BLOCKED][0] is (
        AuthenticationError
    )
    assert report.progress.counts.exported == sum(bench.records().values())
    assert report.progress.counts.failed == 0
    assert bench.project.token_file is not None
    bench.project.token_file.write_text(bench.api.token)
    before = report.progress.counts.exported
    report = bench.run()
    assert complete(bench, report)
    assert report.progress.already_there == before


def test_a_partition_that_cannot_be_written(bench: Bench) -> None:
    """The others are finished, and the report names it."""
    bench.output.mkdir()
    (bench.output / "part-00003.jsonl").write_text("somebody's\n")
    report = bench.run()
    (failed,) = report.unfinished
    assert (failed.number, type(failed.error)) == (3, OutputExistsError)
    assert report.exit_code is ExitCode.ACT
    assert [*report.errors.values()] == [(failed,)]
    (bench.output / "part-00003.jsonl").unlink()
    assert complete(bench, bench.run())
    assert bench.repeated() == 0


def test_a_partition_that_kills_its_workers(bench: Bench, monkeypatch: Any) -> None:
    """Dask gives it up; the others are finished, and the next run goes on."""
    monkeypatch.setattr(bench.cluster.scheduler, "allowed_failures", 0)
    report = bench.run(bench.signal, after=60)
    # That which it ran, and perhaps one that waited for it.
    assert {type(partition.error) for partition in report.unfinished} == {PartitionLostError}
    assert "1 workers died" in next(iter(report.errors))
    assert report.exit_code is ExitCode.RUN_AGAIN
    assert report.ending is Ending.STOPPED
    assert complete(bench, bench.run())
    assert bench.repeated() <= AT_ONCE


def test_a_worker_that_hangs_is_replaced(bench: Bench) -> None:
    """As if it had hung for five minutes, after which Dask kills it."""

    def hang() -> None:
        scheduler = bench.cluster.scheduler
        bench.signal(signal.SIGSTOP).last_seen -= 1000
        bench.cluster.sync(scheduler.check_worker_ttl)

    report = bench.run(hang, after=60)
    assert complete(bench, report)
    assert bench.repeated() <= AT_ONCE


@pytest.mark.parametrize("wait", [20, 0])
def test_a_lost_worker_still_exports_a_partition(bench: Bench, wait: float) -> None:
    """The next one waits for its lock, for as long as it may."""
    layout = Layout(bench.output / "part-00002.jsonl")
    bench.output.mkdir()
    with ExitStack() as lost:
        lost.enter_context(locked(layout, lost.enter_context(made_state(layout))))
        report = bench.run(lost.close, after=len(IDS) * 2 // 3, wait=wait)
    if not wait:
        (waiting,) = report.unfinished
        assert (waiting.number, type(waiting.error)) == (2, OutputInUseError)
        assert report.exit_code is ExitCode.RUN_AGAIN
        report = bench.run()
    assert complete(bench, report)
    assert bench.repeated() == 0


CLUSTER = """
from distributed import LocalCluster
if __name__ == "__main__":
    local = dict(processes=True, host="127.0.0.1", dashboard_address=None)
    with LocalCluster(n_workers=1, threads_per_worker=1, **local) as cluster:
        print(cluster.scheduler_address, flush=True)
        input()
"""


def test_the_scheduler_is_killed(bench: Bench, tmp_path: Path) -> None:
    """The run ends; the next one, on another cluster, goes on."""
    program = tmp_path / "cluster.py"
    program.write_text(CLUSTER)
    other = subprocess.Popen(
        [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdin is not None
    with other, other.stdin, other.stdout:
        address = other.stdout.readline().strip()
        cluster, bench.cluster = bench.cluster, SimpleNamespace(scheduler_address=address)
        report = bench.run(other.kill, after=60)
    bench.cluster = cluster
    assert {type(partition.error) for partition in report.unfinished} == {PartitionLostError}
    assert report.exit_code is ExitCode.RUN_AGAIN
    assert complete(bench, bench.run())
    assert bench.repeated() <= AT_ONCE


def test_two_runs_at_once(bench: Bench) -> None:
    """The second is refused, and the first is not disturbed."""

    def second() -> None:
        with pytest.raises(OutputInUseError, match="another run is writing"):
            bench.run()

    assert complete(bench, bench.run(second, after=60))
    assert bench.repeated() == 0
