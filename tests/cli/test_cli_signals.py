"""Signals: the first asks an export to stop, the second ends it, and the file is whole."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import frozen
from command import line_with, siteassist
from door import Door

from siteassist_async.cli.runtime import interrupts
from siteassist_async.emulator import Emulator, conversation_ids, in_thread

if TYPE_CHECKING:
    from collections.abc import Generator

TOKEN = "sk_test_cli_signals"
IDS = tuple(conversation_ids(60))


@frozen
class Export:
    """An export whose emulator holds all answers beyond the first ones."""

    api: Emulator
    door: Door
    arguments: list[str]
    output: Path

    def ids(self) -> list[str]:
        """The ids of the records that are there."""
        return [json.loads(line)["id"] for line in self.output.read_bytes().splitlines()]


@contextmanager
def held_export(folder: Path, *, after: int) -> Generator[Export]:
    """Make one that answers `after` requests; four more are then in flight."""
    ids, token, output = folder / "ids.txt", folder / "token", folder / "out.jsonl"
    ids.write_text("\n".join(IDS))
    token.write_text(TOKEN)
    door = Door(after)
    with in_thread(Emulator(token=TOKEN, messages=0, latency=1, sleep=door, count_ids=True)) as api:
        arguments = [
            *("export", str(ids), "-o", str(output), "--json", "--concurrency", "4"),
            *("--base-url", api.url, "--token-file", str(token)),
        ]
        yield Export(api, door, arguments, output)
        door.open()


def summary_of(shown: str) -> dict[str, object]:
    """The last of the JSON lines."""
    found: dict[str, object] = json.loads(shown.splitlines()[-1])
    assert found["event"] == "summary"
    return found


def test_the_first_asks(tmp_path: Path) -> None:
    """What is in flight ends and is written; the same command goes on, and asks for none twice."""
    with held_export(tmp_path, after=20) as export:
        with siteassist(*export.arguments) as command:
            export.door.wait_for(4)
            command.send_signal(signal.SIGINT)
            assert line_with("stopping", command.stderr) == (
                "siteassist: stopping: waiting up to 8 s for 4 requests in flight; "
                "press Ctrl-C again to end at once\n"
            )
            export.door.open()
            shown, said = command.communicate()
            assert said == ""
            assert command.returncode == 3
        summary = summary_of(shown)
        assert (summary["ending"], summary["exported"], summary["asked"]) == ("stopped", 24, 24)
        assert len(export.ids()) == 24
        with siteassist(*export.arguments) as command:
            shown, said = command.communicate()
            assert (command.returncode, said) == (0, "")
        summary = summary_of(shown)
        assert (summary["already_there"], summary["exported"]) == (24, 36)
        assert sorted(export.ids()) == sorted(IDS)
        assert set(export.api.counters.ids.values()) == {1}


def test_nothing_in_flight_is_not_waited_for(tmp_path: Path) -> None:
    """While the project is listed there are no requests to wait for."""
    with held_export(tmp_path, after=0) as export:
        arguments = ["--all" if word.endswith("ids.txt") else word for word in export.arguments]
        with siteassist(*arguments) as command:
            export.door.wait_for(1)
            command.send_signal(signal.SIGINT)
            said = line_with("stopping", command.stderr)
            assert said == "siteassist: stopping: press Ctrl-C again to end at once\n"
            command.send_signal(signal.SIGINT)
            assert command.wait() == 3


def test_the_second_ends_it(tmp_path: Path) -> None:
    """A server that never answers holds nobody up who presses Ctrl-C twice."""
    with held_export(tmp_path, after=0) as export, siteassist(*export.arguments) as command:
        export.door.wait_for(4)
        command.send_signal(signal.SIGTERM)
        line_with("stopping", command.stderr)
        command.send_signal(signal.SIGINT)
        shown, said = command.communicate()
        assert (command.returncode, said) == (3, "")
        assert summary_of(shown)["ending"] == "stopped"


def test_kill_leaves_a_whole_file(tmp_path: Path) -> None:
    """After `kill -9` the same command goes on, and every conversation is there once."""
    with held_export(tmp_path, after=20) as export:
        with siteassist(*export.arguments) as command:
            export.door.wait_for(4)
            command.kill()
            command.communicate()
            assert command.returncode == -signal.SIGKILL
        export.door.open()
        with siteassist(*export.arguments) as command:
            command.communicate()
            assert command.returncode == 0
        assert sorted(export.ids()) == sorted(IDS)


def test_one_at_a_time(tmp_path: Path) -> None:
    """A second run at the same time is refused, and is to be run again."""
    with held_export(tmp_path, after=0) as export, siteassist(*export.arguments):
        export.door.wait_for(4)
        with siteassist(*export.arguments, "--quiet") as second:
            shown, said = second.communicate()
        assert second.returncode == 3
        assert json.loads(shown)["error"]["type"] == "OutputInUseError"
        assert said.startswith(f"siteassist: {export.output}: ")
        assert said.count("\n") == 1


def test_the_token_is_not_in_the_process_list(tmp_path: Path) -> None:
    """Whoever may list processes does not see the token, and neither does their environment."""
    with held_export(tmp_path, after=0) as export, siteassist(*export.arguments) as command:
        export.door.wait_for(4)
        process = Path(f"/proc/{command.pid}")
        if not process.exists():  # pragma: no cover # where there is no such file system
            pytest.skip("no /proc")
        for name in ("cmdline", "environ"):
            assert TOKEN.encode() not in (process / name).read_bytes()


async def test_each_signal_counts() -> None:
    """The first of any kind asks, and each further one insists."""
    seen: list[str] = []
    changed = asyncio.Event()

    def note(what: str) -> None:
        seen.append(what)
        changed.set()

    with interrupts(lambda: note("ask"), lambda: note("insist")) as taken:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            changed.clear()
            os.kill(os.getpid(), number)
            await asyncio.wait_for(changed.wait(), 5)
        assert (seen, taken.count) == (["ask", "insist", "insist"], 3)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


async def test_an_ignored_signal_stays_ignored() -> None:
    """What nohup shields from a hang-up is not reached by one."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts(lambda: None, lambda: None):
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)
