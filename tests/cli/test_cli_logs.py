"""The log, on standard error and in a file."""

from __future__ import annotations

import io
import logging
import re
import stat
from typing import TYPE_CHECKING

import pytest

from siteassist_async.cli import main
from siteassist_async.cli.console import Console
from siteassist_async.cli.logs import logged
from siteassist_async.emulator import Disconnect, Emulator, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ID = "123e4567-e89b-12d3-a456-426614174000"
TOKEN = "sk_test_cli_logs"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
LOG = logging.getLogger("siteassist_async")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator that closes the connection once."""
    with in_thread(Emulator(token=TOKEN, messages=0)) as api:
        monkeypatch.setenv("SITEASSIST_TOKEN", TOKEN)
        monkeypatch.setenv("SITEASSIST_BASE_URL", api.url)
        api.script(ID, Disconnect())
        yield api


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("options", [["-v"], ["-vv"], ["--verbose", "--verbose"]])
def test_on_standard_error(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Retries once, in the log alone; with twice the option every attempt too."""
    before = LOG.level, LOG.handlers[:]
    assert main(["get", ID, *options]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == [
        *(["DEBUG", "INFO", "DEBUG"] if options != ["-v"] else ["INFO"])
    ]
    assert sum("retrying in" in line for line in lines) == 1
    assert all(re.match(rf"{TIME} [A-Z]+ siteassist_async\.\w+: \w", line) for line in lines)
    assert (LOG.level, LOG.handlers) == before


@pytest.mark.usefixtures("api")
def test_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which each run appends to, and the terminal has what it has without."""
    file = tmp_path / "siteassist.log"
    assert main(["get", ID, "--log-file", str(file)]) == 0
    assert capsys.readouterr().err.startswith("siteassist: retrying in")
    assert re.fullmatch(rf"{TIME} INFO siteassist_async\.retry: .*\n", file.read_text())
    assert main(["list", "--log-file", str(file), "-vv"]) == 0
    assert [line.split()[1] for line in file.read_text().splitlines()] == ["INFO", "DEBUG"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["my IDs\n", '{"id":'])
def test_a_file_of_something_else_is_refused(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The output or the input, say: nothing is written to it."""
    file = tmp_path / "mine"
    file.write_text(content)
    assert main(["export", "ids.txt", "-o", "out.jsonl", "--log-file", str(file)]) == 2
    assert "mine: exists, and is not a log of siteassist" in capsys.readouterr().err
    assert file.read_text() == content


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("name", ["out.jsonl", "out.failed.jsonl"])
def test_a_file_of_the_export_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is not there yet too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ids.txt").write_text(ID)
    assert main(["export", "ids.txt", "-o", "out.jsonl", "--log-file", name]) == 2
    said = capsys.readouterr().err
    assert said == f"siteassist: --log-file {name}: is a file of the export\n"


def test_a_file_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    """It is named before anything is done."""
    assert main(["get", ID, "--log-file", "/nowhere/log"]) == 2
    assert "--log-file /nowhere/log: No such file or directory" in capsys.readouterr().err


def test_a_line_cannot_control_a_terminal_or_show_the_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a record says, it is one line, above the progress, which is drawn anew."""
    token = "tok_live_ABCDEF123456"
    monkeypatch.setenv("SITEASSIST_TOKEN", token)
    with logged(Console.of_process(), verbose=1, log_file=None):
        LOG.warning("odd: %s", f"\x1b[2J\n{token}")
        LOG.debug("not told")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(r" WARNING siteassist_async: odd: \x1b[2J\n***")


def test_the_progress_makes_way() -> None:
    """A line of the log takes the place of the progress."""
    terminal = io.StringIO()
    console = Console(None, terminal, {})
    with logged(console, verbose=1, log_file=None):
        console.redraw("50%")
        LOG.warning("news")
    assert re.search(r"50%\x1b\[\?7h\r\x1b\[K\d{4}-.* news\n$", terminal.getvalue())
