"""The console: what goes where, and what becomes of a stream that nobody reads."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from attrs import evolve
from command import siteassist
from test_cli_progress import CALM, HALF, LOST

from siteassist_async.cli import main
from siteassist_async.cli.console import Console, flush
from siteassist_async.cli.progress import Bar, JsonLines, LogLines, Silent, reporter_for

if TYPE_CHECKING:
    from pathlib import Path

    from siteassist_async.cli.status import Status

XTERM = {"TERM": "xterm"}


class Terminal(io.StringIO):
    """A terminal that keeps what it is sent."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        """It is one."""
        return True


class Gone(Terminal):
    """A terminal whose line was cut."""

    def write(self, _: str) -> int:
        """Fail."""
        raise BrokenPipeError


@pytest.fixture
def terminal() -> Terminal:
    """Where standard error goes."""
    return Terminal()


def at(elapsed: float, status: Status = HALF) -> Status:
    """The status at another time."""
    return evolve(status, progress=evolve(status.progress, elapsed=elapsed))


def test_results_and_work_are_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """Results go to standard output, all else to standard error."""
    console = Console.of_process()
    console.result("result")
    console.info("work")
    console.error("failure")
    said = capsys.readouterr()
    assert said.out == "result\n"
    assert said.err == "siteassist: work\nsiteassist: failure\n"


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """A quiet console tells failures only."""
    console = Console.of_process(quiet=True)
    console.info("work")
    console.error("failure")
    assert capsys.readouterr().err == "siteassist: failure\n"


def test_a_redrawn_line_makes_way(terminal: Terminal) -> None:
    """What comes after a redrawn line takes its place, and the end leaves nothing of it."""
    console = Console(None, terminal, XTERM)
    console.redraw("50%")
    console.redraw("60%")
    console.info("news")
    console.redraw("70%")
    console.erase()
    console.erase()
    start = "\r\x1b[K"
    assert terminal.getvalue() == (
        f"{start}\x1b[?7l50%\x1b[?7h{start}\x1b[?7l60%\x1b[?7h{start}siteassist: news\n"
        f"{start}\x1b[?7l70%\x1b[?7h{start}"
    )


@pytest.mark.parametrize("environ", [{}, {"TERM": "dumb"}])
def test_a_dumb_terminal_gets_lines(environ: dict[str, str], terminal: Terminal) -> None:
    """Where the cursor cannot move there is no bar."""
    assert not Console(None, terminal, environ).redraws
    assert not Console(None, io.StringIO(), XTERM).redraws
    assert Console(None, terminal, XTERM).redraws


def test_terminal_features(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The width is the terminal's, or 80; blocks need Unicode."""
    console = Console(None, terminal, XTERM)
    assert (console.columns, console.has_blocks) == (80, True)
    monkeypatch.setattr(terminal, "fileno", lambda: 2)
    for width, columns in ((132, 132), (0, 80)):
        size = Mock(return_value=os.terminal_size((width, 50)))
        monkeypatch.setattr(os, "get_terminal_size", size)
        assert console.columns == columns
    monkeypatch.setattr(Terminal, "encoding", "latin-1")
    assert not console.has_blocks


def test_a_lost_reader_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a write failed nothing more is written to that stream."""
    gone = Gone()
    console = Console(None, gone, XTERM)
    console.info("work")
    monkeypatch.setattr(Gone, "write", Terminal.write)
    console.info("more")
    assert (gone.getvalue(), console.columns, console.has_blocks) == ("", 80, False)


def test_closed_streams_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may be started without standard output and error."""
    monkeypatch.setattr(sys, "stdout", None)
    console = Console(None, None, XTERM)
    console.result("result")
    console.info("work")
    assert not console.redraws
    flush()


def test_unknown_characters_are_escaped() -> None:
    """What the encoding lacks, an undecodable file name too, does not fail."""
    written = io.BytesIO()
    out = io.TextIOWrapper(written, encoding="latin-1")
    Console(out, None, {}).result("né \u2192 \udcff")
    assert written.getvalue() == b"n\xe9 \\u2192 \\udcff\n"


def test_reporters(terminal: Terminal) -> None:
    """How progress is told follows from what was asked for and where it goes."""
    console = Console(None, terminal, XTERM)
    assert isinstance(reporter_for(console, quiet=False, json=False), Bar)
    assert isinstance(reporter_for(Console(None, terminal, {}), quiet=False, json=False), LogLines)
    assert isinstance(reporter_for(console, quiet=False, json=True), JsonLines)
    assert isinstance(reporter_for(console, quiet=True, json=False), Silent)
    assert isinstance(reporter_for(console, quiet=True, json=True), Silent)
    assert terminal.getvalue() == ""


def test_bar_is_redrawn(terminal: Terminal) -> None:
    """A bar is drawn over the one before."""
    bar = reporter_for(Console(None, terminal, XTERM), quiet=False, json=False)
    bar.show(HALF)
    bar.show(HALF)
    assert terminal.getvalue().count("\r\x1b[K") == 2
    assert "50% 500/1,000" in terminal.getvalue()


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    """Quiet progress tells nothing."""
    Silent().show(HALF)
    said = capsys.readouterr()
    assert said.out + said.err == ""


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Each status is one line of JSON."""
    lines = JsonLines(Console.of_process())
    lines.show(HALF)
    lines.show(HALF)
    assert capsys.readouterr().out.count('{"event": "progress", "asked": 500,') == 2


def test_log_lines_are_few(capsys: pytest.CaptureFixture[str]) -> None:
    """A log gets a line every ten seconds."""
    lines = LogLines(Console.of_process())
    for tenths in range(0, 351, 5):
        lines.show(at(tenths / 10))
    assert capsys.readouterr().err.count("siteassist: 50% 500/1,000") == 3


def test_log_tells_a_standstill_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """When the export begins to wait the log says so early, and then every ten seconds."""
    lines = LogLines(Console.of_process())
    gated = evolve(HALF, pace=evolve(CALM, gate=42.0))
    lines.show(at(0.5))
    for elapsed in (1.0, 1.5, 10.5, 11.0):
        lines.show(at(elapsed, gated))
    assert capsys.readouterr().err.count("waiting 42 s as requested by the API") == 2
    lines.show(at(21.0))
    lines.show(at(21.5, evolve(HALF, trouble=LOST, troubled=1.0)))
    assert "no usable response for 1 s" in capsys.readouterr().err


class Unwritable(io.BytesIO):
    """A pipe whose reader is gone."""

    def write(self, _: object) -> int:
        """Fail."""
        raise BrokenPipeError


def test_nothing_is_left_for_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What cannot be written out goes nowhere, so that the interpreter's end is quiet."""
    with (tmp_path / "file").open("w") as file:
        out = io.TextIOWrapper(Unwritable())
        out.write("result")
        monkeypatch.setattr(out, "fileno", file.fileno, raising=False)
        monkeypatch.setattr(sys, "stdout", out)
        flush()
        file.write("nowhere")
    assert (tmp_path / "file").read_text() == ""


def test_help_on_a_full_disk(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is one line, and no bug."""
    full = Terminal()
    monkeypatch.setattr(full, "write", Mock(side_effect=OSError(28, "No space left")))
    monkeypatch.setattr(sys, "stdout", full)
    assert main(["--help"]) == 4
    assert capsys.readouterr().err == "siteassist: standard output: No space left\n"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_for_nobody(arguments: list[str]) -> None:
    """Help whose reader is gone ends as other commands do: without a complaint, with 141."""
    reading, writing = os.pipe()
    os.close(reading)
    with siteassist(*arguments, stdout=writing) as command:
        os.close(writing)
        assert command.communicate()[1] == ""
        assert command.returncode == 141
