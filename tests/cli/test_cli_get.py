"""`siteassist get`: what is printed, and what the exit code tells."""

from __future__ import annotations

import io
import json
import os
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command import siteassist

from siteassist_async import errors
from siteassist_async.cli import main
from siteassist_async.cli.commands import parse
from siteassist_async.cli.console import Console
from siteassist_async.cli.get import code_of, for_terminal, reporting
from siteassist_async.emulator import (
    Disconnect,
    Emulator,
    Status,
    StubResponse,
    conversation,
    in_thread,
)
from siteassist_async.events import WaitStarted

if TYPE_CHECKING:
    from collections.abc import Iterator

ID = "123e4567-e89b-12d3-a456-426614174000"
GONE = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
TOKEN = "sk_test_cli_get"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator that the environment points to."""
    with in_thread(Emulator(token=TOKEN, messages=2)) as api:
        monkeypatch.setenv("SITEASSIST_TOKEN", TOKEN)
        monkeypatch.setenv("SITEASSIST_BASE_URL", api.url)
        yield api


def test_one_line(api: Emulator, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Elsewhere than on a terminal a conversation is one line of JSON."""
    assert main(["get", ID.upper()]) == 0
    said = capfdbinary.readouterr()
    assert said.out.count(b"\n") == 1
    assert json.loads(said.out) == conversation(ID, api.seed, messages=2)
    assert said.err == b""


def test_raw(api: Emulator, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """`--raw` gives the bytes that came, and not one more."""
    came = b'\xef\xbb\xbf { "object": "conversation",\r\n"id": "%s" }\n' % ID.encode()
    api.script(ID, Status(200, body=came), lambda _: StubResponse(200, came))
    assert main(["get", ID]) == 0
    assert capfdbinary.readouterr().out.startswith(b'{ "object": "conversation"')
    assert main(["get", ID, "--raw"]) == 0
    assert capfdbinary.readouterr().out == came


def test_options_before_environment(
    api: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """What an option says counts more than the environment."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    monkeypatch.setenv("SITEASSIST_TOKEN", "sk_test_wrong")
    monkeypatch.setenv("SITEASSIST_BASE_URL", "http://127.0.0.1:1/v2")
    assert main(["get", ID, "--token-file", str(token), "--base-url", api.url]) == 0
    assert json.loads(capfdbinary.readouterr().out)["id"] == ID


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (401, 4, "401 UNAUTHORIZED"),
        (402, 4, "402 PAYMENT_REQUIRED"),
        (403, 4, "403 FORBIDDEN"),
        (404, 1, "404 CONVERSATION_NOT_FOUND"),
        (422, 1, "422 VALIDATION_ERROR"),
    ],
)
def test_refused(
    status: int, code: int, reason: str, api: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """An answer of the API that is no conversation is one line and an exit code."""
    api.script(ID, Status(status))
    assert main(["get", ID]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith(f"siteassist: {reason}")


def test_waits_are_told(api: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """While it tries again, it says why and when; then it prints."""
    api.script(ID, Disconnect())
    assert main(["get", ID]) == 0
    said = capsys.readouterr()
    assert "siteassist: retrying in 0.00 s after: connection closed" in said.err
    assert json.loads(said.out)["id"] == ID


def test_too_long_to_wait(api: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """A wait that would end past the deadline is told at once."""
    api.script(ID, Status(429, retry_after=3600))
    assert main(["get", ID, "--deadline", "20"]) == 3
    assert "retry after 3600 s" in capsys.readouterr().err


def test_deadline_tells_the_last_error(api: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """At the deadline both the deadline and what happened until then are told."""
    api.latency = 3600.0
    api.script(ID, Disconnect(), Disconnect())
    assert main(["get", ID, "--deadline", "0.2"]) == 3
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("siteassist: the last attempt: ") or "no response within 0.2 s" in last


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["get", "nonsense"], "not a conversation ID"),
        (["get", "../../admin"], "not a conversation ID"),
        (["get", ID, "--base-url", "http://example.com"], "must be https"),
        (["get", ID, "--base-url", "nowhere"], "base URL"),
        (["get", ID, "--ca", "missing.pem"], "--ca missing.pem: No such file or directory"),
        (["get", ID, "--ca", __file__], "expected PEM certificates"),
        (["get", ID, "--token-file", "missing"], "--token-file missing: No such file"),
    ],
)
def test_wrong_usage(
    arguments: list[str],
    reason: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What cannot work is one clear line, and nothing is sent."""
    monkeypatch.setenv("SITEASSIST_TOKEN", TOKEN)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigurationError(), 2),
        (errors.InvalidIdError(), 2),
        (errors.AuthenticationError(), 4),
        (errors.PaymentRequiredError(), 4),
        (errors.PermissionDeniedError(), 4),
        (errors.CertificateError(), 4),
        (errors.RateLimitError(), 3),
        (errors.InternalServerError(), 3),
        (errors.BadGatewayError(), 3),
        (errors.ServiceUnavailableError(), 3),
        (errors.ServerError(status=504), 3),
        (errors.ConnectionFailedError(), 3),
        (errors.DisconnectedError(), 3),
        (errors.TimedOutError(), 3),
        (errors.DeadlineExceededError(), 3),
        (errors.ClientError(status=408), 3),
        (errors.ClientError(status=418), 1),
        (errors.NotFoundError(), 1),
        (errors.BadRequestError(), 1),
        (errors.ConflictError(), 1),
        (errors.ValidationError(), 1),
        (errors.UnexpectedStatusError(status=302), 1),
        (errors.UnusableResponseError(), 1),
        (errors.WrongConversationError(), 1),
        (errors.ResponseTooLargeError(), 1),
    ],
)
def test_exit_codes(error: errors.SiteAssistError, code: int) -> None:
    """Each error tells by the exit code who can do something about it."""
    assert code_of(error) == code


class Terminal(io.StringIO):
    """A terminal as standard output."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        """It is one."""
        return True


@pytest.mark.parametrize("raw", [False, True])
def test_on_a_terminal(
    raw: bool,  # noqa: FBT001 - a parameter of the test
    api: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A terminal gets it indented, or as it came, and nothing that could steer it."""
    body = f'{{"object":"conversation","id":"{ID}","title":"\u009b2J\u202e"}}'
    api.script(ID, Status(200, body=body.encode()), lambda _: StubResponse(200, body.encode()))
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    main(["get", ID])
    terminal.seek(0)
    terminal.truncate()
    assert main(["get", ID, *(["--raw"] if raw else [])]) == 0
    shown = terminal.getvalue()
    assert json.loads(shown) == json.loads(body)
    assert shown.count("\n") == (1 if raw else 5)
    assert '"\\u009b2J\\u202e"' in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\u009b2J", r"\u009b2J"),
        ("\x7f", r"\u007f"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("\u2028\u0085\ufeff", r"\u2028\u0085\ufeff"),
        ("\U000e0001", r"\udb40\udc01"),
        ("né → 日本\u3000語 👩\u200d👧 می\u200cخواهم", None),  # noqa: RUF001 - Persian
        (r"\u001b[2J \ud83d", None),
    ],
)
def test_what_a_terminal_is_shown(text: str, shown: str | None) -> None:
    """Text in any script is shown as it is; what could steer a terminal is escaped."""
    body = f'{{"text":"{text}"}}'.encode()
    assert for_terminal(body, "UTF-8", indented=False) == f'{{"text":"{shown or text}"}}\n'
    assert json.loads(for_terminal(body, "utf-8", indented=True)) == json.loads(body)


def test_a_terminal_of_little_ability() -> None:
    """What its encoding lacks is escaped as JSON escapes it."""
    body = '{"text":"né 👧"}'.encode()
    assert for_terminal(body, "latin-1", indented=False) == '{"text":"n\\u00e9 \\ud83d\\udc67"}\n'


def test_indentation_loses_nothing() -> None:
    """Numbers, duplicate keys and escapes come through as they are."""
    body = rb'{"a":1.0e2,"a":12345678901234567890123,"b":"\ud800\/"}'
    assert for_terminal(body, "utf-8", indented=True) == (
        '{\n  "a": 1.0e2,\n  "a": 12345678901234567890123,\n  "b": "\\ud800\\/"\n}\n'
    )


def test_a_private_ca(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A certificate of a private CA is trusted where that is given, and nowhere else."""
    pem = str(Path(__file__).with_name("loopback.pem"))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(pem)
    monkeypatch.setenv("SITEASSIST_TOKEN", TOKEN)
    with in_thread(Emulator(token=TOKEN, ssl_context=server)) as api:
        assert main(["get", ID, "--base-url", api.url]) == 4
        assert "certificate" in capsys.readouterr().err
        assert main(["get", ID, "--base-url", api.url, "--ca", pem]) == 0


def test_a_full_disk(api: Emulator) -> None:
    """What cannot be printed is an error."""
    with (
        open("/dev/full", "w") as full,  # noqa: PTH123 - a device
        siteassist("get", ID, stdout=full, environ=pointing_to(api)) as command,
    ):
        assert command.communicate()[1] == "siteassist: standard output: No space left on device\n"
        assert command.returncode == 4


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BrokenPipeError(), 141, ""),
        (OSError(28, "No space left"), 4, "siteassist: standard output: No space left\n"),
    ],
)
def test_an_output_that_fails(  # noqa: PLR0917 - fixtures and parameters
    error: OSError,
    code: int,
    said: str,
    api: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A pipe without a reader is no error to tell, and any other failure is."""

    def fail(_: str) -> int:
        raise error

    terminal = Terminal()
    monkeypatch.setattr(terminal, "write", fail)
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["get", ID]) == code
    assert capsys.readouterr().err == said
    assert api.counters.requests == 1


def test_a_closed_output(
    api: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without standard output there is nothing to print to, which is told."""
    assert api.url
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["get", ID]) == 4
    assert "standard output is closed" in capsys.readouterr().err


def test_a_broken_pipe(api: Emulator) -> None:
    """A reader that has enough ends the command as it does others: quietly, with 141."""
    reading, writing = os.pipe()
    os.close(reading)
    with siteassist("get", ID, stdout=writing, environ=pointing_to(api)) as command:
        os.close(writing)
        assert command.communicate()[1] == ""
        assert command.returncode == 141


def pointing_to(api: Emulator) -> dict[str, str]:
    """The environment of somebody who uses this emulator."""
    return {"SITEASSIST_TOKEN": api.token, "SITEASSIST_BASE_URL": api.url}


@pytest.mark.parametrize(
    ("expected", "shown"),
    [(3.0, "siteassist: waiting about 3.0 s for the rate limit\n"), (0.9, "")],
)
def test_a_wait_that_someone_would_notice_is_shown(
    expected: float, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And no shorter one."""
    about = 1, "conversations.get", ID
    report = reporting(Console.of_process(), parse(["get", ID]))
    assert report is not None
    report(WaitStarted(*about, bulk=False, reason="pace", expected=expected))
    assert capsys.readouterr().err == shown
