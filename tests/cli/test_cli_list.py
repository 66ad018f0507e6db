"""`siteassist list`: what is printed, and how an interrupted list is continued."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from command import line_with, siteassist

from siteassist_async import ConversationSummary
from siteassist_async.cli import main
from siteassist_async.emulator import (
    Delay,
    Emulator,
    Status,
    StubResponse,
    conversation_ids,
    in_thread,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ID = "123e4567-e89b-12d3-a456-426614174000"
TOKEN = "sk_test_cli_list"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator of 250 conversations that the environment points to."""
    with in_thread(Emulator(token=TOKEN, conversations=250)) as api:
        monkeypatch.setenv("SITEASSIST_TOKEN", TOKEN)
        monkeypatch.setenv("SITEASSIST_BASE_URL", api.url)
        yield api


def test_ids(api: Emulator, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """One a line, each once, the oldest first."""
    assert main(["list"]) == 0
    said = capfdbinary.readouterr()
    assert set(said.out.decode().split("\n")) == {*conversation_ids(250), ""}
    assert said.out.count(b"\n") == 250
    assert said.err == b""
    assert api.counters.requests == 3


def test_json_lines(api: Emulator, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Each is a conversation as it is listed, which the library reads back."""
    api.put(ID, {"title": "É\u2028", "mood": 2**60})
    assert main(["list", "--json"]) == 0
    lines = capfdbinary.readouterr().out.splitlines()
    found = {s.id: s for s in map(ConversationSummary.from_json, lines)}
    assert len(lines) == len(found) == 251
    assert (found[ID].title, found[ID].extra) == ("É\u2028", {"mood": 2**60})
    times = [found[json.loads(line)["id"]].created_at for line in lines]
    assert times == sorted(times)


def test_filters(api: Emulator, capfd: pytest.CaptureFixture[str]) -> None:
    """By status and age, in UTC unless a time says otherwise."""
    for name, time in (("a", "2025-12-31T23:59:59.999Z"), ("b", "2026-01-01T00:00:00.000Z")):
        api.put(ID.replace("123e", f"{name}23e"), {"createdAt": time, "status": "closed"})
    api.put(ID, {"createdAt": "2026-02-01T00:00:00.000Z", "status": "open"})

    def listed(*options: str) -> list[str]:
        assert main(["list", *options]) == 0
        return [line[:4] for line in capfd.readouterr().out.splitlines()]

    assert listed("--since", "2026-01-01") == ["b23e", "123e"]
    assert listed("--since", "2026-01-01", "--status", "closed") == ["b23e"]
    assert listed("--since", "2025-12-31T23:59:59", "--until", "2026-02-01") == ["a23e", "b23e"]
    assert listed("--since=2026-01-01T05:00:00+04:00") == ["123e"]
    assert listed("--since", "2026-01-01T00:00:00.001Z", "--until", "2026-01-02") == []
    closed = listed("--status", "closed")
    assert 2 < len(closed) < 250


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--since", "soon"], "expected a date or time such as 2026-01-31"),
        (["--until", "2026-13-01"], "not '2026-13-01'"),
        (["--status", "ajar"], "'ajar' is not one of 'open', 'closed'"),
        (["--offset", "-1"], "-1 is not in the range"),
    ],
)
def test_wrong_options(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They are named before anything is sent."""
    assert main(["list", *options]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("status", "code"), [(401, 4), (402, 4), (403, 4), (404, 1), (422, 1)])
def test_a_failed_page(
    status: int, code: int, api: Emulator, capfd: pytest.CaptureFixture[str]
) -> None:
    """What came before it is printed, and the command that prints the rest."""
    ok = Status(200)
    api.script_pages(ok, Status(status))
    words = ["list", "--since", "2020-01-01", "--offset", "10", "--offset=0"]
    assert main(words) == code
    said = capfd.readouterr()
    first = said.out.splitlines()
    assert len(first) == 100
    problem, advice = said.err.splitlines()
    assert problem.startswith(f"siteassist: {status} ")
    start = "siteassist: 100 listed; to continue: "
    assert advice == f"{start}siteassist list --since 2020-01-01 --offset 100"
    assert main(advice.removeprefix(f"{start}siteassist ").split()) == 0
    rest = capfd.readouterr().out.splitlines()
    assert {*first, *rest} == set(conversation_ids(250))
    assert len(rest) == 150


def test_the_first_page_fails(api: Emulator, capfd: pytest.CaptureFixture[str]) -> None:
    """Then there is nothing to continue."""
    api.script_pages(Status(401))
    assert main(["list", "--offset", "10"]) == 4
    said = capfd.readouterr().err
    assert said.startswith("siteassist: 401 ")
    assert said.count("\n") == 1
    assert "offset" not in said


def test_no_token(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """There is nothing to continue."""
    monkeypatch.delenv("SITEASSIST_TOKEN", raising=False)
    assert main(["list"]) == 2
    assert capfd.readouterr().err.count("\n") == 1


def test_retries_are_told(api: Emulator, capfd: pytest.CaptureFixture[str]) -> None:
    """As `get` tells them."""
    api.script_pages(Status(500))
    assert main(["list"]) == 0
    assert "siteassist: retrying in" in capfd.readouterr().err


def test_what_a_terminal_shows(
    api: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing that controls it; an id that is none is escaped and stays on its line."""
    api.put(ID, {"title": "\x9b2J"})
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["list", "--json", "--since", "2020-01-01"]) == 0
    shown = capsys.readouterr().out
    assert "\x9b" not in shown
    assert r"\u009b2J" in shown
    assert shown.count("\n") == 251

    def odd(response: StubResponse) -> StubResponse:
        return evolve(response, body=response.body.replace(ID.encode(), b"x\\n\\u001b[2J"))

    api.script_pages(*[odd] * 3)
    assert main(["list"]) == 0
    assert r"x\n\x1b[2J" in capsys.readouterr().out.split("\n")


@pytest.mark.usefixtures("api")
def test_output_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It needs attention, and the list can be continued."""

    def fail(_: str) -> int:
        raise OSError(28, "No space left on device")

    full = io.StringIO()
    monkeypatch.setattr(full, "write", fail)
    for stdout, said in ((full, "No space left on device"), (None, "is closed")):
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", stdout)
            assert main(["list"]) == 4
        problem, advice = capsys.readouterr().err.splitlines()
        assert problem == f"siteassist: standard output: {said}"
        assert advice.endswith("siteassist list --offset 0")


def test_a_reader_that_has_gone(
    api: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is no error to tell."""

    def fail(_: str) -> int:
        raise BrokenPipeError

    gone = io.StringIO()
    monkeypatch.setattr(gone, "write", fail)
    monkeypatch.setattr(sys, "stdout", gone)
    assert main(["list"]) == 141
    assert capsys.readouterr().err == ""
    assert api.counters.requests == 1


def test_an_interruption(api: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """What was printed is whole pages."""

    def interrupt(response: StubResponse) -> StubResponse:
        os.kill(os.getpid(), signal.SIGINT)
        return evolve(response, delay=3600)

    api.script_pages(Status(200), Status(200), interrupt)
    assert main(["list", "--status", "open"]) == 3
    said = capsys.readouterr()
    assert said.err.endswith("siteassist list --status open --offset 200\n")
    assert f"interrupted; {len(said.out.splitlines())} listed" in said.err


def test_a_pipe_whose_reader_has_enough(api: Emulator) -> None:
    """It ends as a program does that SIGPIPE ends, and complains about nothing."""
    environ = {"SITEASSIST_TOKEN": TOKEN, "SITEASSIST_BASE_URL": api.url}
    with siteassist("list", "--json", environ=environ) as listing:
        assert listing.stdout is not None
        assert listing.stdout.readline().startswith("{")
        listing.stdout.close()
        assert listing.stderr is not None
        assert listing.stderr.read() == ""
        assert listing.wait() == 141


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_list(number: int, api: Emulator) -> None:
    """It says how to continue."""
    ok = Status(200)
    api.script_pages(ok, *[Delay(3600)] * 2)
    environ = {"SITEASSIST_TOKEN": TOKEN, "SITEASSIST_BASE_URL": api.url}
    with siteassist("list", environ=environ) as listing:
        line_with("-", listing.stdout)
        os.kill(listing.pid, number)
        assert listing.stderr is not None
        assert re.fullmatch(
            "siteassist: interrupted; 100 listed; to continue: siteassist list --offset 100\n",
            listing.stderr.read(),
        )
        assert listing.wait() == 3
