"""The token: where it may come from, and where it must not show."""

from __future__ import annotations

import getpass
import io
import sys
from typing import TYPE_CHECKING

import pytest

from siteassist_async.cli import main
from siteassist_async.cli.commands import parse
from siteassist_async.cli.connection import read_token
from siteassist_async.cli.redaction import crash_report, redact
from siteassist_async.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "sk_test_cli_secret_1"
SOME_ID = "123e4567-e89b-12d3-a456-426614174000"


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of somebody who set nothing."""
    monkeypatch.delenv("SITEASSIST_TOKEN", raising=False)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))


def place(*arguments: str) -> tuple[str, str] | None:
    """Where the command line says that the token is."""
    found: tuple[str, str] | None = parse(["get", SOME_ID, *arguments]).token_place
    return found


def answer(monkeypatch: pytest.MonkeyPatch, given: str | BaseException) -> None:
    """Let a person be there who answers the prompt."""

    def prompt(text: str) -> str:
        assert "not shown" in text
        if isinstance(given, BaseException):
            raise given
        return given

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(getpass, "getpass", prompt)


def test_file_before_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that was named wins; white space around the token is none of it."""
    monkeypatch.setenv("SITEASSIST_TOKEN", f" {TOKEN}\n")
    assert read_token(place()) == TOKEN
    file = tmp_path / "token"
    file.write_text("  sk_test_of_the_file\r\n")
    assert read_token(place("--token-file", str(file))) == "sk_test_of_the_file"


def test_token_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` is standard input, unless that has the ids."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{TOKEN}\n".encode())))
    assert read_token(("token_file", "-")) == TOKEN
    with pytest.raises(ConfigurationError, match="standard input is already used"):
        read_token(("token_file", "-"), stdin_has_ids=True)


def test_token_from_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody at a terminal is asked, and what they type is not shown."""
    answer(monkeypatch, f"{TOKEN} ")
    assert read_token(None) == TOKEN


@pytest.mark.parametrize("given", ["", EOFError()])
def test_no_answer(given: str | BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who gives no token is told how to."""
    answer(monkeypatch, given)
    with pytest.raises(ConfigurationError, match="set SITEASSIST_TOKEN, or pass a file"):
        read_token(None)


@pytest.mark.parametrize("stdin", [None, io.StringIO()])
def test_nobody_to_ask(stdin: io.StringIO | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduled run does not hang at a prompt."""
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(ConfigurationError, match="no token"):
        read_token(None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"", "expected a token and nothing else"),
        (b" \n", "expected a token and nothing else"),
        (b"two words", "expected a token and nothing else"),
        (b"\x7fELF\x00", "expected a token and nothing else"),
        (b"TOKEN=\xff", "expected a token and nothing else"),
    ],
)
def test_unusable_file(content: bytes | None, reason: str, tmp_path: Path) -> None:
    """A file that cannot be used is named, and its content is not shown."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=reason) as raised:
        read_token(("token_file", str(file)))
    assert str(file) in str(raised.value)


def test_a_folder_is_no_token(tmp_path: Path) -> None:
    """A folder in the file's place is one clear line."""
    with pytest.raises(ConfigurationError, match="Is a directory"):
        read_token(("token_file", str(tmp_path)))


def test_ctrl_c_at_the_prompt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C before anything began is one line."""
    answer(monkeypatch, KeyboardInterrupt())
    assert main(["get", SOME_ID]) == 3
    assert capsys.readouterr().err == "\nsiteassist: interrupted\n"


def test_a_bug_does_not_show_the_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error that nobody foresaw is shown whole, but for the token."""

    def fail(*_: object) -> int:
        raise RuntimeError(f"Bearer {TOKEN} is not expected here")

    monkeypatch.setenv("SITEASSIST_TOKEN", TOKEN)
    assert read_token(("token_env", "SITEASSIST_TOKEN")) == TOKEN
    monkeypatch.setattr("siteassist_async.cli.get.run", fail)
    assert main(["get", SOME_ID]) == 4
    said = capsys.readouterr().err
    assert "RuntimeError: Bearer *** is not expected here" in said
    assert "this is a bug" in said
    assert TOKEN not in said


def test_reports_hide_what_was_read(tmp_path: Path) -> None:
    """Of all tokens that were read none is in a report."""
    file = tmp_path / "token"
    file.write_text("sk_test_seen_once")
    read_token(("token_file", str(file)))
    assert redact("sk_test_seen_once, sk_test_seen_once") == "***, ***"
    assert "sk_test_seen_once" not in crash_report(ValueError("sk_test_seen_once"))


def test_a_token_that_is_part_of_another_hides_no_less(tmp_path: Path) -> None:
    """The longest is replaced first."""
    file = tmp_path / "token"
    longer = [f"sk_test_nested_{n}" for n in range(20)]  # the order of a set differs each time
    for token in ("sk_test_nested", *longer, "test_nested"):
        file.write_text(token)
        read_token(("token_file", str(file)))
    assert redact(" ".join(longer)) == " ".join(["***"] * len(longer))
