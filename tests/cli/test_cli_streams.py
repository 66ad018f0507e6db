"""Standard streams that are files, closed or special; and what may not be shown on any."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command import line_with, siteassist

from siteassist_async.cli import main
from siteassist_async.cli.console import hold_descriptors
from siteassist_async.emulator import Emulator, conversation_ids, in_thread
from siteassist_async.errors import DeadlineExceededError
from siteassist_async.export import OutputError
from siteassist_async.export.log import Log

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator

ID = "123e4567-e89b-12d3-a456-426614174000"
TOKEN = "tok_live_ABCDEF123456"
PROGRAM = "import sys; from siteassist_async.cli import main; sys.exit(main())"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """An emulator that the environment points to, and a hundred ids in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("ids.txt").write_text("\n".join(conversation_ids(100)))
    with in_thread(Emulator(token=TOKEN, messages=1)) as api:
        monkeypatch.setenv("SITEASSIST_TOKEN", TOKEN)
        monkeypatch.setenv("SITEASSIST_BASE_URL", api.url)
        yield api


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("output", ["/dev/stdout", "x.jsonl", "/proc/self/fd/2"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_an_output_that_is_printed_to_is_refused(output: str, stream: str) -> None:
    """The summary would be written over the records, or among them."""
    with (
        Path("x.jsonl").open("w+") as file,
        Path("y.jsonl").open("w+") as other,
        siteassist(
            *("export", "ids.txt", "-o", output),
            stdout=file if stream == "stdout" else other,
            stderr=other if stream == "stdout" else file,
            environ={k: v for k, v in os.environ.items() if k.startswith("SITEASSIST")},
        ) as command,
    ):
        assert command.wait() == 2
        said = Path("x.jsonl").read_text() + Path("y.jsonl").read_text()
    assert "where standard " in said
    assert said.count("\n") == 1


@pytest.mark.usefixtures("api")
def test_dead_letters_that_are_printed_to_are_refused() -> None:
    """As `2> x.failed.jsonl` has it."""
    with Path("x.failed.jsonl").open("w") as file:
        environ = {k: v for k, v in os.environ.items() if k.startswith("SITEASSIST")}
        arguments = ("export", "ids.txt", "-o", "x.jsonl")
        with siteassist(*arguments, stderr=file, environ=environ) as command:
            assert command.wait() == 2
    assert "x.failed.jsonl: is where standard error goes" in Path("x.failed.jsonl").read_text()


@pytest.mark.usefixtures("api")
def test_a_file_that_a_stream_goes_to_is_no_output(capsys: pytest.CaptureFixture[str]) -> None:
    """As `> out.jsonl` has it, of this very process; the file stays as it is."""
    output, saved = Path("out.jsonl"), os.dup(1)
    try:
        with output.open("w") as file:
            os.dup2(file.fileno(), 1)
            assert main(["export", "ids.txt", "-o", "out.jsonl"]) == 2
    finally:
        os.dup2(saved, 1)
        os.close(saved)
    assert "out.jsonl: is where standard output goes" in capsys.readouterr().err
    assert output.read_text() == ""


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_streams_are_held(closed: Iterable[int], tmp_path: Path) -> None:
    """No file that is opened later becomes a standard stream."""
    saved = [(descriptor, os.dup(descriptor)) for descriptor in closed]
    try:
        for descriptor in closed:
            os.close(descriptor)
        hold_descriptors()
        nowhere = Path(os.devnull).stat()
        held = [os.path.samestat(os.fstat(descriptor), nowhere) for descriptor in closed]
        file = os.open(tmp_path / "file", os.O_CREAT)
        os.close(file)
    finally:
        for descriptor, copy in saved:
            os.dup2(copy, descriptor)
            os.close(copy)
    assert all(held)
    assert file > 2


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_an_export_needs_no_open_stream(closed: str) -> None:
    """Its product is the file."""
    command = f'exec "{sys.executable}" -c "{PROGRAM}" export ids.txt -o out.jsonl {closed}'
    done = subprocess.run(["sh", "-c", command], check=False)
    assert done.returncode == 0
    assert len(Path("out.jsonl").read_bytes().splitlines()) == 100


@pytest.mark.usefixtures("api")
def test_ids_from_a_closed_stream(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stream that gives nothing for ever is one clear line."""
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["export", "-", "-o", "out.jsonl"]) == 2
    assert capsys.readouterr().err == "siteassist: standard input: is closed\n"


def test_a_named_pipe_that_nobody_writes_to_can_be_left(api: Emulator, tmp_path: Path) -> None:
    """A signal ends the run, though there is nothing to read."""
    os.mkfifo(tmp_path / "pipe")
    environ = {"SITEASSIST_TOKEN": TOKEN, "SITEASSIST_BASE_URL": api.url}
    arguments = ("export", "pipe", "-o", "out.jsonl", "--json")
    with siteassist(*arguments, environ=environ) as command:
        line_with("progress", command.stdout)
        command.send_signal(signal.SIGTERM)
        shown, _ = command.communicate()
    assert command.returncode == 3
    assert json.loads(shown.splitlines()[-1])["ending"] == "stopped"


@pytest.mark.parametrize(
    "arguments",
    [
        ["get", TOKEN],
        ["get", ID, "--token-file", TOKEN],
        ["get", ID, "--ca", f"/nowhere/{TOKEN}"],
        ["get", ID, f"--tokens={TOKEN}"],
        ["get", ID, TOKEN],
        ["get", ID, "--deadline", TOKEN],
        [TOKEN],
        ["export", TOKEN, "-o", "out.jsonl"],
        ["export", TOKEN, "-o", "out.jsonl", "--json"],
        ["export", "ids.txt", "-o", "out.jsonl", "--column", TOKEN],
        ["export", "ids.txt", "-o", f"{TOKEN}/out.jsonl", "--json"],
        ["export", "ids.txt", "-o", "out.jsonl", "--base-url", TOKEN],
    ],
)
@pytest.mark.usefixtures("api")
def test_a_token_in_the_wrong_place_is_not_repeated(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The environment tells which word of the command line it is."""
    assert main(arguments) in {2, 4}
    said = capsys.readouterr()
    assert TOKEN not in said.out + said.err
    assert said.err


def test_a_short_word_is_no_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To hide it would make all else unreadable."""
    monkeypatch.setenv("SITEASSIST_TOKEN", "e")
    assert main(["get", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["get", ID, "\x1b[2J\x07"],
        ["get", ID, "--\x1b]0;title\x07"],
        ["\x1b[31m"],
        ["export", "ids.txt", "-o", "\x1b[2J/.."],
        ["get", ID, "--deadline", "\x9b2J\u202e\udcff"],
    ],
)
def test_usage_errors_cannot_steer_a_terminal(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What was typed, or came from a script's file name, is shown escaped."""
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert all(line.isprintable() for line in said.splitlines())
    assert 1 <= said.count("\n") <= 2


@pytest.mark.parametrize(
    ("cause", "last"),
    [(None, None), (TimeoutError(), None), (OSError("broke"), "the last attempt: broke")],
)
@pytest.mark.usefixtures("api")
def test_the_last_attempt_is_told_where_there_is_something_to_tell(
    cause: Exception | None,
    last: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A line with nothing behind its colon helps nobody."""

    def late(main: Coroutine[object, object, bytes]) -> bytes:
        main.close()
        raise DeadlineExceededError("no answer within 1 s") from cause

    monkeypatch.setattr("siteassist_async.cli.runtime.run", late)
    assert main(["get", ID]) == 3
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "siteassist: no answer within 1 s",
        *([f"siteassist: {last}"] if last else []),
    ]


@pytest.mark.parametrize("options", [[], ["--json"], ["--quiet"]])
@pytest.mark.usefixtures("api")
def test_a_full_disk_is_told_with_what_was_done(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The counts until then, the error, and the exit code for a person."""
    append, calls = Log.append, list[int]()

    def full(log: Log, lines: Iterable[bytes]) -> None:
        calls.append(1)
        if len(calls) > 2:
            raise OutputError("cannot be written: No space left on device", path=str(log.path))
        append(log, lines)

    monkeypatch.setattr(Log, "append", full)
    assert main(["export", "ids.txt", "-o", "out.jsonl", *options]) == 4
    said = capsys.readouterr()
    written = len(Path("out.jsonl").read_bytes().splitlines())
    assert said.err.endswith("out.jsonl: cannot be written: No space left on device\n")
    if "--json" in options:
        event = json.loads(said.out.splitlines()[-1])
        assert (event["event"], event["exit_code"], event["exported"]) == ("error", 4, written)
        assert event["error"]["type"] == "OutputError"
    elif options:
        assert said.out == ""
    else:
        assert f"  exported      {written:>11}  " in said.out


@pytest.mark.usefixtures("api")
def test_a_folder_that_is_not_there_is_told_by_the_name_that_was_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The state's folder is a name that the user never gave."""
    assert main(["export", "ids.txt", "-o", "nowhere/out.jsonl"]) == 4
    said = capsys.readouterr().err
    assert said == ("siteassist: nowhere/out.jsonl: cannot be written: No such file or directory\n")
