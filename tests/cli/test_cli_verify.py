"""`siteassist verify`, and `export --rebuild-state`: what is told, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from siteassist_async.cli import main
from siteassist_async.emulator import Emulator, conversation_ids, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

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
