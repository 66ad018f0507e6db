"""`siteassist export`: the ordinary path, every failure, and every way to be told."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command import siteassist

from siteassist_async.cli import main
from siteassist_async.emulator import Emulator, Status, conversation, conversation_ids, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TOKEN = "sk_test_cli_export"
GONE = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
COUNTS = ("exported", "already_there", "failed", "duplicates", "invalid")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator that the environment points to."""
    with in_thread(Emulator(token=TOKEN, messages=1, count_ids=True)) as api:
        api.missing(GONE)
        monkeypatch.setenv("SITEASSIST_TOKEN", TOKEN)
        monkeypatch.setenv("SITEASSIST_BASE_URL", api.url)
        yield api


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a hundred ids, as the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ids.txt").write_text("\n".join(conversation_ids(100)))
    return tmp_path


def export(*arguments: str) -> int:
    """Run it on the folder's ids."""
    return main(["export", "ids.txt", "-o", "out.jsonl", *arguments])


def last_of(shown: str) -> dict[str, object]:
    """The last of the JSON lines."""
    found: dict[str, object] = json.loads(shown.splitlines()[-1])
    return found


def adds_up(summary: dict[str, object]) -> bool:
    """Whether all that was asked is in one of the counts."""
    counts = [summary[name] for name in COUNTS]
    assert all(isinstance(count, int) for count in counts)
    return summary["asked"] == sum(counts)  # type: ignore[arg-type] # just looked


@pytest.mark.usefixtures("api")
def test_done(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything is in the file, and the summary says so."""
    assert export() == 0
    lines = (folder / "out.jsonl").read_text().splitlines()
    records = {record["id"]: record for record in map(json.loads, lines)}
    assert len(lines) == 100
    assert records == {given: conversation(given, messages=1) for given in conversation_ids(100)}
    said = capsys.readouterr()
    assert "  exported              100  " in said.out
    assert said.out.endswith("\nDone: every conversation is in out.jsonl\n")
    assert TOKEN not in said.out + said.err


def test_again(api: Emulator, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is there is not asked for again; what was appended is."""
    assert export("--quiet") == 0
    with (folder / "ids.txt").open("a") as ids:
        ids.write(f"\n{GONE}\n{GONE}\nnonsense\n")
    assert export("--json", "--concurrency", "2", "--max-rate", "5000") == 1
    summary = last_of(capsys.readouterr().out)
    assert [summary[name] for name in ("asked", *COUNTS)] == [103, 0, 100, 1, 1, 1]
    assert summary["dead_letters"] == "out.failed.jsonl"
    assert adds_up(summary)
    assert set(api.counters.ids.values()) == {1}


def test_feed_back(api: Emulator, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command that the summary names asks for what failed once more."""
    first, good = conversation_ids(2)
    (folder / "ids.txt").write_text(f"{first}\n{good}\n")
    api.script(
        first, *[Status(501)] * 4
    )  # each run asks for it once more where others are answered
    assert export() == 1
    *_, again = capsys.readouterr().out.splitlines()
    command = again.partition("siteassist ")[2]
    assert command == "export ids.txt -o out.jsonl --retry-failed"
    assert main(command.split()) == 1
    assert api.counters.ids[first] == 4


@pytest.mark.usefixtures("api")
def test_restart(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--restart` begins anew."""
    assert export("--quiet") == 0
    (folder / "ids.txt").write_text(GONE)
    assert export("--restart", "--json") == 1
    assert last_of(capsys.readouterr().out)["asked"] == 1


def test_columns(api: Emulator, folder: Path) -> None:
    """The ids may stand in a column of a CSV file or under a key of JSON lines."""
    one, other = conversation_ids(2)
    (folder / "ids.csv").write_text(f"ticket,conversation\n1,{one}\n")
    (folder / "ids.jsonl").write_text(json.dumps({"conversation": other}))
    for name in ("ids.csv", "ids.jsonl"):
        command = ["export", name, "-o", f"{name}.out.jsonl", "--column", "conversation", "--quiet"]
        assert main(command) == 0
    assert set(api.counters.ids) == {one, other}


@pytest.mark.usefixtures("api")
def test_quiet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With `--quiet` success is silent, and what is missing is told as an error."""
    assert export("--quiet") == 0
    said = capsys.readouterr()
    assert said.out + said.err == ""
    (folder / "ids.txt").write_text(GONE)
    assert export("--quiet", "--restart") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "Failed: 1, " in said.err


@pytest.mark.usefixtures("api", "folder")
def test_quiet_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With both, a program gets the summary alone."""
    assert export("--quiet", "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["event"] == "summary"
    assert said.err == ""


def test_nobody_reads_it(api: Emulator, folder: Path) -> None:
    """An export goes on when nobody reads what it tells: its product is the file."""
    reading, writing = os.pipe()
    os.close(reading)
    environ = {"SITEASSIST_TOKEN": TOKEN, "SITEASSIST_BASE_URL": api.url}
    arguments = ("export", "ids.txt", "-o", "out.jsonl", "--json")
    with siteassist(*arguments, stdout=writing, environ=environ) as command:
        os.close(writing)
        assert command.communicate()[1] == ""
        assert command.returncode == 0
    assert len((folder / "out.jsonl").read_bytes().splitlines()) == 100


def test_the_limit_is_remembered(
    api: Emulator, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What one run learned of the limit the next one begins with."""
    first, second, third = conversation_ids(3)
    (folder / "ids.txt").write_text(f"{first}\n{second}\n")
    api.script(first, Status(429, retry_after=0.05))
    assert export("--json") == 0
    learned = last_of(capsys.readouterr().out)["learned_limit"]
    assert learned
    (folder / "ids.txt").write_text(f"{first}\n{second}\n{third}\n")
    with in_thread(Emulator(token=TOKEN)) as other:  # whose pacer in this process is a new one
        assert export("--json", "--base-url", other.url) == 0
    summary = last_of(capsys.readouterr().out)
    assert (summary["learned_limit"], summary["refused"]) == (learned, 0)


@pytest.mark.usefixtures("folder")
def test_json(api: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output is JSON lines: progress, and the summary last."""
    assert export("--json") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["progress"] * (len(events) - 1) + ["summary"]
    assert len(events) > 1
    assert events[-1]["requests"] == api.counters.requests == 100


@pytest.mark.usefixtures("folder")
def test_refusals_and_faults_are_counted(api: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """What was refused and made again is in the summary."""
    first, second, *_ = conversation_ids(100)
    api.script(first, Status(429, retry_after=0.05))
    api.script(second, Status(500))
    assert export("--json") == 0
    summary = last_of(capsys.readouterr().out)
    assert (summary["refused"], summary["retries"], summary["requests"]) == (1, 2, 102)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "Check the token"), (402, "change the plan"), (403, "Use a token that may read")],
)
def test_blocked(
    status: int,
    advice: str,
    api: Emulator,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where every request is refused the export ends with what to do; then it goes on."""
    api.outage = Status(status)
    assert export() == 4
    said = capsys.readouterr()
    assert advice in said.out
    assert f"{status} " in said.out
    assert main(["export", "--all", "-o", "all.jsonl"]) == 4
    said = capsys.readouterr()
    assert advice in said.out
    assert "offset" not in said.out + said.err
    api.outage = None
    assert export("--json") == 0
    assert last_of(capsys.readouterr().out)["asked"] == 100


def made(name: str, content: bytes | None) -> str:
    """A file of this name, a folder, or nothing."""
    if content is None:
        Path(name).mkdir()
    elif content != b"missing":
        Path(name).write_bytes(content)
    return name


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"missing", "input: cannot be read: No such file or directory"),
        (None, "input: cannot be read: Is a directory"),
        (b"", "input: contains no IDs"),
        (b" \n\n", "input: contains no IDs"),
        (b"\x7fELF\x00\x01", "input: is not text"),
        (b"\xff\xfei\x00d\x00", "input: is UTF-16"),
        (
            b"ticket,conversation\n1,123e4567-e89b-12d3-a456-426614174000\n",
            "choose the one that contains",
        ),
    ],
)
def test_unusable_input(
    content: bytes | None,
    reason: str,
    api: Emulator,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An input that cannot be used is one line that names it, and exit code 2."""
    assert main(["export", made("input", content), "-o", "out.jsonl"]) == 2
    said = capsys.readouterr()
    assert reason in said.err
    assert said.err.count("\n") == 1
    assert api.counters.requests == 0
    assert not (folder / "out.jsonl").exists()


@pytest.mark.usefixtures("api")
def test_unknown_column(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A column that is not there is told with those that are; `--json` tells it to programs."""
    (folder / "ids.csv").write_text("ticket,conversation\n1,2\n")
    assert main(["export", "ids.csv", "-o", "out.jsonl", "--column", "id", "--json"]) == 2
    said = capsys.readouterr()
    assert "ticket, conversation" in said.err
    event = last_of(said.out)
    assert (event["event"], event["exit_code"]) == ("error", 2)
    assert event["error"] == {
        "type": "UnknownColumnError",
        "message": said.err.strip().removeprefix("siteassist: "),
    }


@pytest.mark.parametrize(
    ("output", "code", "reason"),
    [
        ("nowhere/out.jsonl", 4, "No such file or directory"),
        ("ids.txt/out.jsonl", 4, "Not a directory"),
        ("folder", 4, "is not a regular file"),
        ("/dev/null", 4, "is not a regular file"),
        ("ids.txt", 2, "already exists"),
    ],
)
def test_unusable_output(  # noqa: PLR0917 - fixtures and parameters
    output: str,
    code: int,
    reason: str,
    api: Emulator,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An output that cannot be written is one line that names it; nothing is overwritten."""
    (folder / "folder").mkdir()
    before = (folder / "ids.txt").read_bytes()
    assert main(["export", "ids.txt", "-o", output, "--format", "jsonl"]) == code
    said = capsys.readouterr()
    assert reason in said.err
    assert said.err.count("\n") == 1
    assert api.counters.requests == 0
    assert (folder / "ids.txt").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--base-url", "http://example.com"], "must be https"),
        (["--token-file", "missing"], "--token-file missing: No such file"),
        (["--ca", "missing"], "--ca missing: No such file"),
    ],
)
def test_wrong_usage(
    arguments: Sequence[str],
    reason: str,
    api: Emulator,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Options that cannot work are told before anything is written."""
    assert export(*arguments) == 2
    assert reason in capsys.readouterr().err
    assert sorted(os.listdir(folder)) == ["ids.txt"]  # noqa: PTH208 - names only
    assert api.counters.requests == 0


def test_ids_of_a_person(
    api: Emulator,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Somebody who types ids is told how to end."""
    with (folder / "ids.txt").open() as ids:
        monkeypatch.setattr(sys, "stdin", ids)
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        saved = os.dup(0)
        os.dup2(ids.fileno(), 0)
        try:
            assert main(["export", "-", "-o", "out.jsonl"]) == 0
        finally:
            os.dup2(saved, 0)
            os.close(saved)
    assert "press Ctrl-D to end" in capsys.readouterr().err
    assert api.counters.requests == 100
