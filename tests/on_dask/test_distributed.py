"""Exports on a Dask worker in this process: partitions, reports, and what can be wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import nullcontext
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from attrs import evolve
from distributed import Client, LocalCluster
from export.export_fakes import new_ids

from siteassist_async import RetryPolicy
from siteassist_async.cli import main
from siteassist_async.distributed import (
    Partition,
    PartitionLostError,
    Project,
    Report,
    export,
    local,
    partition,
)
from siteassist_async.distributed.exporting import Exporting, Item
from siteassist_async.distributed.folder import Folder, Part, read, write
from siteassist_async.distributed.joining import join
from siteassist_async.distributed.partition import News
from siteassist_async.emulator import Emulator, TokenBucket, in_thread
from siteassist_async.errors import ConfigurationError
from siteassist_async.export import (
    Counts,
    Ending,
    ExitCode,
    ExportJob,
    InputChangedError,
    InputError,
    OutputError,
    OutputInUseError,
    Progress,
    Source,
    StateError,
    Summary,
)
from siteassist_async.export.layout import Layout
from siteassist_async.export.state import locked, made_state
from siteassist_async.formats import iter_export
from siteassist_async.pacing import Pacer, Permit, Start
from siteassist_async.pacing.rate import LearnedRate

if TYPE_CHECKING:
    from collections.abc import Iterator

Connected = Any
"""A client of Dask, which is without types."""

TOKEN = "sk_test_distributed"
IDS = new_ids(60, seed=9)

HERE = {"threads_per_worker": 2, "dashboard_address": "127.0.0.1:0"}


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A client of a worker in this process."""
    made: Any = LocalCluster
    connected: Any = Client
    with (
        made(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        connected(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def api() -> Iterator[Emulator]:
    """The API."""
    with in_thread(Emulator(token=TOKEN, count_ids=True)) as api:
        yield api


@pytest.fixture
def project(tmp_path: Path, api: Emulator) -> Project:
    """A project of some IDs, one of them twice, and of a line that is none."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "ids.txt").write_text("\n".join([*IDS, IDS[7], "none", ""]))
    return Project(tmp_path / "ids.txt", token_file=tmp_path / "token", base_url=api.url)


def records(output: Path) -> list[str]:
    """The IDs in the outputs, sorted."""
    parts = (path.read_bytes() for path in output.glob("part-?????.jsonl"))
    return sorted(json.loads(line)["id"] for part in parts for line in part.splitlines())


def test_an_export(project: Project, tmp_path: Path, api: Emulator, client: Connected) -> None:
    """Everything is there once, the report adds up, and a second run has nothing to do."""
    seen: list[Progress] = []
    output = tmp_path / "new" / "out"
    report = export(project, output, cluster=client, partitions=7, on_progress=seen.append)
    assert records(output) == sorted(IDS)
    counts = Counts(claimed=62, exported=60, duplicates=1, invalid=1)
    assert report.progress.counts == counts
    assert (report.progress.asked, report.progress.total, report.progress.exported) == (62, 62, 60)
    assert report.progress.bytes_written == sum(
        path.stat().st_size for path in output.glob("part-?????.jsonl")
    )
    assert [part.number for part in report.partitions] == [*range(7)]
    assert (report.ending, report.exit_code) == (Ending.FINISHED, ExitCode.SOME_FAILED)
    assert (report.unfinished, report.errors, report.error) == ((), {}, None)
    assert seen[-1].counts == counts
    (letters,) = (part.dead_letters for part in report.partitions if part.counts.invalid)
    assert json.loads(Path(letters).read_bytes())["id"] == "none"
    # Without a cluster: nothing is started if there is nothing to do.
    again = export(project, output, cluster="tcp://127.0.0.1:1")
    assert again.progress.counts == counts
    assert (again.progress.exported, again.progress.already_there) == (0, 60)
    assert api.counters.statuses == {200: 60}


def test_a_list_that_has_grown(
    project: Project,
    tmp_path: Path,
    api: Emulator,
    client: Connected,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only what is new is exported, and only where there is something new."""
    monkeypatch.setattr("siteassist_async.distributed.folder._BUFFERED", 1000)
    output = tmp_path / "out"
    export(project, output, cluster=client, partitions=8)
    more = new_ids(3, seed=10)
    with (tmp_path / "ids.txt").open("a") as file:
        file.writelines(f"{conversation_id}\n" for conversation_id in more)
    report = export(project, output, cluster=client)
    assert records(output) == sorted(IDS + more)
    assert (report.progress.exported, report.progress.already_there) == (3, 60)
    assert api.counters.statuses == {200: 63}
    assert len(report.partitions) == 8


def test_several_projects(
    tmp_path: Path, api: Emulator, client: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its own token, limit and folder; rows have times, and come from several files."""
    monkeypatch.setenv("TOKEN_A", TOKEN)
    monkeypatch.setenv("SITEASSIST_TOKEN", "sk_test_other")
    csv = tmp_path / "a.csv"
    csv.write_text("n,id,updatedAt\n" + "".join(f"1,{i},2026-01-01T00:00:00Z\n" for i in IDS))
    monkeypatch.setenv("SITEASSIST_BASE_URL", api.url)
    with in_thread(Emulator(token="sk_test_other")) as other:
        projects = [
            Project(Source(csv, "id"), token_env="TOKEN_A", name="a"),
            Project(str(csv), name="b", base_url=other.url),
        ]
        with pytest.raises(InputError, match="has columns"):
            export(projects, tmp_path / "out", cluster=client, partitions=2)
        (tmp_path / "b.txt").write_text(IDS[0])
        projects[1] = Project(tmp_path / "b.txt", name="b", base_url=other.url)
        report = export(projects, tmp_path / "out", cluster=client, partitions=2)
        assert other.counters.statuses == {200: 1}
    assert records(tmp_path / "out" / "a") == sorted(IDS)
    assert records(tmp_path / "out" / "b") == [IDS[0]]
    assert [part.project for part in report.partitions] == ["a", "a", "b", "b"]
    assert report.exit_code is ExitCode.DONE


def test_failures_are_retried(
    project: Project, tmp_path: Path, api: Emulator, client: Connected
) -> None:
    """If asked for; without, a partition with dead letters is done."""
    api.missing(IDS[3])
    output = tmp_path / "out"
    failed = export(project, output, cluster=client, partitions=3)
    assert failed.progress.counts.failed == 1
    api.put(IDS[3], {})
    assert export(project, output, cluster=client).progress.counts.failed == 1
    done = export(project, output, cluster=client, retry_failed=True)
    assert records(output) == sorted(IDS)
    assert done.progress.counts.failed == 0


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"partitions": 0}, "from 1 to 99,999, not 0"),
        ({"cluster": "tcp://127.0.0.1:1"}, "no Dask scheduler answers at tcp://127.0.0.1:1"),
        ({"cluster": "nothing://here"}, "no Dask scheduler answers at nothing://here"),
    ],
)
def test_arguments_that_cannot_work(
    given: dict[str, Any], reason: str, project: Project, tmp_path: Path
) -> None:
    """They are named."""
    config: Any = import_module("dask.config")
    quick = config.set({"distributed.comm.timeouts.connect": "0.1s"})
    with quick, pytest.raises(ConfigurationError, match=reason):
        export(project, tmp_path / "out", **given)


def test_projects_that_cannot_work(project: Project, tmp_path: Path) -> None:
    """Two of one name, none, a name that is no folder's, two places of a token."""
    for projects in ([], [project, project], [project, Project("x", name="x")]):
        with pytest.raises(ConfigurationError, match="needs a name"):
            export(projects, tmp_path)
    with pytest.raises(ConfigurationError, match="needs a password"):
        Project("ids.txt", proxy="http://me:secret@127.0.0.1:1")
    for name in ("../up", ".hidden", "a\nb"):
        with pytest.raises(ConfigurationError, match="name of a project"):
            Project("ids.txt", name=name)
    with pytest.raises(ConfigurationError, match="not both"):
        Project("ids.txt", token_env="A", token_file=tmp_path)


def test_an_asynchronous_client_is_refused(
    project: Project, tmp_path: Path, client: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`export` would wait for ever in its loop."""
    monkeypatch.setattr(Client, "asynchronous", True)
    with pytest.raises(ConfigurationError, match="not asynchronous"):
        export(project, tmp_path, cluster=client)


def test_the_number_of_partitions_is_fixed(
    project: Project, tmp_path: Path, client: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the first run, whatever the cluster is later."""
    monkeypatch.setattr("siteassist_async.distributed.exporting.LEAST", 4)
    monkeypatch.setattr("siteassist_async.distributed.exporting.A_WORKER", 3)
    output = tmp_path / "out"
    assert len(export(project, output, cluster=client).partitions) == 4
    with pytest.raises(ConfigurationError, match="has 4 partitions, which cannot be changed to 5"):
        export(project, output, cluster=client, partitions=5)
    assert len(export(project, output, cluster=client, partitions=4).partitions) == 4


def test_a_list_that_has_changed(
    project: Project, tmp_path: Path, api: Emulator, client: Connected
) -> None:
    """What is new is exported; a list of other IDs is refused by the partitions."""
    output, ids = tmp_path / "out", tmp_path / "ids.txt"
    export(project, output, cluster=client, partitions=2)
    more = new_ids(5, seed=11)
    ids.write_text("\n".join([*more, *reversed(IDS)]))
    assert not export(project, output, cluster=client).unfinished
    assert records(output) == sorted(IDS + more)
    assert api.counters.statuses == {200: 65}
    ids.write_text("\n".join(new_ids(50, seed=12)))
    report = export(project, output, cluster=client)
    assert {type(part.error) for part in report.unfinished} == {InputChangedError}
    assert report.exit_code is ExitCode.ACT


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "cannot be read: Input data was truncated"),
        (b'{"version":9,"identity":null,"parts":[]}', "has version 9, .* writes version 1"),
    ],
)
def test_a_damaged_manifest(
    content: bytes, reason: str, project: Project, tmp_path: Path, client: Connected
) -> None:
    """It is not guessed what was in it."""
    output = tmp_path / "out"
    export(project, output, cluster=client, partitions=2)
    (output / ".partitions.export" / "manifest.json").write_bytes(content)
    with pytest.raises(StateError, match=reason):
        export(project, output, cluster=client)


def test_an_output_that_is_gone(project: Project, tmp_path: Path, client: Connected) -> None:
    """A mark does not hide it, nor what is wrong with a partition's state."""
    output = tmp_path / "out"
    export(project, output, cluster=client, partitions=2)
    (output / "part-00001.jsonl").unlink()
    report = export(project, output, cluster=client)
    (gone,) = report.unfinished
    assert gone.number == 1
    assert isinstance(gone.error, OutputError)
    assert report.exit_code is ExitCode.ACT


def test_a_token_that_is_not_there(
    project: Project,
    tmp_path: Path,
    api: Emulator,
    client: Connected,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is requested; as soon as it is there, or another one, the export goes on."""
    output, ids = tmp_path / "out", tmp_path / "ids.txt"
    monkeypatch.delenv("SITEASSIST_TOKEN", raising=False)
    places: list[tuple[dict[str, Any], str]] = [
        ({}, "the environment variable SITEASSIST_TOKEN holds no token on a worker"),
        ({"token_env": "NOWHERE"}, "the environment variable NOWHERE holds no token"),
        ({"token_file": tmp_path / "nowhere"}, "nowhere with the token cannot be read"),
        ({"token_file": ids, "ca": ids}, "ids.txt cannot be read on a worker"),
        ({"token_file": project.token_file, "ca": tmp_path / "no"}, "no cannot be read"),
    ]
    for place, said in places:
        wrong = Project(ids, base_url=api.url, **place)
        report = export(wrong, output, cluster=client, partitions=2)
        assert (report.ending, report.exit_code) == (Ending.BLOCKED, ExitCode.ACT)
        assert said in str(report.error)
    assert api.counters.statuses == {}
    assert project.token_file is not None
    project.token_file.write_text("sk_test_old")
    assert export(project, output, cluster=client).ending is Ending.BLOCKED
    project.token_file.write_text(TOKEN)
    assert not export(project, output, cluster=client).unfinished


def test_an_api_that_is_down(
    project: Project, tmp_path: Path, client: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first partition has waited, the others do not."""
    monkeypatch.setattr("siteassist_async.distributed.project.PATIENT", RetryPolicy(attempts=1))
    down = evolve(project, base_url="http://127.0.0.1:1/v2")
    report = export(down, tmp_path / "out", cluster=client, partitions=4, wait=0)
    assert (report.ending, report.exit_code) == (Ending.UNREACHABLE, ExitCode.RUN_AGAIN)


def test_a_proxy(
    project: Project,
    tmp_path: Path,
    api: Emulator,
    client: Connected,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The workers use it, and nothing else."""
    monkeypatch.setattr("siteassist_async.distributed.project.PATIENT", RetryPolicy(attempts=1))
    behind = evolve(project, proxy="http://127.0.0.1:1")
    report = export(behind, tmp_path / "out", cluster=client, partitions=1, wait=0)
    assert "cannot connect to 127.0.0.1:1" in str(report.error)
    assert api.counters.requests == 0


def test_an_export_that_is_stopped(
    project: Project, tmp_path: Path, api: Emulator, client: Connected
) -> None:
    """Before the input is read, or while it runs; interrupted it stops the workers too."""
    output = tmp_path / "out"
    csv = tmp_path / "ids.csv"
    csv.write_text("id,n\n" + "".join(f"{conversation_id},1\n" for conversation_id in IDS))
    early = Exporting([Project(Source(csv, "id"))], output, cluster=client, partitions=2)
    early.stop()
    assert early.execute().partitions == ()
    assert early.progress().total is None
    api.latency = 0.05
    slow = evolve(project, concurrency=1)
    run = Exporting([slow], output, cluster=client, partitions=2)

    def stop() -> None:
        if api.counters.statuses:
            run.stop()

    report = run.execute(stop)
    assert (report.ending, report.exit_code) == (Ending.STOPPED, ExitCode.RUN_AGAIN)
    assert report.errors == {}
    assert run.pace().succeeded >= 1
    assert run.retries() == 0

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(project, output, cluster=client, on_progress=interrupt)
    assert records(output) == sorted(set(records(output)))
    assert not export(project, output, cluster=client).unfinished
    assert records(output) == sorted(IDS)


def test_a_bug_in_a_partition(
    project: Project, tmp_path: Path, client: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the report, and no reason to lose the others."""

    class Wrong(ExportJob):
        async def run(self) -> Summary:
            if self._layout.output.name == "part-00001.jsonl":
                raise ZeroDivisionError("a bug")
            return await super().run()

    monkeypatch.setattr(partition, "ExportJob", Wrong)
    report = export(project, tmp_path / "out", cluster=client, partitions=3)
    (wrong,) = report.unfinished
    assert (wrong.number, repr(wrong.error)) == (1, "ZeroDivisionError('a bug')")
    assert report.exit_code is ExitCode.ACT


def test_a_partition_that_another_process_writes(
    project: Project, tmp_path: Path, client: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for, a while."""
    monkeypatch.setattr(partition, "INTERVAL", 0.05)
    layout = Layout(tmp_path / "out" / "part-00001.jsonl")
    layout.output.parent.mkdir()
    with made_state(layout) as state, locked(layout, state):
        report = export(project, tmp_path / "out", cluster=client, partitions=2, wait=0.2)
    (waiting,) = report.unfinished
    assert isinstance(waiting.error, OutputInUseError)
    assert waiting.exit_code is ExitCode.RUN_AGAIN


def test_jobs_that_do_not_end(
    project: Project, tmp_path: Path, client: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that hangs is not waited for when the export is stopped."""
    monkeypatch.setattr("siteassist_async.distributed.exporting.GRACE", 0.0)
    run = Exporting([project], tmp_path / "out", cluster=client, partitions=1)
    report = run.execute(run.stop)
    assert report.ending in {Ending.STOPPED, Ending.FINISHED}

    def running(dask_worker: Any) -> int:  # noqa: ANN401 - Dask is without types
        return len(dask_worker.plugins[partition.PLUGIN].running)

    while any(client.run(running).values()):
        pass  # before the API ends


def test_a_partitions_exit_code(tmp_path: Path) -> None:
    """As that of an export; a report has the worst."""
    done = Partition("", 0, tmp_path, tmp_path, Counts(exported=1), Ending.FINISHED)
    lost = Partition("", 1, tmp_path, tmp_path, Counts(), error=PartitionLostError("lost"))
    blocked = Partition("", 2, tmp_path, tmp_path, Counts(), Ending.BLOCKED)
    codes = [part.exit_code for part in (done, lost, blocked)]
    assert codes == [ExitCode.DONE, ExitCode.RUN_AGAIN, ExitCode.ACT]
    report = Report(tmp_path, Progress(Counts(), 0), (done, lost, blocked))
    assert report.exit_code is ExitCode.ACT
    assert report.error is None


def test_one_dataset(
    project: Project, tmp_path: Path, client: Connected, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of all partitions, and again of what they have grown by; a half line waits."""
    output, dataset = tmp_path / "out", str(tmp_path / "c.sqlite")
    export(project, output, cluster=client, partitions=3)
    convert = ["convert", f"{output}/", "-o", dataset]
    assert main(convert) == 0
    more = new_ids(2, seed=13)
    with (tmp_path / "ids.txt").open("a") as file:
        file.write("\n".join(more))
    export(project, output, cluster=client)
    part = output / "part-00001.jsonl"
    whole = part.read_bytes()
    part.write_bytes(whole + b'{"id":"half')
    log = output / ".partitions.export" / "joined.jsonl"
    with log.open("a") as file:
        file.write("left by a killed process")
    assert main(convert) == 0
    assert "2 records read, 62 of the log in all" in capsys.readouterr().out
    assert sorted(conversation.id for conversation in iter_export(dataset)) == sorted(IDS + more)
    part.write_bytes(whole[:-200])
    assert main(convert) == 2
    assert "part-00001.jsonl: was shortened since it was converted" in capsys.readouterr().err
    assert main(["convert", str(tmp_path), "-o", dataset]) == 2
    assert "is a folder, but not that of an export on Dask" in capsys.readouterr().err


def test_a_partition_without_records_is_joined(
    project: Project, tmp_path: Path, client: Connected
) -> None:
    """As is one that has not begun."""
    (tmp_path / "ids.txt").write_text(IDS[0])
    export(project, tmp_path / "out", cluster=client, partitions=2)
    (record,) = join(tmp_path / "out").read_bytes().splitlines()
    assert json.loads(record)["id"] == IDS[0]


def test_reading_needs_no_dask() -> None:
    """Only an export does."""
    program = "import siteassist_async.distributed.joining, sys; sys.exit('dask' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
    with pytest.raises(AttributeError, match="has no attribute 'exprot'"):
        import_module("siteassist_async.distributed").exprot  # noqa: B018


def test_a_scheduler_that_ends(project: Project, tmp_path: Path, api: Emulator) -> None:
    """The run ends too, and says why."""
    api.latency = 0.1
    made: Any = LocalCluster
    with made(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
    ) as other:

        def close(_: Progress) -> None:
            if api.counters.statuses:
                other.close()

        address, slow = other.scheduler_address, evolve(project, concurrency=1)
        report = export(slow, tmp_path / "out", cluster=address, partitions=2, on_progress=close)
    assert [*report.errors] == ["the connection to the Dask scheduler was lost"]
    assert (report.ending, report.exit_code) == (Ending.STOPPED, ExitCode.RUN_AGAIN)


def test_bytes_of_several_attempts(project: Project, tmp_path: Path) -> None:
    """What a lost worker has written counts."""
    item = Item("key", project, Folder(tmp_path), 0, Part(37, 1, 0))
    for written, count in ((0, 0), (700, 7), (0, 7), (300, 10)):
        item.hear(News("key", False, Counts(exported=count), 0, 0, 10, 0, written, "pacer"))  # noqa: FBT003
    assert (item.written + 300, item.counts.exported, item.before) == (1000, 10, 0)


def test_a_cluster_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It says where it is, and ends with its input; it is killed if it does not."""
    monkeypatch.setattr(sys, "stdin", StringIO())
    known = SimpleNamespace(scheduler_address="tcp://127.0.0.1:9")
    monkeypatch.setattr(local, "make_cluster", lambda: nullcontext(known))
    local.main()
    assert capfd.readouterr().out == "tcp://127.0.0.1:9\n"
    start = subprocess.Popen

    def instead(program: str) -> None:
        def instead_of(_: object, **given: Any) -> subprocess.Popen[str]:  # noqa: ANN401
            return start([sys.executable, "-c", program], **given)

        monkeypatch.setattr(subprocess, "Popen", instead_of)

    instead("print('tcp://127.0.0.1:9', flush=True); input()")
    with local.local_cluster() as address:
        assert address == "tcp://127.0.0.1:9"
    monkeypatch.setattr(local, "_PATIENCE", 0.05)
    instead("print('here', flush=True); import time; time.sleep(99)")
    with local.local_cluster() as address:
        assert address == "here"
    instead("")
    with pytest.raises(ConfigurationError, match="could not be started"), local.local_cluster():
        pass


def test_without_an_address(
    project: Project, tmp_path: Path, client: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster on this machine is started, and ends with the export."""
    address = nullcontext(client.scheduler.address)
    monkeypatch.setattr("siteassist_async.distributed.exporting.local_cluster", lambda: address)
    assert not export(project, tmp_path / "out", partitions=2).unfinished


async def test_a_task_that_is_cancelled_before_it_begins(project: Project, tmp_path: Path) -> None:
    """It opens nothing."""
    folder = Folder(tmp_path / "out")
    task = partition.Task(
        "key", folder, 0, Part(37, 1, 0), project.access(), retry_failed=False, wait=0, workers=1
    )
    log = Mock()
    worker: Any = SimpleNamespace(address="here", log_event=log)
    clients = partition.Clients()
    clients.setup(worker)
    running = partition.Running(task, worker)
    running.stop()
    outcome = await running.run(clients)
    await clients.teardown(worker)
    assert (outcome.ending, outcome.error) == (Ending.STOPPED, None)
    assert log.call_count == 2
    assert not folder.path.exists()


async def test_workers_begin_together_as_one(project: Project, tmp_path: Path) -> None:
    """Each takes its share of what others have learned of the limit, or of a careful first rate."""
    worker: Any = SimpleNamespace(address="here", log_event=Mock())
    folder = Folder(tmp_path / "out")
    folder.pace.parent.mkdir(parents=True)

    async def ceiling(token: str, max_rate: float | None = None) -> float | None:
        assert project.token_file is not None
        project.token_file.write_text(token)
        access = evolve(project, max_rate=max_rate).access()
        part = Part(37, 1, 0)
        task = partition.Task("key", folder, 0, part, access, retry_failed=False, wait=0, workers=4)
        clients = partition.Clients()
        clients.setup(worker)
        try:
            return (await clients.seat(task)).pacer.snapshot().ceiling
        finally:
            await clients.teardown(worker)

    assert await ceiling("sk_test_1") == partition.FIRST_RATE / 4
    write(folder.pace, LearnedRate(200.0, 6.0, time.time()))
    assert await ceiling("sk_test_2") == 50.0
    assert await ceiling("sk_test_3", max_rate=7.0) is None
    folder.pace.write_text("damaged")
    assert await ceiling("sk_test_4") == partition.FIRST_RATE / 4


def test_all_partitions_are_verified(
    project: Project, tmp_path: Path, client: Connected, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole, damaged, lost and mended."""
    output = tmp_path / "out"
    verify = ["verify", f"{output}/"]

    def verified(code: int) -> str:
        assert main(verify) == code
        said = capsys.readouterr()
        return said.out + said.err

    export(project, output, cluster=client, partitions=3)
    assert "60 records, 1 dead letter\nValid: every line" in verified(1)
    part = output / "part-00001.jsonl"
    whole = part.read_bytes()
    part.write_bytes(whole[:-200])
    damaged = verified(4)
    assert "part-00001.jsonl: has 21 records, but 22 were written" in damaged
    assert "move all files of the partitions named above away" in damaged
    for path in list(output.glob("*part-00001.*")):  # and its dead letters and its state
        path.rename(tmp_path / path.name)
    assert "part-00001.jsonl: is missing, and so is its state" in verified(4)
    export(project, output, cluster=client)
    assert sorted(records(output)) == sorted(IDS)
    assert "60 records, 1 dead letter" in verified(1)
    mark = output / ".partitions.export" / "00002.done"
    mark.unlink()
    assert "Valid so far. The last run did not finish" in verified(3)


def test_what_a_worker_learns_is_kept(
    tmp_path: Path, project: Project, api: Emulator, client: Connected
) -> None:
    """For those that begin later."""
    api.limit = TokenBucket(300.0, 20.0)
    assert not export(project, tmp_path / "out", cluster=client, partitions=2).unfinished
    learned = read(Folder(tmp_path / "out").pace, LearnedRate)
    assert learned is not None
    assert 0 < learned.rate < 1000


class Unlimited(Pacer):
    """A pacer of a user."""

    async def acquire(self, start: Start) -> Permit:
        """Start as soon as there is a slot."""
        await start.slots.acquire()
        return Permit(0.0, start.subject, start.bulk, 1, self)


def test_a_pacer_of_a_user(project: Project, tmp_path: Path, client: Connected) -> None:
    """Workers use it instead of theirs, and note nothing of a limit."""
    alone = evolve(project, pacer=Unlimited)
    assert not export(alone, tmp_path / "out", cluster=client, partitions=2).unfinished
    assert records(tmp_path / "out") == sorted(IDS)
    assert read(Folder(tmp_path / "out").pace, LearnedRate) is None


def test_tokens_do_not_travel(project: Project) -> None:
    """What is sent to a worker names the place of the token."""
    shown = repr(project.access())
    assert TOKEN not in shown
    assert str(project.token_file) in shown
