"""Exports on real worker processes that are killed, hang or are refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from export.export_fakes import new_ids

from siteassist_async.distributed import PartitionLostError, Project, Report, export
from siteassist_async.distributed.local import make_cluster
from siteassist_async.emulator import Emulator, in_thread
from siteassist_async.errors import AuthenticationError
from siteassist_async.export import Ending, ExitCode, OutputExistsError, OutputInUseError
from siteassist_async.export.layout import Layout
from siteassist_async.export.state import locked, made_state

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

psutil: Any = import_module("psutil")  # which is without types

TOKEN = "sk_test_distributed"

AT_ONCE = 4
"""Requests in flight of a worker."""

LOST = 2 * AT_ONCE
"""What a worker that is killed has to fetch again at most: what is in flight, and what was answered
meanwhile and is about to be written."""

IDS = new_ids(150, seed=3)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler in this process, and workers that are started again when they die."""
    with make_cluster() as cluster:
        yield cluster


@pytest.fixture
def api() -> Iterator[Emulator]:
    """The API; it answers slowly enough for a run to be disturbed."""
    with in_thread(Emulator(token=TOKEN, latency=0.03, count_ids=True)) as api:
        yield api


class Bench:
    """An export of `IDS`, to be run on a cluster and disturbed."""

    def __init__(self, folder: Path, api: Emulator, cluster: Any) -> None:  # noqa: ANN401 - Dask is without types
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

    def run(self, disturb: Callable[[], object] = lambda: None, *, after: int = 0) -> Report:
        """Export; `disturb` is called once, when so many requests were answered."""
        is_disturbed = False

        def tick(_: object) -> None:
            nonlocal is_disturbed
            if not is_disturbed and self.answered() >= after:
                is_disturbed = True
                disturb()

        return export(
            self.project,
            self.output,
            cluster=self.cluster.scheduler_address,
            partitions=6,
            wait=20,
            on_progress=tick,
        )

    def signal(self, number: signal.Signals = signal.SIGKILL) -> Any:  # noqa: ANN401 - as above
        """Send a signal to the process of a worker, and return Dask's view of that worker."""
        workers, nannies = self.cluster.scheduler.workers, self.cluster.workers.values()
        nanny = next(nanny for nanny in nannies if nanny.worker_address in workers)
        os.kill(nanny.pid, number)
        return workers[nanny.worker_address]

    def answered(self) -> int:
        """How many requests were answered."""
        return sum(self.api.counters.statuses.values())

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
def bench(tmp_path: Path, api: Emulator, cluster: Any) -> Bench:  # noqa: ANN401 - as above
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
    assert bench.repeated() <= LOST


def test_a_token_is_revoked_half_way(bench: Bench) -> None:
    """All partitions stop; with a new token the export is completed."""

    def revoke() -> None:
        bench.api.token = "sk_test_new"

    report = bench.run(revoke, after=60)
    assert report.ending is Ending.BLOCKED
    assert report.exit_code is ExitCode.ACT
    assert isinstance(report.error, AuthenticationError)
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


def test_a_partition_that_kills_its_workers(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask gives it up; the others are finished, and the next run goes on."""
    monkeypatch.setattr(bench.cluster.scheduler, "allowed_failures", 0)
    report = bench.run(bench.signal, after=60)
    # That which it ran, and perhaps one that waited for it.
    assert {type(partition.error) for partition in report.unfinished} == {PartitionLostError}
    assert "1 workers died" in next(iter(report.errors))
    assert report.exit_code is ExitCode.RUN_AGAIN
    assert report.ending is Ending.STOPPED
    assert complete(bench, bench.run())
    assert bench.repeated() <= LOST


def test_a_worker_that_hangs_is_replaced(bench: Bench) -> None:
    """As if it had hung for five minutes, after which Dask kills it."""

    def hang() -> None:
        scheduler = bench.cluster.scheduler
        bench.signal(signal.SIGSTOP).last_seen -= 1000
        bench.cluster.sync(scheduler.check_worker_ttl)

    report = bench.run(hang, after=60)
    assert complete(bench, report)
    assert bench.repeated() <= LOST


def test_a_lost_worker_still_exports_a_partition(bench: Bench) -> None:
    """The next one waits for its lock."""
    layout = Layout(bench.output / "part-00002.jsonl")
    bench.output.mkdir()
    with ExitStack() as lost:
        lost.enter_context(locked(layout, lost.enter_context(made_state(layout))))
        report = bench.run(lost.close, after=len(IDS) * 2 // 3)
    assert complete(bench, report)
    assert bench.repeated() == 0


@contextmanager
def command(bench: Bench, cluster: str) -> Generator[subprocess.Popen[str]]:
    """The export by the command line, when it has come some way."""
    project = bench.project
    arguments = [
        *("export", str(project.source.files[0]), "-o", f"{bench.output}/", "--dask", cluster),
        *("--partitions", "6", "--concurrency", str(AT_ONCE), "--json", "--quiet"),
        *("--token-file", str(project.token_file), "--base-url", bench.api.url),
    ]
    program = "import sys; from siteassist_async.cli import main; sys.exit(main())"
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while bench.answered() < 60:
            assert process.poll() is None
            time.sleep(0.02)
        yield process


def test_the_cluster_is_killed(bench: Bench) -> None:
    """The command ends, and says why; the export is completed on another cluster."""
    with command(bench, "local") as process:
        for member in family(process):
            member.kill()
        out, _ = process.communicate()
    assert process.returncode == ExitCode.RUN_AGAIN
    errors = {partition["error"]["type"] for partition in json.loads(out)["unfinished"]}
    assert errors == {"PartitionLostError"}
    assert complete(bench, bench.run())
    assert bench.repeated() <= 2 * LOST


def test_everything_is_killed(bench: Bench) -> None:
    """Whatever remained goes on."""
    with command(bench, "local") as process:
        for member in [*family(process), process]:
            member.kill()
    assert complete(bench, bench.run())
    assert bench.repeated() <= 2 * LOST


def family(process: subprocess.Popen[str]) -> list[Any]:
    """The processes that a command has started, and those that they have."""
    return list(psutil.Process(process.pid).children(recursive=True))


def test_two_runs_at_once(bench: Bench) -> None:
    """The second is refused, and the first is not disturbed."""

    def second() -> None:
        with pytest.raises(OutputInUseError, match="another run is writing"):
            bench.run()

    assert complete(bench, bench.run(second, after=60))
    assert bench.repeated() == 0
