"""On a terminal: the bar is drawn in place, fits, and leaves nothing behind."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import socket
import struct
import termios
from typing import TYPE_CHECKING

import pytest
from command import siteassist
from door import Door

from siteassist_async.emulator import Emulator, Status, conversation_ids, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TOKEN = "sk_test_cli_terminal"
COLUMNS = 60
REDRAWN = re.compile(r"\r\x1b\[K\x1b\[\?7l(.*?)\x1b\[\?7h")


class Screen:
    """The terminal's end of standard error."""

    def __init__(self) -> None:
        self._mine, self.given = pty.openpty()
        size = struct.pack("HHHH", 24, COLUMNS, 0, 0)
        fcntl.ioctl(self.given, termios.TIOCSWINSZ, size)
        self.shown = ""

    def read_until(self, found: Callable[[str], object]) -> None:
        """Read until something is there, or everything."""
        while not found(self.shown):
            try:
                self.shown += os.read(self._mine, 4096).decode()
            except OSError:  # Linux's way to say that nobody writes any more
                return

    def close(self) -> None:
        """Close both ends."""
        os.close(self._mine)


@pytest.fixture
def screen() -> Iterator[Screen]:
    """A terminal of 60 columns."""
    screen = Screen()
    yield screen
    screen.close()


@pytest.fixture
def export(tmp_path: Path) -> Iterator[tuple[Door, Emulator, list[str]]]:
    """An export of 40 ids of which the first twenty are answered."""
    (tmp_path / "ids.txt").write_text("\n".join(conversation_ids(40)))
    (tmp_path / "token").write_text(TOKEN)
    door = Door(20)
    with in_thread(Emulator(token=TOKEN, messages=0, latency=1, sleep=door)) as api:
        yield (
            door,
            api,
            [
                *("export", str(tmp_path / "ids.txt"), "-o", str(tmp_path / "out.jsonl")),
                *("--token-file", str(tmp_path / "token"), "--base-url", api.url),
                *("--concurrency", "4"),
            ],
        )
        door.open()


@pytest.mark.parametrize(("encoding", "bar"), [("utf-8", "▕█"), ("ascii", "[##")])
def test_bar(
    encoding: str, bar: str, export: tuple[Door, Emulator, list[str]], screen: Screen
) -> None:
    """It shows where the export is, fits into the terminal, and is gone at the end."""
    door, _, arguments = export
    environ = {"PYTHONIOENCODING": encoding}
    with siteassist(*arguments, stderr=screen.given, environ=environ) as command:
        os.close(screen.given)
        door.wait_for(4)
        screen.read_until(lambda shown: "50% 20/40" in shown)
        door.open()
        screen.read_until(lambda _: False)
        assert command.communicate()[0].endswith("out.jsonl\n")
        assert command.returncode == 0
    drawn = REDRAWN.findall(screen.shown)
    assert any(line.startswith(bar) and "50% 20/40" in line for line in drawn)
    assert all(len(line) < COLUMNS for line in drawn)
    assert REDRAWN.sub("", screen.shown) == "\r\x1b[K"


def test_ctrl_c(export: tuple[Door, Emulator, list[str]], screen: Screen) -> None:
    """What Ctrl-C does stands on a line of its own, above the bar, which goes on."""
    door, _, arguments = export
    with siteassist(*arguments, stderr=screen.given) as command:
        os.close(screen.given)
        door.wait_for(4)
        command.send_signal(2)
        screen.read_until(lambda shown: "stopping, 4 in flight" in shown)
        door.open()
        screen.read_until(lambda _: False)
        assert "Stopped. Run the same command again" in command.communicate()[0]
        assert command.returncode == 3
    assert "\r\x1b[Ksiteassist: stopping: waiting up to 8 s for 4 requests" in screen.shown


def test_a_wait_is_told(export: tuple[Door, Emulator, list[str]], screen: Screen) -> None:
    """While the API asks to wait, the bar says so and counts down."""
    door, api, arguments = export
    door.open()
    api.outage = Status(503, retry_after=7000)
    with siteassist(*arguments, stderr=screen.given) as command:
        os.close(screen.given)
        screen.read_until(lambda shown: "waiting 1:5" in shown)
        command.kill()
    assert "waiting 1:5" in screen.shown


def test_a_server_that_is_not_there_is_told(
    export: tuple[Door, Emulator, list[str]], screen: Screen
) -> None:
    """Where nobody listens, the bar soon says what it waits for."""
    _, api, arguments = export
    wrong = f"http://127.0.0.1:{free_port()}/v2"
    arguments[arguments.index(api.url)] = wrong
    with siteassist(*arguments, stderr=screen.given) as command:
        os.close(screen.given)
        screen.read_until(lambda shown: "no usable response for " in shown)
        command.kill()
    assert "  0% 0/40  no usable response for 1 s, retry" in screen.shown


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
