"""`siteassist convert`, and exports to other formats than JSON lines."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from siteassist_async.cli import export as export_command
from siteassist_async.cli import main, runtime
from siteassist_async.emulator import Emulator, Status, conversation_ids, in_thread
from siteassist_async.export import Ending, InputError, OutputError
from siteassist_async.formats import convert, iter_export

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from siteassist_async.cli.summary import Result

TOKEN = "sk_test_cli_convert"
GONE = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
RECORD = b'{"object":"conversation","id":"%d","messages":[]}\n'
HIDDEN = Path(".out.parquet.export/records.jsonl")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator that the environment points to."""
    with in_thread(Emulator(token=TOKEN, messages=1, count_ids=True)) as api:
        api.missing(GONE)
        monkeypatch.setenv("SITEASSIST_TOKEN", TOKEN)
        monkeypatch.setenv("SITEASSIST_BASE_URL", api.url)
        yield api


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with twenty ids and a log of two records, as the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ids.txt").write_text("\n".join(conversation_ids(20)))
    (tmp_path / "log.jsonl").write_bytes(RECORD % 1 + RECORD % 2)
    return tmp_path


def export(*arguments: str, output: str = "out.parquet") -> int:
    """Run it on the folder's ids."""
    return main(["export", "ids.txt", "-o", output, *arguments])


def ids_in(path: str) -> list[str]:
    """The ids in an output."""
    return sorted(conversation.id for conversation in iter_export(path))


def test_convert(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was added is told, for people or as JSON, or not at all."""
    command = ["convert", "log.jsonl", "-o", "log.sqlite"]
    assert main(command) == 0
    told = "log.sqlite: 2 records read, 2 of the log in all\n"
    assert capsys.readouterr().out.endswith(told)
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "event": "converted",
        "exit_code": 0,
        "output": str(folder / "log.sqlite"),
        "records": 0,
        "total": 2,
    }
    assert main([*command, "--quiet", "--rebuild"]) == 0
    assert main(["convert", "log.jsonl", "-o", "o", "--format", "sqlite", "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.out + said.err == ""
    with closing(sqlite3.connect("o")) as database:
        assert database.execute("SELECT count(*) FROM conversations").fetchone() == (2,)


def test_convert_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and the exit code of a file that is wrong."""
    (folder / "log.jsonl").write_bytes(b"[]\n")
    command = ["convert", "log.jsonl", "-o", "log.sqlite"]
    assert main(command) == 2
    said = capsys.readouterr()
    assert said.err.startswith("siteassist: log.jsonl: line 1 is not the record of a conversation")
    assert said.err.count("\n") == 1
    assert main([*command, "--json"]) == 2
    event = json.loads(capsys.readouterr().out)
    assert event["error"]["type"] == "InputError"
    (folder / "mine.sqlite").write_text("mine")
    assert main(["convert", "log.jsonl", "-o", "mine.sqlite"]) == 2


@pytest.mark.usefixtures("api")
def test_a_table_is_no_log(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The log that it was made of is named, and nothing is left behind."""
    assert export("--quiet", output="t.csv") == 0
    before = sorted(folder.iterdir())
    assert main(["convert", "t.csv", "-o", "zz.sqlite"]) == 2
    said = capsys.readouterr().err
    assert said == (
        "siteassist: t.csv: is csv, and only JSON lines are converted; convert its log: "
        ".t.csv.export/records.jsonl\n"
    )
    assert sorted(folder.iterdir()) == before
    assert main(["inspect", "t.csv"]) == 2
    assert "read the log: .t.csv.export/records.jsonl\n" in capsys.readouterr().err
    assert main(["convert", "log.jsonl", "-o", "log.parquet", "--quiet"]) == 0
    assert main(["convert", "log.parquet", "-o", "zz.sqlite"]) == 2
    assert "convert its log, from which it was made\n" in capsys.readouterr().err
    assert main(["convert", "log.jsonl", "-o", "log.csv", "--quiet"]) == 0
    assert main(["inspect", "log.csv"]) == 2
    assert "read the log that it was converted from\n" in capsys.readouterr().err
    assert main(["convert", "none.sqlite", "-o", "zz.sqlite"]) == 2
    assert "No such file" in capsys.readouterr().err
    for name in ("log", "log.db"):
        (folder / "log.jsonl").rename(folder / name)
        assert main(["convert", name, "-o", f"{name}.sqlite", "--quiet"]) == 0
        (folder / name).rename(folder / "log.jsonl")


def test_export_to_a_table(api: Emulator, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The output is of that format; a later run adds what is new, and fetches nothing twice."""
    assert export() == 0
    said = capsys.readouterr()
    assert said.out.endswith("\nDone: every conversation is in out.parquet\n")
    assert "converting the records to out.parquet" in said.err
    assert ids_in("out.parquet") == sorted(conversation_ids(20))
    assert HIDDEN.read_bytes().count(b"\n") == 20
    with (folder / "ids.txt").open("a") as ids:
        ids.write(f"\n{GONE}\n" + "\n".join(conversation_ids(25)))
    assert export("--json") == 1
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["output"] == "out.parquet"
    assert summary["dead_letters"] == "out.parquet.failed.jsonl"
    assert ids_in("out.parquet") == sorted(conversation_ids(25))
    assert set(api.counters.ids.values()) == {1}
    assert main(["verify", "out.parquet"]) == 1
    assert "25 records, 1 dead letter" in capsys.readouterr().out
    names = {path.name for path in folder.iterdir()} - {"ids.txt", "log.jsonl"}
    assert names == {".out.parquet.export", "out.parquet", "out.parquet.failed.jsonl"}


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("output", ["out.sqlite", "out.duckdb"])
def test_every_format(output: str) -> None:
    """As to Parquet."""
    assert export("--quiet", output=output) == 0
    assert ids_in(output) == sorted(conversation_ids(20))


@pytest.mark.usefixtures("api")
def test_restart_and_rebuild(folder: Path) -> None:
    """A new start empties the output, and a rebuilt state resumes from the hidden records."""
    assert export("--quiet") == 0
    (folder / "ids.txt").write_text("\n".join(conversation_ids(3)))
    assert export("--quiet", "--restart") == 0
    assert ids_in("out.parquet") == sorted(conversation_ids(3))
    Path(".out.parquet.export/checkpoint.db").unlink()
    assert export("--quiet", "--rebuild-state") == 0
    assert ids_in("out.parquet") == sorted(conversation_ids(3))


def test_two_formats_beside_each_other(api: Emulator) -> None:
    """They share no file; neither may be named as the other's."""
    api.missing(next(conversation_ids(1)))
    for output in ("out.jsonl", "out.parquet", "out.sqlite"):
        assert export("--quiet", output=output) == 1
    assert export("--quiet", output="out.parquet.failed.jsonl") == 2


def test_what_cannot_work_is_told_before_the_first_request(
    api: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown suffix or format, a file of someone else, an output of another log."""
    Path("mine.parquet").write_text("mine")
    convert("log.jsonl", "other.sqlite")
    for output, why in (
        ("x.docx", "x.docx is not that of a format"),
        ("mine.parquet", "already exists and is not a folder of Parquet"),
        ("other.sqlite", "exists, but this export's log does not"),
    ):
        assert export(output=output) == 2
        assert why in capsys.readouterr().err
    assert export("--format", "word", output="x.jsonl") == 2
    assert not api.counters.ids
    assert export("--quiet", "--format", "jsonl", output="x.docx") == 0
    assert Path("x.docx").read_bytes().count(b"\n") == 20


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize(
    ("error", "code"), [(OutputError("is full"), 4), (InputError("is not a conversation"), 2)]
)
def test_a_conversion_that_fails_loses_nothing(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The counts are told, the exit code is that of the error, and the next run converts."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(export_command, "convert", fail)
    assert export("--json") == code
    event = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (event["event"], event["exported"]) == ("error", 20)
    assert event["error"]["message"] == str(error)
    monkeypatch.undo()
    monkeypatch.setenv("SITEASSIST_TOKEN", TOKEN)


def test_when_it_converts(
    api: Emulator, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not when it was stopped, which should be quick; but when a person must act."""
    real = runtime.run

    def stopped(exporting: Coroutine[object, object, Result]) -> Result:
        result = real(exporting)
        assert result.summary is not None
        return evolve(result, summary=evolve(result.summary, ending=Ending.STOPPED))

    monkeypatch.setattr(runtime, "run", stopped)
    assert export("--quiet") == 3
    assert not Path("out.parquet").exists()
    monkeypatch.setattr(runtime, "run", real)
    (folder / "ids.txt").write_text("\n".join(conversation_ids(21)))
    api.outage = Status(401)
    assert export("--quiet") == 4
    assert ids_in("out.parquet") == sorted(conversation_ids(20))
    assert "Check the token" in capsys.readouterr().err
