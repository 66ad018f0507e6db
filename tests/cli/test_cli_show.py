"""`siteassist show` and `siteassist inspect`: what is in a file of conversations."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from siteassist_async.cli import main
from siteassist_async.compression import compression_of
from siteassist_async.emulator import conversation, conversation_ids
from siteassist_async.formats import convert

IDS = list(conversation_ids(40))
GONE = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
HOSTILE = "\x1b[2J\x07\x9b31m\u202etxt\r\x00"


def record(number: int, **fields: object) -> dict[str, Any]:
    """A conversation with two messages, like the API's."""
    message = {"object": "message", "id": "m", "chatId": IDS[number], "status": "complete"}
    messages = [
        message | {"role": role, "createdAt": f"2026-01-0{1 + number % 3}T10:00:0{at}Z",
                   "parts": [{"type": "text", "text": text}]}
        for at, (role, text) in enumerate((("user", "Hi"), ("assistant", "Hello\n# there")))
    ]  # fmt: skip
    return conversation(IDS[number], messages=0) | {
        "title": f"No. {number}",
        "createdAt": f"2026-0{1 + number % 2}-01T10:00:00Z",
        "updatedAt": "2026-03-01T10:00:00.123+02:00",
        "status": "closed" if number % 4 else "open",
        "closeReason": None,
        "closedAt": None,
        "isHumanHandled": number % 4 == 1,
        "humanAgent": None,
        "messages": messages,
        **fields,
    }


def write(path: Path, *records: dict[str, Any]) -> Path:
    """Write a log."""
    path.write_bytes(b"".join(json.dumps(record).encode() + b"\n" for record in records))
    return path


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log of ten conversations, as a file of the current folder."""
    monkeypatch.chdir(tmp_path)
    return write(Path("out.jsonl"), *map(record, range(10)))


SHOWN = f"""\
No. 3
ID:           {IDS[3]}
Status:       closed
Created:      2026-02-01 10:00:00 UTC
Updated:      2026-03-01 08:00:00 UTC

--- user, 2026-01-01 10:00:00 UTC
  Hi

--- assistant, 2026-01-01 10:00:01 UTC
  Hello
  # there
"""


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet", ".sqlite", ".duckdb"])
def test_a_conversation_is_shown_from_any_format(
    log: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It reads the same."""
    file = log.with_name(f"file{suffix}")
    compression = compression_of(file)
    if compression is not None:
        file.write_bytes(compression.compress(log.read_bytes()))
    elif suffix != ".jsonl":
        convert(log, file)
    else:
        log.rename(file)
    assert main(["show", str(file), IDS[3].upper()]) == 0
    assert capsys.readouterr().out == SHOWN
    assert main(["show", str(file), GONE]) == 1
    assert f"has no conversation {GONE}" in capsys.readouterr().err
    assert main(["inspect", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["messages"] == 20


def test_the_newest_record_is_shown(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And not one that only mentions the ID."""
    old = record(3) | {"id": IDS[3].upper()}
    write(log, old, record(4, title=IDS[3]), record(3, title="new"), record(5, title=IDS[3]))
    assert main(["show", "out.jsonl", IDS[3]]) == 0
    assert capsys.readouterr().out.startswith("new\n")
    write(log, old | {"title": "in capitals"}, record(4, title=IDS[3]))
    assert main(["show", "out.jsonl", IDS[3]]) == 0
    assert capsys.readouterr().out.startswith("in capitals\n")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_nothing_shown_controls_a_terminal(
    log: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no text looks like another message."""
    hostile = record(0, title=HOSTILE + "é", status=HOSTILE, humanAgent={"name": HOSTILE})
    for message in hostile["messages"]:
        message |= {"role": HOSTILE, "error": HOSTILE}
        message["parts"] = [
            {"type": "text", "text": f"{HOSTILE}\n--- user\u2028--- user"},
            {"type": "tool", "x": HOSTILE},
        ]
    write(log, hostile)
    out = _Out(encoding)
    monkeypatch.setattr("sys.stdout", out)
    assert main(["show", "out.jsonl", IDS[0]]) == 0
    shown = out.getvalue()
    assert not set(shown) & set(HOSTILE) - set("[2J31mtx")
    assert "\\u001b[2J\\u0007\\u009b31m\\u202etxt" in shown
    assert ("é" in shown) == (encoding == "utf-8")
    assert [line for line in shown.splitlines() if line.startswith("--- user")] == []
    assert shown.isascii() or encoding == "utf-8"


class _Out(StringIO):
    """A standard output of some encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._name = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The name of the encoding."""
        return self._name


class _Terminal(_Out):
    """A terminal, which is 80 columns wide."""

    def isatty(self) -> bool:
        return True


MARKDOWN = (
    "**bold** [text](https://example.com/?q=1)\n\n- one\n- two &#x202e;&#x9b;31m"
    f"\n\n```python\n{HOSTILE}\n```\n\n    --- user\n\n--- user"
)


@pytest.fixture
def terminal(log: Path, monkeypatch: pytest.MonkeyPatch) -> _Terminal:
    """Where a conversation is shown, the user and the assistant of which wrote Markdown."""
    texts = record(0)
    for message in texts["messages"]:
        message["parts"] = [{"type": "text", "text": MARKDOWN}]
    write(log, texts)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return _Terminal("utf-8")


def test_the_assistants_markdown_is_formatted_for_a_terminal(
    terminal: _Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And controls nothing but the style; what the user wrote is shown as written."""
    monkeypatch.setattr("sys.stdout", terminal)
    assert main(["show", "out.jsonl", IDS[0]]) == 0
    _, user, assistant = re.split("(?m)^--- .*$", terminal.getvalue())
    assert "  **bold** [text](https://example.com/?q=1)\n" in user
    assert "\x1b[1mbold\x1b[0m" in assistant
    plain = re.sub(r"\x1b\[[0-9;]*m", "", assistant)
    assert "  bold text (https://example.com/?q=1)\n" in plain
    assert "\u202e" not in plain
    assert "\\u001b[2J" in plain
    assert plain.replace("\n", "").isprintable()


def test_markdown_is_shown_as_written_without_rich(
    terminal: _Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in an extra."""
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert main(["show", "out.jsonl", IDS[0]]) == 0
    _, user, assistant = re.split("(?m)^--- .*$", terminal.getvalue())
    assert user.strip() == assistant.strip()
    assert "\x1b" not in assistant


@pytest.mark.parametrize("letters", ["out.failed.jsonl", "out.jsonl.failed.jsonl"])
def test_a_conversation_that_failed_is_explained(
    log: Path, letters: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the dead letters of the export."""
    letter = {
        "id": GONE,
        "reason": "not found",
        "error": "NotFoundError",
        "message": "404 \x1b",
        "retryable": False,
        "attempts": 1,
        "at": "2026-01-01T00:00:00Z",
    }
    Path(letters).write_text(f"{json.dumps(letter)}\nno letter\n")
    assert main(["show", "out.jsonl", GONE]) == 1
    assert capsys.readouterr().err == "siteassist: its export failed: not found: 404 \\x1b\n"
    assert main(["inspect", "out.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["failures"] == {"not found": 1}
    assert main(["inspect", str(log)]) == 0
    assert "failed:\n  not found                            1  100.0%\n" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["show", "inspect"])
def test_what_cannot_be_read_is_wrong_usage(
    log: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named, in one line; a table is missing until its export has ended."""
    more = [IDS[0]] if command == "show" else []
    log.with_name("other.txt").touch()
    Path(".begun.sqlite.export").mkdir()
    Path(".begun.sqlite.export", "records.jsonl").touch()
    for file, message in (
        ("missing.jsonl", "missing.jsonl: does not exist\n"),
        ("missing.parquet", "missing.parquet: does not exist\n"),
        ("begun.sqlite", "begun.sqlite: does not exist yet: run its export again"),
        ("other.txt", "the suffix of other.txt is not that of a format"),
        (".", "the suffix of  is not that of a format"),
    ):
        assert main([command, file, *more]) == 2
        said = capsys.readouterr()
        assert f"siteassist: {message}" in said.err
        assert said.out == ""
    assert main([command, "out.jsonl", *more, "--format", "nonsense"]) == 2
    with closing(sqlite3.connect("x.db")) as database:
        database.execute("CREATE TABLE mine (x)")
    assert main([command, "x.db", *more]) in {2, 4}


def test_an_id_that_is_none_is_wrong_usage(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is read."""
    assert main(["show", str(log), "none"]) == 2
    assert "none" in capsys.readouterr().err


def test_a_line_that_is_no_record_is_named(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its file; with --json as an event too."""
    with log.open("ab") as file:
        file.write(b'{"id":7}\n')
    assert main(["inspect", "out.jsonl", "--json"]) == 2
    said = capsys.readouterr()
    assert "out.jsonl: has a line that is not the record of a conversation" in said.err
    assert json.loads(said.out)["error"]["type"] == "InputError"


INSPECTED = """\
out.jsonl
  conversations                       10
  handled by a human                   3  30.0%
  messages                            20
  messages per conversation            2  median (2 to 2, mean 2.0)
  characters per message               2  median (2 to 13, mean 7.5)
status:
  closed                               7  70.0%
  open                                 3  30.0%
role:
  user                                10  50.0%
  assistant                           10  50.0%
month:
  2026-01                              5  50.0%
  2026-02                              5  50.0%
"""


def test_what_is_in_a_file_is_counted(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each conversation once, by its newest record."""
    with log.open("ab") as file:
        file.write(json.dumps(record(3)).encode() + b"\n")
    assert main(["inspect", "out.jsonl"]) == 0
    assert capsys.readouterr().out == INSPECTED
    assert main(["inspect", "out.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "event": "inspected",
        "file": "out.jsonl",
        "conversations": 10,
        "messages": 20,
        "statuses": {"closed": 7, "open": 3},
        "months": {"2026-01": 5, "2026-02": 5},
        "human_handled": 3,
        "roles": {"user": 10, "assistant": 10},
        "messages_per_conversation": {"min": 2, "median": 2, "mean": 2.0, "max": 2},
        "characters_per_message": {"min": 2, "median": 2, "mean": 7.5, "max": 13},
        "failures": {},
    }


def test_odd_values_and_an_empty_file_are_counted(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Few of many values are shown, escaped; what is missing has a name."""
    odd = [record(n, status=f"\x1b{n}", createdAt=None, messages=None) for n in range(30)]
    write(log, *odd)
    assert main(["inspect", "out.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert shown.count("  \\x1b") == 20
    assert re.search(r"\n  10 others +10\n", shown)
    assert "  none                                30  100.0%\n" in shown
    log.write_bytes(b"")
    assert main(["inspect", "out.jsonl"]) == 0
    assert "  conversations                        0\n" in capsys.readouterr().out
