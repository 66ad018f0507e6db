"""Exports on Dask to object stores, as fsspec knows them."""

from __future__ import annotations

import json
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from distributed import Client, LocalCluster
from export.export_fakes import new_ids

from siteassist_async.cli import main
from siteassist_async.distributed import Project, export
from siteassist_async.distributed.store import Store, made_private, place_of
from siteassist_async.emulator import Emulator, in_thread
from siteassist_async.errors import ConfigurationError
from siteassist_async.export import Ending, ExitCode, OutputError, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Connected = Any
"""A client of Dask, which is without types."""

fsspec: Any = import_module("fsspec")  # which is without types
TOKEN = "sk_test_store"
IDS = new_ids(40, seed=4)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A client of a worker in this process, which shares `memory://` with the tests."""
    made: Any = LocalCluster
    connected: Any = Client
    with (
        made(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        connected(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path) -> Iterator[None]:
    """Where partitions are written before they are put."""
    config: Any = import_module("dask.config")
    with config.set({"temporary-directory": str(tmp_path / "scratch")}):
        yield


@pytest.fixture
def api() -> Iterator[Emulator]:
    """The API."""
    with in_thread(Emulator(token=TOKEN, count_ids=True)) as api:
        yield api


@pytest.fixture
def project(tmp_path: Path, api: Emulator) -> Project:
    """Some IDs, one of them missing, and a line that is none."""
    api.missing(IDS[3])
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "ids.txt").write_text("\n".join([*IDS, "none", ""]))
    return Project(tmp_path / "ids.txt", token_file=tmp_path / "token", base_url=api.url)


@pytest.fixture(params=["memory", "file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A folder of each kind of store; that of S3 by moto, if that and s3fs are installed."""
    if request.param == "file":
        yield f"file://{tmp_path}/out/"
    elif request.param == "memory":
        yield "memory://bucket/out"
        fsspec.filesystem("memory").rm("/bucket", recursive=True)
    else:
        yield from s3(tmp_path)


def s3(tmp_path: Path) -> Iterator[str]:
    """A bucket of a server in this process, by the configuration that workers would have."""
    if not (find_spec("moto") and find_spec("s3fs")):
        pytest.skip("moto and s3fs are not installed")
    server = import_module("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    known = fsspec.config.conf
    known["s3"] = {"endpoint_url": f"http://{host}:{port}", "key": "testing", "secret": "testing"}
    try:
        fsspec.filesystem("s3").mkdir("bucket")
        yield f"s3://bucket/{tmp_path.name}"
    finally:
        del known["s3"]
        server.stop()


def objects(url: str) -> dict[str, bytes]:
    """The contents of a store by their names."""
    fs, path = fsspec.core.url_to_fs(url)
    fs.invalidate_cache()
    return {name.removeprefix(path + "/"): fs.cat_file(name) for name in fs.find(path)}


def records(url: str) -> list[str]:
    """The IDs in the outputs, sorted."""
    parts = (data for name, data in objects(url).items() if len(name) == len("part-00000.jsonl"))
    return sorted(json.loads(line)["id"] for part in parts for line in part.splitlines())


def test_an_export(
    project: Project, url: str, api: Emulator, client: Connected, tmp_path: Path
) -> None:
    """It is in the store whole, and resumes from there: more IDs, and failures to be retried."""
    report = export(project, url, cluster=client, partitions=3)
    there = [one for one in IDS if one != IDS[3]]
    assert records(url) == sorted(there)
    assert (report.ending, report.exit_code) == (Ending.FINISHED, ExitCode.SOME_FAILED)
    letters = [part.dead_letters for part in report.partitions if part.counts.failed]
    assert [str(one).rpartition("/")[2] for one in letters] == [
        name for name, data in objects(url).items() if "failed" in name and IDS[3].encode() in data
    ]
    # Nothing else is left, there or here.
    suffixes = {name.rpartition("/")[2].partition(".")[2] for name in objects(url)}
    assert suffixes == {"jsonl", "failed.jsonl", "json", "ids", "done"}
    assert {path.name for path in (tmp_path / "scratch").rglob("*") if path.is_file()} <= {
        "pace.json"
    }

    again = export(project, url, cluster="tcp://127.0.0.1:1")  # nothing is to be done
    assert again.progress.counts == report.progress.counts
    api.put(IDS[3], {})
    more = new_ids(4, seed=5)
    (tmp_path / "ids.txt").write_text("\n".join([*IDS, "none", *more, ""]))
    done = export(project, url, cluster=client, retry_failed=True)
    assert records(url) == sorted(IDS + more)
    assert (done.progress.counts.failed, done.progress.counts.invalid) == (0, 1)
    assert max(api.counters.ids[one] for one in there + more) == 1
    kept = sorted(str(part.dead_letters) for part in done.partitions if part.counts.invalid)
    found = [name for name in objects(url) if "failed" in name]
    assert [name.rpartition("/")[2] for name in kept] == found


def test_what_was_interrupted_goes_on(project: Project, api: Emulator, client: Connected) -> None:
    """On the same machine where it ended, as long as no other has finished it."""
    url = "memory://bucket/interrupted"
    token = project.token_file
    assert token is not None

    def revoke(_: object) -> None:
        if api.counters.statuses[200]:
            api.token = "sk_test_new"

    api.latency = 0.05
    slow = evolve(project, concurrency=1)
    stopped = export(slow, url, cluster=client, partitions=1, on_progress=revoke)
    api.latency = 0.0
    before = stopped.progress.counts.exported
    assert (stopped.ending, records(url)) == (Ending.BLOCKED, [])
    assert 0 < before < len(IDS)
    token.write_text(api.token)
    assert not export(project, url, cluster=client).unfinished
    assert max(api.counters.ids.values()) <= 2  # a token that is refused is tried twice
    assert len(records(url)) == len(IDS) - 1

    # An older attempt of this machine does not replace what another has put.
    store = Store(url)
    folder = store.fetch(0)
    folder.output(0).write_bytes(b"stale\n")
    fsspec.filesystem("memory").pipe_file("/bucket/interrupted/part-00000.jsonl", b"newer\n")
    assert store.fetch(0).output(0).read_bytes() == b"newer\n"


def test_a_store_that_fails(
    project: Project, client: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The partitions are reported with the reason, and are put by the next run."""
    url = "memory://bucket/failing"
    memory: Any = import_module("fsspec.implementations.memory").MemoryFileSystem

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no quota")

    with monkeypatch.context() as patched:
        real = memory.put_file

        def put(system: object, path: str, to: str) -> None:
            if "part-" in to:
                refuse()
            real(system, path, to)

        patched.setattr(memory, "put_file", put)
        report = export(project, url, cluster=client, partitions=2)
    assert report.exit_code is ExitCode.ACT
    (reason,) = {text.partition(": ")[2] for text in report.errors}
    assert reason == "the store failed: RuntimeError: no quota"
    assert not export(project, url, cluster=client).unfinished
    fsspec.filesystem("memory").pipe_file("/bucket/failing/.partitions.export/manifest.json", b"{")
    with pytest.raises(StateError, match=r"manifest.json: cannot be read"):
        export(project, url, cluster=client)
    monkeypatch.setattr(memory, "get_file", refuse)
    report = export(project, "memory://bucket/unread", cluster=client, partitions=1)
    assert [type(part.error) for part in report.unfinished] == [OutputError]


def test_urls_that_cannot_be_used(project: Project) -> None:
    """They are refused before anything is read."""
    for url, reason in (
        ("nowhere://bucket", "Protocol not known: nowhere"),
        ("sftp://user:secret@host/x", "has a password"),
    ):
        with pytest.raises(ConfigurationError, match=reason) as refused:
            export(project, url)
        assert "secret" not in str(refused.value)
    assert place_of("memory://bucket/", "shop") == Store("memory://bucket/shop")


def test_a_scratch_folder_of_others(tmp_path: Path) -> None:
    """It is not used: it may be anybody's in the folder of temporary files."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(OutputError, match="open to them"):
        made_private(tmp_path / "open")


@pytest.mark.usefixtures("project")
def test_the_command(
    client: Connected,
    api: Emulator,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes a URL too."""
    monkeypatch.setenv("SITEASSIST_TOKEN", TOKEN)
    arguments = [str(tmp_path / "ids.txt"), "-o", "memory://bucket/command/", "--json", "--quiet"]
    cluster = ["--dask", client.scheduler.address, "--base-url", api.url, "--partitions", "2"]
    assert main(["export", *arguments, *cluster]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["output"] == "memory://bucket/command"
    assert said["dead_letters"] == "memory://bucket/command/part-*.failed.jsonl"
    assert len(records("memory://bucket/command")) == len(IDS) - 1
