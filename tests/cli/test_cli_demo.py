"""`siteassist demo`: it does what it says, on a machine with no account."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import pytest

from siteassist_async.cli import demo, main
from siteassist_async.emulator import Emulator, Status
from siteassist_async.export import ExportJob, InputError, OutputError

COUNT = 40


@pytest.fixture(autouse=True)
def nobodys_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a newcomer: no token, and another folder for temporary files."""
    for name in ("SITEASSIST_TOKEN", "SITEASSIST_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


def test_all_is_as_it_says(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Every conversation comes through, and what was set in its way is told."""
    assert main(["demo", "--conversations", str(COUNT)]) == 0
    shown = capsys.readouterr().out
    assert "  IDs                    43\n" in shown
    assert "  exported               40  " in shown
    assert "  40 of 40 records equal the emulator's conversations\n" in shown
    assert "not-a-conversation-id: invalid id" in shown
    assert ": not found" in shown
    assert '  {"object":"conversation","id":"' in shown
    (folder,) = (tmp_path / "temporary").iterdir()
    assert str(folder / "conversations.jsonl") in shown
    assert (folder / "ids.txt").read_text().count("\n") == 43
    assert all(line.isprintable() for line in shown.splitlines())


def test_the_limit_is_met_and_learned(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With few requests at once the limit is met early; what was learned is told."""
    monkeypatch.setattr(demo, "_BURST", 5.0)
    assert main(["demo", "--conversations", "60", "--output", str(tmp_path / "new" / "demo")]) == 0
    shown = capsys.readouterr().out
    assert "estimated rate limit " in shown
    assert "/s, actual 200/s and a burst of 5\n" in shown
    assert "as requested by the API" in shown
    assert (tmp_path / "new" / "demo" / "conversations.failed.jsonl").exists()


def test_a_difference_is_no_success(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a record were not what the emulator has, the demo would say so."""
    monkeypatch.setattr(demo, "conversation", Mock(return_value=None))
    assert main(["demo", "--conversations", "10"]) == 1
    assert "  0 of 10 records equal the emulator's conversations\n" in capsys.readouterr().out


def test_what_was_not_met_is_no_success(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If what was set in the way had not been there, the demo would say so."""
    monkeypatch.setattr(Emulator, "missing", Mock())
    assert main(["demo", "--conversations", "10"]) == 1
    shown = capsys.readouterr().out
    assert "  11 of 11 records equal the emulator's conversations\n" in shown
    assert "  failed                  0\n" in shown


@pytest.mark.parametrize("kind", ["full", "file", "unwritable"])
def test_unusable_folder(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that cannot be used is one line; nothing is overwritten."""
    folder = tmp_path / kind
    if kind == "full":
        folder.mkdir()
        (folder / "ids.txt").write_text("mine")
    elif kind == "file":
        folder.write_text("mine")
    else:
        folder = Path("/proc/nothing")
    assert main(["demo", "--output", str(folder)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"siteassist: {folder}: ")
    assert said.err.count("\n") == 1


def test_no_temporary_folder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no temporary folder can be made, that is told."""
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nothing")
    assert main(["demo"]) == 2
    assert "siteassist: temporary folder: " in capsys.readouterr().err


@pytest.mark.parametrize("signals", [1, 2])
def test_interrupted(
    signals: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends it, in order or at once, with a line and exit code 3."""
    run = ExportJob.run

    async def run_and_interrupt(self: ExportJob) -> object:
        for _ in range(signals):
            os.kill(os.getpid(), signal.SIGINT)
        return await run(self)

    monkeypatch.setattr(ExportJob, "run", run_and_interrupt)
    assert main(["demo"]) == 3
    assert "the demo ended before its export was finished" in capsys.readouterr().err


def test_a_failure_of_the_export(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends an export ends the demo: a token that is refused, say."""
    start = Emulator.start

    async def start_refusing(self: Emulator) -> None:
        self.outage = Status(401)
        await start(self)

    monkeypatch.setattr(Emulator, "start", start_refusing)
    assert main(["demo"]) == 4
    assert "ended before" in capsys.readouterr().err


def test_an_error_of_the_export(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of its files is told as the export tells it."""
    empty = InputError("contains no IDs", path="ids.txt")
    monkeypatch.setattr(demo, "export", AsyncMock(side_effect=empty))
    assert main(["demo"]) == 2
    assert "ids.txt: contains no IDs" in capsys.readouterr().err


def test_a_file_that_fails_amid_the_demo_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an export tells it: a full disk, say."""
    full = OutputError("cannot be written: No space left on device", path="conversations.jsonl")
    ended = Mock(error=full, summary=None)
    monkeypatch.setattr(demo, "export", AsyncMock(return_value=ended))
    assert main(["demo", "--conversations", str(COUNT)]) == 4
    assert "conversations.jsonl: cannot be written: No space left" in capsys.readouterr().err
