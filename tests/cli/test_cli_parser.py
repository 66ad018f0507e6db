"""The command line: what it takes, what it refuses and what it tells of itself."""

from __future__ import annotations

import re
import subprocess
import sys
from argparse import SUPPRESS, ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from siteassist_async import __version__
from siteassist_async.cli import main
from siteassist_async.cli.parser import make_parser, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

SOME_ID = "123e4567-e89b-12d3-a456-426614174000"
EXPORT = ("export", "ids.txt", "-o", "out.jsonl")


def commands() -> dict[str, ArgumentParser]:
    """Each command's own parser."""
    for action in make_parser()._actions:
        if action.dest == "command":
            return cast("dict[str, ArgumentParser]", action.choices)
    raise AssertionError("no commands")


def refusal(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is said to a command line that is refused."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    said = capsys.readouterr()
    assert not said.out
    return said.err


@pytest.mark.parametrize("name", commands())
def test_every_option_is_documented(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A command's help names each of its options with a text of its own."""
    with pytest.raises(SystemExit):
        main([name, "--help"])
    shown = capsys.readouterr().out
    assert "examples:" in shown
    assert "exit codes:" in shown
    for action in commands()[name]._actions:
        if action.help != SUPPRESS:
            assert action.help
            assert all(option in shown for option in action.option_strings)
            assert str(action.metavar or "") in shown


def test_every_command_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """The help of all names each command and both variables of the environment."""
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    assert {*commands()} == {
        *("export", "list", "convert", "verify", "get", "show", "inspect", "emulator", "demo")
    }
    assert all(f"    {name} " in shown for name in commands())
    assert "SITEASSIST_TOKEN" in shown
    assert "SITEASSIST_BASE_URL" in shown


def test_the_readme_names_every_command_and_option() -> None:
    """The README has each command and each option, and none that there is not."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert all(f"siteassist {name}" in readme for name in commands())
    section = readme.partition("## Command line")[2].partition("\n## ")[0]
    options = {option for parser in commands().values() for option in parser._option_string_actions}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", section))
    long = {option for option in options if option.startswith("--")}
    assert named == long - {"--version"}


def test_help_is_shown_by_any_terminal() -> None:
    """All help is ASCII, so that no encoding fails on it."""
    for parser in (make_parser(), *commands().values()):
        assert parser.format_help().isascii()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` is the package's."""
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"siteassist {__version__}\n"


def test_nothing_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command the help goes to standard error."""
    assert "examples:" in refusal([], capsys)


def test_help_loads_nothing() -> None:
    """`--help` imports neither aiohttp nor attrs nor anything else that takes time."""
    program = (
        "import sys\n"
        "from siteassist_async.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    print(*sorted(sys.modules), file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = set(ended.stderr.decode().split())
    assert not loaded & {"aiohttp", "asyncio", "attr", "attrs", "cattrs", "msgspec", "tenacity"}
    assert {name for name in loaded if name.startswith("siteassist_async")} == {
        "siteassist_async",
        "siteassist_async.cli",
        "siteassist_async.cli.console",
        "siteassist_async.cli.parser",
        "siteassist_async.cli.redaction",
        "siteassist_async.cli.texts",
        "siteassist_async.version",
    }


@pytest.mark.parametrize(
    "given", [["--token", "sk_test_live_1"], ["--token=sk_test_live_1"], ["--token"]]
)
@pytest.mark.parametrize("command", [EXPORT, ("get", SOME_ID)])
def test_token_is_no_argument(
    command: Sequence[str], given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A token among the arguments is refused, with what to do instead, and not repeated."""
    said = refusal([*command, *given], capsys)
    assert "SITEASSIST_TOKEN" in said
    assert "--token-file" in said
    assert "sk_test_live_1" not in said


@pytest.mark.parametrize(
    "given", [["--tok", "sk_test_live_1"], ["--api-key=sk_test_live_1"], ["sk_test_live_1"]]
)
def test_private_keys_are_not_repeated(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A private key in a place that is wrong is not shown with the error about it."""
    said = refusal(["get", SOME_ID, *given], capsys)
    assert "sk_***" in said
    assert "sk_test_live_1" not in said


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["fetch"], "invalid choice: 'fetch'"),
        (["export", "ids.txt"], "required: -o/--output"),
        (["export", "", "-o", "out.jsonl"], "INPUT: expected a value, not an empty text"),
        (["export", "ids.txt", "-o", "-"], "a pipe does not keep"),
        (["export", "ids.txt", "-o", ""], "expected the name"),
        (["export", "ids.txt", "-o", "/"], "expected the name of a new file or folder"),
        (["export", "ids.txt", "-o", ".."], "expected the name of a new file or folder"),
        ([*EXPORT, "--concurrency", "0"], "a whole number from 1 to 1000, not '0'"),
        ([*EXPORT, "--concurrency", "2.5"], "a whole number from 1 to 1000, not '2.5'"),
        ([*EXPORT, "--concurrency", "9999"], "a whole number from 1 to 1000, not '9999'"),
        ([*EXPORT, "--max-rate", "0"], "a number above 0, not '0'"),
        ([*EXPORT, "--max-rate", "nan"], "a number above 0, not 'nan'"),
        ([*EXPORT, "--max-rate", "inf"], "a number above 0, not 'inf'"),
        ([*EXPORT, "--max-rate", "fast"], "a number above 0, not 'fast'"),
        ([*EXPORT, "--restart", "--retry-failed"], "not allowed with argument --restart"),
        (["get"], "required: ID"),
        (["get", SOME_ID, "--deadline", "-1"], "a number above 0, not '-1'"),
        (["emulator", "--port", "65536"], "a whole number from 0 to 65535, not '65536'"),
        (["emulator", "--latency", "-1"], "a number of 0 or more, not '-1'"),
        (["emulator", "--rate", "0"], "a number above 0, not '0'"),
        (["emulator", "--token", "two words"], "printable ASCII characters without spaces"),
        (["emulator", "--token", ""], "printable ASCII characters without spaces"),
        (["demo", "--conversations", "9"], "a whole number from 10 to 1000000, not '9'"),
    ],
)
def test_wrong_values(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong value is one line that says what was expected, and where there is more."""
    said = refusal(arguments, capsys)
    first, second = said.splitlines()
    assert first.startswith("siteassist")
    assert reason in first
    assert second.endswith(" --help")


def test_right_values() -> None:
    """What is accepted, as it is understood."""
    options = vars(parse([*EXPORT, "--concurrency", "1000", "--max-rate", "0.5", "--column", "id"]))
    assert (options["concurrency"], options["max_rate"], options["column"]) == (1000, 0.5, "id")
    options = vars(parse(["emulator", "--port", "0", "--token", "a~!", "--latency", "0"]))
    assert (options["port"], options["token"], options["latency"]) == (0, "a~!", 0.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("90", 90.0), ("90s", 90.0), ("1.5m", 90.0), ("2h", 7200.0)],
)
def test_a_duration_is_seconds_or_has_a_unit(text: str, seconds: float) -> None:
    """As people write them."""
    assert vars(parse([*EXPORT, "--wait", text]))["wait"] == seconds


@pytest.mark.parametrize("text", ["", "m", "-1", "5d", "inf", "nan", "5 m 3", "1e400"])
def test_what_is_no_duration_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With an example of one."""
    with pytest.raises(SystemExit) as caught:
        parse([*EXPORT, f"--wait={text}"])
    assert caught.value.code == 2
    assert "expected a duration such as 90, 90s, 5m or 2h" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "export needs an INPUT, or --all"),
        (["--all", "ids.txt"], "--all takes no INPUT"),
        (["ids.txt", "--status", "open"], "--status, --since and --until are for --all"),
        (["ids.txt", "--since", "2026-01-01"], "--status, --since and --until are for --all"),
        (["--all", "--column", "id"], "--column and --updated-column are for an INPUT"),
        (["--all", "--updated-column", "at"], "--column and --updated-column are for an INPUT"),
    ],
)
def test_all_conversations_or_those_of_an_input(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each has options of its own."""
    assert reason in refusal(["export", "-o", "out.jsonl", *arguments], capsys)


def test_all_conversations_of_a_time() -> None:
    """In UTC unless the time says otherwise."""
    words = ["--status", "open", "--since", "2026-01-31", "--until=2026-02-01T01:00+01:00"]
    options = vars(parse(["export", "--all", "-o", "out.jsonl", *words]))
    assert (options["all"], options["inputs"], options["status"]) == (True, [], "open")
    assert options["since"] == datetime(2026, 1, 31, tzinfo=UTC)
    assert options["until"] == datetime(2026, 2, 1, tzinfo=UTC)


def test_defaults() -> None:
    """What holds where nothing is said."""
    assert vars(parse(EXPORT)) == {
        "command": "export",
        "inputs": ["ids.txt"],
        "all": False,
        "status": None,
        "since": None,
        "until": None,
        "output": "out.jsonl",
        "column": None,
        "updated_column": None,
        "format": None,
        "limit": None,
        "concurrency": 32,
        "max_rate": None,
        "wait": 300.0,
        "restart": False,
        "retry_failed": False,
        "refresh": None,
        "any_input": False,
        "rebuild_state": False,
        "dask": None,
        "partitions": None,
        "quiet": False,
        "json": False,
        "base_url": None,
        "token_file": None,
        "ca": None,
        "proxy": None,
        "token": None,
    }
