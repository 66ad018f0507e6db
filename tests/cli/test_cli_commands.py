"""The command line: what it takes, what it refuses and what it tells of itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import Mock

import click
import pytest

from siteassist_async import __version__
from siteassist_async.cli import main
from siteassist_async.cli.commands import parse, siteassist
from siteassist_async.cli.settings import Setting

if TYPE_CHECKING:
    from collections.abc import Sequence

SOME_ID = "123e4567-e89b-12d3-a456-426614174000"
EXPORT = ("export", "ids.txt", "-o", "out.jsonl")
COMMANDS = siteassist.commands


def refusal(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is said to a command line that is refused."""
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert not said.out
    return said.err


def options_of(command: click.Command) -> set[str]:
    """The long options of a command."""
    return {option for param in command.params for option in param.opts if option[:2] == "--"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A command's help names each of its options with a text of its own."""
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Examples:" in shown
    assert "Exit codes:" in shown
    for param in COMMANDS[name].params:
        assert param.help
        assert (param.metavar or "") in shown
        if isinstance(param, click.Option):
            assert all(option in shown for option in param.opts)


def test_every_command_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """The help of all names each command and the variables of the environment."""
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert [*COMMANDS] == [
        *(
            "export",
            "list",
            "convert",
            "verify",
            "get",
            "show",
            "inspect",
            "plan",
            "emulator",
            "demo",
        )
    ]
    assert re.findall(r"^  ([a-z]+)  ", shown.partition("Commands:")[2], re.MULTILINE) == [
        *COMMANDS
    ]
    assert "SITEASSIST_TOKEN" in shown
    assert "SITEASSIST_BASE_URL" in shown


def test_the_variable_of_a_setting_is_in_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    """With its default and its range."""
    assert main(["export", "-h"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "[env var: SITEASSIST_CONCURRENCY; default: 32; 1<=x<=1000]" in shown
    assert "[env var: SITEASSIST_MAX_RATE; x>0]" in shown
    assert "[env var: SITEASSIST_PROFILE]" in shown


def test_the_page_names_every_command_option_and_setting() -> None:
    """docs/cli.md has each of them, and none that there is not."""
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    assert set(re.findall(r"^\| `siteassist ([a-z]+)", page, re.MULTILINE)) == {*COMMANDS}
    params = [param for command in COMMANDS.values() for param in command.params]
    settings = [param for param in params if isinstance(param, Setting)]
    assert {setting.envvar for setting in settings} | {
        "SITEASSIST_PROFILE",
        "SITEASSIST_CONFIG",
    } == set(re.findall(r"(?<!_)SITEASSIST_(?!COMPLETE)[A-Z_]+", page))
    assert all(f"`{setting.name}`" in page for setting in settings)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page))
    assert named - {"--help"} == set[str]().union(*map(options_of, COMMANDS.values()))


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_is_shown_by_any_terminal(
    name: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All help is ASCII, so that no encoding fails on it, and fits but for what is to be copied."""
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([name, "--help"] if name else ["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.isascii()
    before, _, after = shown.partition("Examples:\n")
    lines = [*before.splitlines(), *after.partition("\n\n")[2].splitlines()]
    assert [line for line in lines if len(line) > max(columns, 50)] == []


def test_the_width_is_the_terminals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the environment does not say it; without a terminal it is 80."""
    monkeypatch.delenv("COLUMNS", raising=False)
    widths = list[int]()
    for size in (Mock(return_value=os.terminal_size((50, 20))), Mock(side_effect=OSError)):
        monkeypatch.setattr(os, "get_terminal_size", size)
        assert main(["list", "--help"]) == 0
        widths.append(max(map(len, capsys.readouterr().out.partition("Examples")[0].split("\n"))))
    assert 45 < widths[0] <= 50
    assert 75 < widths[1] <= 80


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` is the package's."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"siteassist {__version__}\n"


def test_nothing_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command the help goes to standard error."""
    assert "Examples:" in refusal([], capsys)


def test_help_loads_nothing() -> None:
    """`--help` imports neither aiohttp nor attrs nor anything else that takes time."""
    program = (
        "import sys\n"
        "from siteassist_async.cli import main\n"
        "main(['--help'])\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = set(ended.stderr.decode().split())
    assert not loaded & {
        "aiohttp",
        "asyncio",
        "attr",
        "attrs",
        "cattrs",
        "msgspec",
        "tenacity",
        "tomllib",
    }
    assert {name for name in loaded if name.startswith("siteassist_async")} == {
        "siteassist_async",
        "siteassist_async.cli",
        "siteassist_async.cli.commands",
        "siteassist_async.cli.console",
        "siteassist_async.cli.redaction",
        "siteassist_async.cli.settings",
        "siteassist_async.cli.values",
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
    assert ("sk_***" in said) == (len(given) == 1 and "=" not in given[0])
    assert "sk_test_live_1" not in said


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["fetch"], "No such command 'fetch'"),
        (["export", "ids.txt"], "Missing option '-o' / '--output'"),
        (["export", "", "-o", "out.jsonl"], "expected a name, not an empty text"),
        (["export", "ids.txt", "-o", "-"], "a pipe does not keep"),
        (["export", "ids.txt", "-o", ""], "expected a name, not an empty text"),
        (["export", "ids.txt", "-o", "/"], "expected the name of a new file or folder"),
        (["export", "ids.txt", "-o", ".."], "expected the name of a new file or folder"),
        ([*EXPORT, "--column"], "siteassist export: Option '--column' requires an argument"),
        ([*EXPORT, "--column", ""], "expected a value, not an empty text"),
        ([*EXPORT, "--concurrency", "0"], "'--concurrency': 0 is not in the range 1<=x<=1000"),
        ([*EXPORT, "--concurrency", "2.5"], "'2.5' is not a valid whole number"),
        ([*EXPORT, "--concurrency", "9999"], "9999 is not in the range 1<=x<=1000"),
        ([*EXPORT, "--max-rate", "0"], "'--max-rate': 0.0 is not in the range x>0"),
        ([*EXPORT, "--max-rate", "nan"], "'nan' is not a finite number"),
        ([*EXPORT, "--max-rate", "inf"], "'inf' is not a finite number"),
        ([*EXPORT, "--max-rate", "fast"], "'fast' is not a valid number"),
        (
            [*EXPORT, "--restart", "--retry-failed"],
            "--restart and --rebuild-state exclude each other",
        ),
        (["get"], "Missing argument 'ID'"),
        (["get", SOME_ID, "--deadline", "-1"], "-1.0 is not in the range x>0"),
        (["emulator", "--port", "65536"], "65536 is not in the range 0<=x<=65535"),
        (["emulator", "--latency", "-1"], "-1.0 is not in the range x>=0"),
        (["emulator", "--rate", "0"], "'--rate': 0.0 is not in the range x>0"),
        (["emulator", "--token", "two words"], "printable ASCII characters without spaces"),
        (["emulator", "--token", ""], "printable ASCII characters without spaces"),
        (["demo", "--conversations", "9"], "9 is not in the range 10<=x<=1000000"),
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


@pytest.mark.parametrize("text", ["", "m", "-1", "5w", "inf", "nan", "5 m 3", "1e400"])
def test_what_is_no_duration_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With an example of one."""
    said = refusal([*EXPORT, f"--wait={text}"], capsys)
    assert "expected a duration such as 90, 90s, 5m or 2h" in said


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "export needs an INPUT, or --all"),
        (["--all", "ids.txt"], "--all takes no INPUT"),
        (["ids.txt", "--status", "open"], "--status, --since and --until are for --all"),
        (["ids.txt", "--since", "2026-01-01"], "--status, --since and --until are for --all"),
        (
            ["--all", "--since", "2026-02-01", "--until", "2026-01-31"],
            "2026-01-31 00:00:00+00:00 is",
        ),
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
    assert (options["all"], options["inputs"], options["status"]) == (True, (), "open")
    assert options["since"] == datetime(2026, 1, 31, tzinfo=UTC)
    assert options["until"] == datetime(2026, 2, 1, tzinfo=UTC)


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds where nothing is said."""
    monkeypatch.delenv("SITEASSIST_TOKEN", raising=False)
    assert vars(parse(EXPORT)) == {
        "command": "export",
        "command_line": ["siteassist", *EXPORT],
        "inputs": ("ids.txt",),
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
        "profile": None,
        "verbose": 0,
        "log_file": None,
        "token_file": None,
        "token_env": None,
        "keyring": None,
        "ca": None,
        "proxy": None,
        "token_place": None,
        "token_source": None,
    }
