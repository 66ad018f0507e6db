"""The commands, their options and their help."""

from __future__ import annotations

import os
import sys
from argparse import (
    SUPPRESS,
    Action,
    ArgumentParser,
    ArgumentTypeError,
    Namespace,
    RawDescriptionHelpFormatter,
)
from typing import TYPE_CHECKING, NoReturn

from siteassist_async.cli import texts
from siteassist_async.cli.redaction import escape, redact_words
from siteassist_async.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


# More connections need more file descriptors than a process has by default.
_MAX_CONCURRENCY = 1000

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class Options(Namespace):
    """The options of every command."""

    command: str
    command_line: Sequence[str]


class ConnectionOptions(Options):
    """How to reach the API."""

    base_url: str | None
    token_file: str | None
    ca: str | None
    proxy: str | None


class ExportOptions(ConnectionOptions):
    """`siteassist export`."""

    inputs: Sequence[str]
    output: str
    column: str | None
    updated_column: str | None
    limit: int | None
    concurrency: int
    max_rate: float | None
    wait: float
    restart: bool
    retry_failed: bool
    rebuild_state: bool
    dask: str | None
    partitions: int | None
    quiet: bool
    json: bool


class VerifyOptions(Options):
    """`siteassist verify`."""

    output: str
    json: bool


class GetOptions(ConnectionOptions):
    """`siteassist get`."""

    id: str
    raw: bool
    deadline: float


class EmulatorOptions(Options):
    """`siteassist emulator`."""

    port: int
    token: str
    rate: float | None
    latency: float
    seed: int


class DemoOptions(Options):
    """`siteassist demo`."""

    conversations: int
    output: str | None


def parse(arguments: Sequence[str]) -> Options:
    """Parse the command line; help, version and usage errors raise SystemExit."""
    parser = make_parser()
    if not arguments:
        parser.print_help(sys.stderr)
        parser.exit(2)
    options = parser.parse_args(arguments, namespace=Options())
    found = vars(options)
    if found.get("dask", "") is None or found.get("output") == "-":
        try:
            output_file(found["output"])
        except ArgumentTypeError as error:
            parser.error(f"argument -o/--output: {error}")
    return options


def make_parser() -> ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(
        prog="siteassist",
        description=texts.SITEASSIST,
        epilog=texts.SITEASSIST_MORE,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"siteassist {__version__}")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", required=True
    )
    for name, (summary, description, more, add) in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=description,
            epilog=more,
            formatter_class=RawDescriptionHelpFormatter,
            # If abbreviations were allowed, `--token sk_...` would mean `--token-file sk_...`.
            allow_abbrev=False,
        )
        add(command)
    return parser


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        shown = escape(redact_words(message))
        self.exit(2, f"{self.prog}: {shown}\nsee {self.prog} --help\n")


class _RefuseToken(Action):
    def __call__(self, parser: ArgumentParser, *_: object) -> NoReturn:
        parser.error(
            "the token cannot be passed as an argument, which would expose it in the process list "
            "and the shell's history: set SITEASSIST_TOKEN, or use --token-file"
        )


def _add_export(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("inputs", metavar="INPUT", nargs="+", type=not_empty, help=texts.INPUT)
    # A file, or with --dask a folder: see `parse`.
    add("-o", "--output", metavar="OUTPUT", required=True, help=texts.OUTPUT)
    add("--column", metavar="NAME", type=not_empty, help=texts.COLUMN)
    add("--updated-column", metavar="NAME", type=not_empty, help=texts.UPDATED_COLUMN)
    add("--limit", metavar="N", type=whole(1, 2**63), help=texts.LIMIT)
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--retry-failed", action="store_true", help=texts.RETRY_FAILED)
    again.add_argument("--restart", action="store_true", help=texts.RESTART)
    again.add_argument("--rebuild-state", action="store_true", help=texts.REBUILD_STATE)
    at_once = whole(1, _MAX_CONCURRENCY)
    add("--concurrency", metavar="N", type=at_once, default=32, help=texts.CONCURRENCY)
    add("--max-rate", metavar="R", type=above_zero, help=texts.MAX_RATE)
    add("--wait", metavar="DURATION", type=duration, default=300.0, help=texts.WAIT)
    add("--dask", metavar="CLUSTER", type=not_empty, help=texts.DASK)
    add("--partitions", metavar="P", type=whole(1, 99_999), help=texts.PARTITIONS)
    add("--quiet", action="store_true", help=texts.QUIET)
    add("--json", action="store_true", help=texts.JSON)
    _add_connection(parser)


def _add_verify(parser: ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", type=output_file, help=texts.VERIFIED)
    parser.add_argument("--json", action="store_true", help=texts.VERIFY_JSON)


def _add_get(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("id", metavar="ID", help=texts.ID)
    add("--raw", action="store_true", help=texts.RAW)
    add("--deadline", metavar="S", type=above_zero, default=60.0, help=texts.DEADLINE)
    _add_connection(parser)


def _add_connection(parser: ArgumentParser) -> None:
    add = parser.add_argument_group("connection").add_argument
    add("--token-file", metavar="FILE", help=texts.TOKEN_FILE)
    add("--base-url", metavar="URL", help=texts.BASE_URL)
    add("--ca", metavar="FILE", help=texts.CA)
    add("--proxy", metavar="URL", type=proxy, help=texts.PROXY)
    add("--token", nargs="?", action=_RefuseToken, help=SUPPRESS)


def _add_emulator(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--port", metavar="PORT", type=whole(0, 65535), default=8080, help=texts.PORT)
    add(
        "--token",
        metavar="TOKEN",
        type=emulator_token,
        default="sk_emulator",
        help=texts.EMULATOR_TOKEN,
    )
    add("--rate", metavar="R", type=above_zero, help=texts.RATE)
    add("--latency", metavar="S", type=zero_or_more, default=0.0, help=texts.LATENCY)
    add("--seed", metavar="N", type=whole(0, 2**63), default=0, help=texts.SEED)


def _add_demo(parser: ArgumentParser) -> None:
    add = parser.add_argument
    many = whole(10, 1_000_000)
    add("--conversations", metavar="N", type=many, default=1000, help=texts.CONVERSATIONS)
    add("--output", metavar="DIR", type=not_empty, help=texts.DEMO_OUTPUT)


_COMMANDS = {
    "export": (texts.EXPORT, texts.EXPORT_IS, texts.EXPORT_MORE, _add_export),
    "verify": (texts.VERIFY, texts.VERIFY_IS, texts.VERIFY_MORE, _add_verify),
    "get": (texts.GET, texts.GET_IS, texts.GET_MORE, _add_get),
    "emulator": (texts.EMULATOR, texts.EMULATOR_IS, texts.EMULATOR_MORE, _add_emulator),
    "demo": (texts.DEMO, texts.DEMO_IS, texts.DEMO_MORE, _add_demo),
}


def whole(low: int, high: int) -> Callable[[str], int]:
    """Accept whole numbers from `low` to `high`."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise ArgumentTypeError(f"expected a whole number from {low} to {high}, not {text!r}")
        return value

    return number


def above_zero(text: str) -> float:
    """Accept finite numbers above 0."""
    value = _number(text)
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"expected a number above 0, not {text!r}")
    return value


def zero_or_more(text: str) -> float:
    """Accept 0 and finite numbers above it."""
    value = _number(text)
    if not 0 <= value < float("inf"):
        raise ArgumentTypeError(f"expected a number of 0 or more, not {text!r}")
    return value


def duration(text: str) -> float:
    """Accept seconds, or a number followed by s, m or h."""
    unit = _UNITS.get(text[-1:], 0.0)
    value = _number(text[:-1] if unit else text) * (unit or 1.0)
    if not 0 <= value < float("inf"):
        raise ArgumentTypeError(f"expected a duration such as 90, 90s, 5m or 2h, not {text!r}")
    return value


def proxy(text: str) -> str:
    """Accept the URL of a proxy without a password, and the word env."""
    if "@" in text:
        raise ArgumentTypeError(
            "a user name and a password cannot be passed as an argument, which would expose them "
            "in the process list and the shell's history: set SITEASSIST_PROXY to the whole URL"
        )
    if text != "env" and not text.startswith(("http://", "https://")):
        raise ArgumentTypeError(
            f"expected http://host:port, https://host:port or env, not {text!r}"
        )
    return text


def not_empty(text: str) -> str:
    """Accept any text that is not empty."""
    if not text:
        raise ArgumentTypeError("expected a value, not an empty text")
    return text


def output_file(text: str) -> str:
    """Accept the name of a file; an export cannot resume on a pipe."""
    if text == "-":
        raise ArgumentTypeError(
            "expected a file: resuming needs the file's content, which a pipe does not keep"
        )
    if os.path.basename(text) in {"", ".", ".."}:  # noqa: PTH119 - pathlib takes half the time
        raise ArgumentTypeError(f"expected a file, not a folder: {text!r}")
    return text


def emulator_token(text: str) -> str:
    """Accept a token that fits into a header."""
    if not text or not all("!" <= character <= "~" for character in text):
        raise ArgumentTypeError("expected printable ASCII characters without spaces")
    return text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
