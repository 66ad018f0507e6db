"""`siteassist export --dask` on a worker in this process."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from distributed import LocalCluster

from siteassist_async.cli import main
from siteassist_async.distributed import partition
from siteassist_async.distributed.exporting import Exporting
from siteassist_async.emulator import Emulator, in_thread
from siteassist_async.export.layout import Layout
from siteassist_async.export.state import locked, made_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "sk_test_cli_dask"
IDS = [f"00000000-0000-4000-8000-{number:012}" for number in range(20)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a worker's scheduler."""
    made: Any = LocalCluster
    with made(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
    ) as local:
        yield local.scheduler_address


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """The API, to which the environment leads."""
    with in_thread(Emulator(token=TOKEN)) as api:
        monkeypatch.setenv("SITEASSIST_TOKEN", TOKEN)
        monkeypatch.setenv("SITEASSIST_BASE_URL", api.url)
        yield api


@pytest.fixture
def arguments(tmp_path: Path, api: Emulator, cluster: str) -> list[str]:
    """An export of twenty IDs in two partitions."""
    assert api.url
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(IDS))
    output = ["-o", f"{tmp_path / 'out'}/"]
    return ["export", str(ids), *output, "--dask", cluster, "--partitions", "2"]


def test_an_export(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends with the table of an export, whose numbers are those of all partitions."""
    (tmp_path / "token").write_text(TOKEN)
    assert main([*arguments, "--token-file", str(tmp_path / "token")]) == 0
    said = capsys.readouterr()
    assert "exported               20" in said.out
    assert f"Done: every conversation is in {tmp_path / 'out'}" in said.out
    assert main([*arguments, "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    summary = events[-1]
    assert (summary["exported"], summary["already_there"], summary["exit_code"]) == (0, 20, 0)
    assert (summary["partitions"], summary["unfinished"]) == (2, [])


def test_all_conversations(
    arguments: list[str], tmp_path: Path, api: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are listed first; a later run fetches what has changed."""
    arguments[1] = "--all"
    for number, conversation_id in enumerate(IDS):
        api.put(conversation_id, {"status": "open" if number else "closed"})
    assert main([*arguments, "--quiet", "--status", "open"]) == 0
    assert (api.counters.ids, api.counters.statuses[200]) == ({}, 20)  # and a page
    api.put(IDS[7], {"title": "changed", "updatedAt": "2099-01-01T00:00:00.000Z"})
    assert main([*arguments, "--json", "--quiet", "--status", "open"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["asked"], summary["updated"]) == (19, 1)
    parts = [path.read_bytes() for path in (tmp_path / "out").glob("part-?????.jsonl")]
    assert sum(part.count(b"\n") for part in parts) == 20


@pytest.mark.parametrize("name", ["x.parquet", "x.jsonl.gz", "s3://bucket/x.DUCKDB", "x.csv/"])
def test_an_output_that_looks_like_a_file(
    arguments: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The refusal says what to write instead."""
    arguments[arguments.index("-o") + 1] = name
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "--dask writes a folder of JSON lines: use -o x, and then `siteassist convert x" in said


def test_partitions_that_are_not_finished(
    arguments: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each reason is there once, with the partitions; also a bug."""
    monkeypatch.setattr("siteassist_async.cli.dask._SHOWN", 1)
    output = tmp_path / "out"
    output.mkdir()
    for number in range(2):
        (output / f"part-0000{number}.jsonl").write_text("somebody's\n")
    assert main([*arguments, "--quiet"]) == 4
    said = capsys.readouterr().err
    assert said.count("Not finished: part-0000") == 2
    assert said.endswith("Fix the cause above, then run the same command again to resume.\n")
    assert main([*arguments, "--json"]) == 4
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [found["error"]["type"] for found in summary["unfinished"]] == ["OutputExistsError"] * 2

    def bug(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a\nbug")

    monkeypatch.setattr(partition, "ExportJob", bug)
    assert main(arguments) == 4
    assert (
        "Not finished: part-00000.jsonl and 1 more: ZeroDivisionError: a\\nbug"
        in capsys.readouterr().out
    )
    assert main([*arguments, "--json"]) == 4
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["unfinished"][0]["error"] == {
        "type": "ZeroDivisionError",
        "message": "a\\nbug",
    }


def test_lost_partitions_are_run_again(
    arguments: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What only needs another run says so."""
    layout = Layout(tmp_path / "out" / "part-00001.jsonl")
    layout.output.parent.mkdir()
    with made_state(layout) as state, locked(layout, state):
        assert main([*arguments, "--wait", "0"]) == 3
    said = capsys.readouterr().out
    assert "Not finished: part-00001.jsonl: " in said
    assert said.endswith("\nRun the same command again to resume.\n")


@pytest.mark.parametrize("signals", [1, 2])
def test_signals(
    signals: int,
    arguments: list[str],
    api: Emulator,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first stops the export, the second ends it at once."""
    stop, sent = Exporting.stop, threading.Event()

    def stop_and_send(exporting: Exporting) -> None:
        stop(exporting)
        if signals == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    def send() -> float:
        if not sent.is_set():
            sent.set()
            os.kill(os.getpid(), signal.SIGTERM)
        return 0.2

    monkeypatch.setattr(Exporting, "stop", stop_and_send)
    api.latency = send
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("siteassist_async.distributed.exporting._TICK", 0.01)
    monkeypatch.setattr(partition, "GRACE", 0.05)
    assert main([*arguments, "--concurrency", str(signals), "--json"]) == 3
    assert signal.getsignal(signal.SIGTERM) is before
    said = capsys.readouterr()
    assert ("siteassist: interrupted" in said.err) == (signals == 2)
    if signals == 1:
        assert "press Ctrl-C again to end at once" in said.err
        summary = json.loads(said.out.splitlines()[-1])
        assert (summary["ending"], summary["unfinished"][0]["error"]) == ("stopped", None)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--restart"], "--restart cannot be used with --dask"),
        (["--keyring", "me"], "--keyring cannot be used with --dask"),
        (["--limit", "5"], "--limit cannot be used with --dask"),
        (["--rebuild-state"], "--rebuild-state cannot be used with --dask"),
        (["--format", "csv"], "--format cannot be used with --dask"),
        (["--refresh", "open"], "--refresh cannot be used with --dask"),
        (["--proxy", "env"], "a proxy that needs a password cannot be used with Dask"),
    ],
)
def test_options_that_do_not_fit(
    more: list[str],
    reason: str,
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are refused before anything is done."""
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:1")
    assert main([*arguments, *more]) == 2
    assert reason in capsys.readouterr().err


def test_ca_certificates_are_read_by_workers(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One that cannot be blocks the export."""
    assert main([*arguments, "--ca", "none.pem"]) == 4
    assert "none.pem cannot be read on a worker" in capsys.readouterr().out


def test_without_dask(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing, and how to install it; and an option that needs it."""
    place = arguments.index("--dask")
    rest = [word for word in arguments[:place] if word != "-o"][:-1]
    assert main([*rest, "-o", "out.jsonl", "--partitions", "2"]) == 2
    assert "--partitions is an option of --dask" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "siteassist_async.cli.dask", None)
    assert main(arguments) == 2
    assert "pip install 'siteassist_async[dask]'" in capsys.readouterr().err
