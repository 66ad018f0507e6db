"""`siteassist emulator`: it says how to reach it, serves, and ends when asked to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from command import line_with, siteassist

from siteassist_async.cli import main
from siteassist_async.cli.emulator import served
from siteassist_async.emulator import Counters, Emulator, conversation, conversation_ids

ID = "123e4567-e89b-12d3-a456-426614174000"


def test_serves_as_it_says() -> None:
    """The lines that it prints to try it work in a shell; its options hold."""
    arguments = ("--port", "0", "--token", "sk_a'b", "--seed", "7", "--latency", "0.001")
    with siteassist("emulator", *arguments) as emulator:
        assert "token sk_a'b; Ctrl-C to stop" in line_with("SiteAssist emulator", emulator.stdout)
        lines = [line_with("export", emulator.stdout), line_with(ID, emulator.stdout)]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        shell = ["sh", "-c", "".join(lines)]
        tried = subprocess.run(shell, env={"PATH": path}, capture_output=True, check=True)
        assert json.loads(tried.stdout) == conversation(ID, 7)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ends_by_a_signal(number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and SIGHUP end it with what it has done and exit code 0."""
    with siteassist("emulator", "--port", "0") as emulator:
        line_with("siteassist get", emulator.stdout)
        emulator.send_signal(number)
        shown, said = emulator.communicate()
        assert (shown.strip(), said) == ("Responses sent: none", "")
        assert emulator.returncode == 0


def test_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rate, what comes faster is refused, and the summary tells so."""
    with siteassist("emulator", "--port", "0", "--rate", "0.001") as emulator:
        line = line_with("export", emulator.stdout)
        for word in line.split()[1:]:
            monkeypatch.setenv(*word.split("=", 1))
        assert main(["get", ID]) == 0
        assert main(["get", ID]) == 3
        emulator.send_signal(signal.SIGINT)
        assert emulator.communicate()[0].strip() == "Responses sent: 1 with 200, 1 with 429"


def test_faults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Some IDs fail for good, others at first only."""
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(conversation_ids(100)))
    with siteassist("emulator", "--port", "0", "--faults") as emulator:
        line = line_with("export", emulator.stdout)
        for word in line.split()[1:]:
            monkeypatch.setenv(*word.split("=", 1))
        assert main(["export", str(ids), "-o", str(tmp_path / "out.jsonl"), "--quiet"]) == 1
    letters = (tmp_path / "out.failed.jsonl").read_text().splitlines()
    reasons = [json.loads(letter)["reason"] for letter in letters]
    assert set(reasons) == {"forbidden", "not found"}
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 100 - len(reasons)


def test_port_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    """A port that is taken is told with what to do about it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["emulator", "--port", str(port)]) == 2
    said = capsys.readouterr()
    assert said.err == (
        f"siteassist: port {port} is in use; choose another with --port, or 0 for any free one\n"
    )
    assert said.out == ""


def test_forbidden_port(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that may not be used is told with the system's reason."""

    async def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("siteassist_async.emulator.Emulator.start", refuse)
    assert main(["emulator", "--port", "80"]) == 2
    assert capsys.readouterr().err == "siteassist: cannot listen on port 80: Permission denied\n"


def test_in_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It serves in the process that runs it, on the loop that there is without uvloop too."""
    start = Emulator.start

    async def start_and_end(self: Emulator) -> None:
        await start(self)
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)

    monkeypatch.setitem(sys.modules, "uvloop", None)
    monkeypatch.setattr(Emulator, "start", start_and_end)
    assert main(["emulator", "--port", "0"]) == 0
    shown = capsys.readouterr().out
    assert "http://127.0.0.1:" in shown
    assert shown.endswith("Responses sent: none\n")


def test_served() -> None:
    """What was done is told by status."""
    counters = Counters(requests=1234)
    counters.statuses.update({429: 34, 200: 1200})
    assert served(counters) == "Responses sent: 1,200 with 200, 34 with 429"
