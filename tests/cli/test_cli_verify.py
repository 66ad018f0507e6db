"""`siteassist verify`, and `export --rebuild-state`: what is told, and what to do."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from siteassist_async.cli import main
from siteassist_async.emulator import Emulator, conversation_ids, in_thread
from siteassist_async.export import OutputInUseError, verify
from siteassist_async.formats.converting import verify_table, workshop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GONE = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
TOKEN = "sk_test_cli_verify"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """An emulator that the environment points to, and ten ids in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("ids.txt").write_text("\n".join(conversation_ids(10)))
    with in_thread(Emulator(token=TOKEN, messages=1, count_ids=True)) as api:
        monkeypatch.setenv("SITEASSIST_TOKEN", TOKEN)
        monkeypatch.setenv("SITEASSIST_BASE_URL", api.url)
        yield api


def export(*arguments: str) -> int:
    """Run it on the folder's ids."""
    return main(["export", "ids.txt", "-o", "out.jsonl", "--quiet", *arguments])


@pytest.mark.usefixtures("api")
def test_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """A whole export is told with its counts."""
    assert export() == 0
    assert main(["verify", "out.jsonl"]) == 0
    said = capsys.readouterr()
    assert said.out == (
        "out.jsonl: 10 records, 0 dead letters\n"
        "Valid: every line is complete, no record is there twice, and the state agrees.\n"
    )
    assert said.err == ""


def test_records_that_were_replaced(api: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of several files, in parts, and then of what has changed."""
    ids = list(conversation_ids(10))
    first = ids[0]
    Path("a.json").write_text(json.dumps([{"id": i} for i in ids[:4]]))
    Path("b.csv").write_text("x,id\n" + "".join(f"1,{i}\n" for i in ids))
    command = ["export", "a.json", "b.csv", "--column", "id", "-o", "out.jsonl", "--quiet"]
    assert main([*command, "--limit", "7"]) == 3
    assert main(command) == 0
    api.put(first, {"updatedAt": "2100-01-01T00:00:00.000Z", "status": "closed"})
    Path("c.csv").write_text(f"id,changed\n{ids[1]},2020-01-01\n{first},2100-01-01\n")
    again = ["export", "c.csv", "--column", "id", "-o", "out.jsonl", "--quiet"]
    assert main([*again, "--updated-column", "changed", "--refresh", "open"]) == 0
    Path("d.txt").write_text("123e4567-e89b-12d3-a456-426614174000")
    assert main(["export", "d.txt", "-o", "out.jsonl", "--quiet"]) == 2
    assert main(["export", "d.txt", "-o", "out.jsonl", "--quiet", "--any-input"]) == 0
    assert main(["verify", "out.jsonl"]) == 0
    assert capsys.readouterr().out.startswith("out.jsonl: 11 records, 1 older, 0 dead letters\n")


def test_dead_letters(api: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Ids that could not be had are no fault of the files, and no success either."""
    api.missing(GONE)
    with Path("ids.txt").open("a") as ids:
        ids.write(f"\n{GONE}")
    assert export() == 1
    assert main(["verify", "out.jsonl"]) == 1
    assert capsys.readouterr().out.startswith("out.jsonl: 10 records, 1 dead letter\n")


def test_an_edit_is_told_and_rebuilding_goes_on(
    api: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """What verify says to do leads to a whole export."""
    output = Path("out.jsonl")
    assert export() == 0
    first, *rest = output.read_bytes().splitlines(keepends=True)
    output.write_bytes(b"".join([b"#" * (len(first) - 1) + b"\n", *rest]))
    assert main(["verify", "out.jsonl"]) == 4
    said = capsys.readouterr()
    assert "siteassist: out.jsonl: has no valid record in line 1\n" in said.err
    assert "--rebuild-state" in said.out
    output.write_bytes(b"".join(rest))
    assert export("--rebuild-state") == 0
    assert main(["verify", "out.jsonl"]) == 0
    assert len(output.read_bytes().splitlines()) == 10
    assert api.counters.requests == 11


@pytest.mark.usefixtures("api")
def test_unfinished(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An export that did not come to its end is to be run again."""
    with monkeypatch.context() as patch:
        patch.setattr("siteassist_async.export.ledger.Ledger.record_failure", None)
        Path("ids.txt").write_text("\n".join([*conversation_ids(10), "none"]))
        assert export() == 4  # by a bug that the test made
    capsys.readouterr()
    assert main(["verify", "out.jsonl"]) == 3
    assert capsys.readouterr().out.endswith("did not finish: run the export again.\n")


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("output", ["out.jsonl", "out.sqlite"])
def test_an_export_that_stopped_at_its_limit(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ended in order, and is not complete until a later run has come to the end."""
    command = ["export", "ids.txt", "-o", output, "--quiet"]
    assert main([*command, "--limit", "3"]) == 3
    assert main(["verify", output]) == 3
    assert capsys.readouterr().out == (
        f"{output}: 3 records, 0 dead letters\n"
        "Valid so far. The last run did not finish: run the export again.\n"
    )
    assert main(["verify", output, "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["unfinished"] is True
    assert main(command) == 0
    assert main(["verify", output]) == 0


@pytest.mark.usefixtures("api")
def test_a_copy_with_more_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no line is named, none is to be deleted."""
    assert export("--limit", "4") == 3
    part = Path("out.jsonl").read_bytes()
    assert export() == 0
    Path("out.jsonl").write_bytes(part)
    assert main(["verify", "out.jsonl"]) == 4
    said = capsys.readouterr()
    assert "has 4 records, but 10 were written" in said.err
    assert said.out.endswith(
        "Restore the files; or run the export with --rebuild-state, which goes on from what is "
        "there and fetches what is missing.\n"
    )
    assert export("--rebuild-state") == 0
    assert main(["verify", "out.jsonl"]) == 0


def damage_parquet(path: Path) -> None:
    """Cut a part."""
    (part,) = path.glob("conversations/*.parquet")
    part.write_bytes(part.read_bytes()[:50])


def delete_transcripts(path: Path) -> None:
    """Delete all files of a folder."""
    for file in path.glob("*/*.md"):
        file.unlink()


def execute(path: Path, *statements: str) -> None:
    """Change an SQLite database."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


def execute_duckdb(path: Path, statement: str) -> None:
    """Change a DuckDB database."""
    with closing(duckdb.connect(path)) as database:
        database.execute(statement)


TABLES: dict[str, tuple[str, Callable[[Path], object], str, int]] = {
    # the output, what happens to it, what is told, and the exit code of the next export
    "no folder": ("t.parquet", shutil.rmtree, "is missing; run the export again", 0),
    "no file": ("t.sqlite", os.unlink, "is missing; run the export again", 0),
    "no part": (
        "t.parquet",
        lambda path: shutil.rmtree(path / "conversations"),
        "is damaged: a part is missing",
        4,
    ),
    "a damaged part": ("t.parquet", damage_parquet, "is damaged: ", 4),
    "emptied": (
        "t.sqlite",
        lambda path: execute(path, "DELETE FROM messages", "DELETE FROM conversations"),
        "is damaged: its conversations were deleted",
        4,
    ),
    "no messages": (
        "t.duckdb",
        lambda path: execute_duckdb(path, "DELETE FROM messages"),
        "is damaged: it has 0 messages, but 10 were written",
        4,
    ),
    "a conversation less": (
        "t.sqlite",
        lambda path: execute(
            path,
            "DELETE FROM messages WHERE rowid = 1",
            "DELETE FROM conversations WHERE rowid = 1",
        ),
        "has 9 conversations, but its log has 10",
        0,
    ),
    "an edited CSV": (
        "t.csv",
        lambda path: path.write_bytes(path.read_bytes().upper()),
        "was edited",
        4,
    ),
    "no transcripts": (
        "t/",
        delete_transcripts,
        "is damaged: its conversations were deleted",
        4,
    ),
    "another table": (
        "t.sqlite",
        lambda path: execute(path, "PRAGMA application_id = 0"),
        "already exists and is not an SQLite database",
        2,
    ),
    "another place": (
        "t.sqlite",
        lambda path: execute(path, "UPDATE siteassist_place SET tail = 0"),
        "is not the log that was converted before",
        2,
    ),
}


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_was_changed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told, and a later export makes a lost one anew or refuses one without its rows."""
    output, change, told, code = TABLES[name]
    command = ["export", "ids.txt", "-o", output, "--quiet"]
    assert main(command) == 0
    assert main(["verify", output]) == 0
    change(Path(output))
    capsys.readouterr()
    assert main(["verify", output]) == 4
    said = capsys.readouterr()
    assert told in said.err
    assert said.out.endswith("10 records, 0 dead letters\nVerification failed.\n")
    assert main(command) == code
    if "is damaged" in said.err:
        start = said.err.index("`siteassist convert --rebuild ")
        _, *repair = shlex.split(said.err[start:].split("`")[1])
        if name == "no transcripts":
            repair += ["--format", "markdown"]
        assert main([*repair, "--quiet"]) == 0
        assert main(command) == 0
        assert main(["verify", output]) == 0


@pytest.mark.usefixtures("api")
def test_a_table_behind_its_log() -> None:
    """As a conversion leaves it that was killed: the next run completes it."""
    command = ["export", "ids.txt", "-o", "t.csv", "--quiet"]
    assert main([*command, "--limit", "3"]) == 3
    kept = [Path("t.csv").read_bytes(), Path(".t.csv.place").read_bytes()]
    assert main(command) == 0
    Path("t.csv").write_bytes(kept[0])
    Path(".t.csv.place").write_bytes(kept[1])
    assert main(["verify", "t.csv"]) == 3
    with pytest.raises(OutputInUseError), workshop(Path("t.csv")):
        verify_table(verify(Path("t.csv")))
    assert main(["export", "ids.txt", "-o", "pages", "--format", "html", "--quiet"]) == 0
    assert main(["verify", "pages"]) == 0
    shutil.rmtree("pages")
    assert main(["verify", "pages"]) == 2


@pytest.mark.usefixtures("api")
def test_a_lost_state_is_told_with_what_makes_it_anew(capsys: pytest.CaptureFixture[str]) -> None:
    """The option that the refusal names does."""
    assert export() == 0
    shutil.rmtree(".out.jsonl.export")
    assert export() == 2
    assert "if only the state was lost, continue from it with --rebuild-state" in (
        capsys.readouterr().err
    )
    assert export("--rebuild-state") == 0


@pytest.mark.usefixtures("api")
def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A program gets one object."""
    assert export() == 0
    assert main(["verify", "out.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "event": "verified",
        "exit_code": 0,
        "output": "out.jsonl",
        "records": 10,
        "updated": 0,
        "failed": 0,
        "invalid": 0,
        "unfinished": False,
        "faults": [],
    }
    Path("out.jsonl").unlink()
    assert main(["verify", "out.jsonl", "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert found["faults"][0] == {"file": "out.jsonl", "message": "is missing"}


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("json_too", [False, True])
def test_no_export(capsys: pytest.CaptureFixture[str], *, json_too: bool) -> None:
    """A file that no export wrote is one clear line."""
    assert main(["verify", "ids.txt", *["--json"] * json_too]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("siteassist: ids.txt: is not the output of an export: ")
    assert said.err.count("\n") == 1
    assert bool(said.out) == json_too


@pytest.mark.usefixtures("api")
def test_a_damaged_state_is_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    """It is one line that says what to do."""
    assert export() == 0
    Path(".out.jsonl.export/checkpoint.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    for command in (["verify", "out.jsonl"], ["export", "ids.txt", "-o", "out.jsonl"]):
        assert main(command) == 4
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "checkpoint.db: is damaged" in said
        assert "rebuild the export's state" in said
    assert export("--rebuild-state") == 0
