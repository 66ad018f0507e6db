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
from typing import TYPE_CHECKING, NoReturn, cast

from siteassist_async.cli import texts
from siteassist_async.cli.redaction import escape, redact_words
from siteassist_async.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from siteassist_async.conversations import ListedStatus


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


class FilterOptions(ConnectionOptions):
    """Which conversations are listed."""

    status: ListedStatus | None
    since: datetime | None
    until: datetime | None


class ExportOptions(FilterOptions):
    """`siteassist export`."""

    all: bool
    inputs: Sequence[str]
    output: str
    column: str | None
    format: str | None
    updated_column: str | None
    limit: int | None
    concurrency: int
    max_rate: float | None
    wait: float
    restart: bool
    retry_failed: bool
    refresh: str | None
    any_input: bool
    rebuild_state: bool
    dask: str | None
    partitions: int | None
    quiet: bool
    json: bool


class ConvertOptions(Options):
    """`siteassist convert`."""

    log: str
    output: str
    format: str | None
    rebuild: bool
    quiet: bool
    json: bool


class ListOptions(FilterOptions):
    """`siteassist list`."""

    offset: int
    max_rate: float | None
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


class ShowOptions(Options):
    """`siteassist show`."""

    file: str
    id: str
    format: str | None


class InspectOptions(Options):
    """`siteassist inspect`."""

    file: str
    format: str | None
    json: bool


class EmulatorOptions(Options):
    """`siteassist emulator`."""

    port: int
    token: str
    rate: float | None
    latency: float
    seed: int
    conversations: int
    changing: bool


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
    if options.command == "export" and (problem := _problem(cast("ExportOptions", options))):
        parser.error(problem)
    return options


def _problem(options: ExportOptions) -> str | None:
    """Say which options of an export exclude each other, or do not fit its output."""
    if options.dask is None or options.output == "-":
        try:
            output_file(options.output)
        except ArgumentTypeError as error:
            return f"argument -o/--output: {error}"
    filters = (options.status, options.since, options.until)
    if not options.all:
        if not options.inputs:
            return "export needs an INPUT, or --all for all conversations of the project"
        return "--status, --since and --until are for --all" if any(filters) else None
    if options.inputs:
        return "--all takes no INPUT"
    columns = options.column or options.updated_column
    return "--column and --updated-column are for an INPUT" if columns else None


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
    add("inputs", metavar="INPUT", nargs="*", type=not_empty, help=texts.INPUT)
    # A file or, with --dask, a folder: see `_problem`.
    add("-o", "--output", metavar="OUTPUT", required=True, help=texts.OUTPUT)
    add("--column", metavar="NAME", type=not_empty, help=texts.COLUMN)
    add("--updated-column", metavar="NAME", type=not_empty, help=texts.UPDATED_COLUMN)
    add("--format", metavar="FORMAT", help=texts.FORMAT)
    add("--all", action="store_true", help=texts.ALL)
    _add_filter(parser)
    add("--limit", metavar="N", type=whole(1, 2**63), help=texts.LIMIT)
    add("--refresh", choices=["open"], help=texts.REFRESH)
    add("--any-input", action="store_true", help=texts.ANY_INPUT)
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


def _add_convert(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("log", metavar="LOG", type=not_empty, help=texts.CONVERTED)
    add("-o", "--output", metavar="OUTPUT", type=not_empty, required=True, help=texts.CONVERT_TO)
    add("--format", metavar="FORMAT", help=texts.FORMAT)
    add("--rebuild", action="store_true", help=texts.REBUILD)
    add("--quiet", action="store_true", help=texts.QUIET)
    add("--json", action="store_true", help=texts.CONVERT_JSON)


def _add_list(parser: ArgumentParser) -> None:
    add = parser.add_argument
    _add_filter(parser)
    add("--offset", metavar="N", type=whole(0, 2**53), default=0, help=texts.OFFSET)
    add("--json", action="store_true", help=texts.LIST_JSON)
    add("--max-rate", metavar="R", type=above_zero, help=texts.MAX_RATE)
    _add_connection(parser)


def _add_filter(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--status", choices=("open", "closed"), help=texts.STATUS)
    add("--since", metavar="TIME", type=moment, help=texts.SINCE)
    add("--until", metavar="TIME", type=moment, help=texts.UNTIL)


def _add_verify(parser: ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", type=output_file, help=texts.VERIFIED)
    parser.add_argument("--json", action="store_true", help=texts.VERIFY_JSON)


def _add_get(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("id", metavar="ID", help=texts.ID)
    add("--raw", action="store_true", help=texts.RAW)
    add("--deadline", metavar="S", type=above_zero, default=60.0, help=texts.DEADLINE)
    _add_connection(parser)


def _add_show(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=not_empty, help=texts.EXPORTED)
    parser.add_argument("id", metavar="ID", help=texts.ID)
    parser.add_argument("--format", metavar="FORMAT", help=texts.SOURCE_FORMAT)


def _add_inspect(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=not_empty, help=texts.EXPORTED)
    parser.add_argument("--format", metavar="FORMAT", help=texts.SOURCE_FORMAT)
    parser.add_argument("--json", action="store_true", help=texts.VERIFY_JSON)


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
    listed = whole(0, 1_000_000)
    add("--conversations", metavar="N", type=listed, default=0, help=texts.LISTED)
    add("--changing", action="store_true", help=texts.CHANGING)


def _add_demo(parser: ArgumentParser) -> None:
    add = parser.add_argument
    many = whole(10, 1_000_000)
    add("--conversations", metavar="N", type=many, default=1000, help=texts.CONVERSATIONS)
    add("--output", metavar="DIR", type=not_empty, help=texts.DEMO_OUTPUT)


_COMMANDS = {
    "export": (texts.EXPORT, texts.EXPORT_IS, texts.EXPORT_MORE, _add_export),
    "convert": (texts.CONVERT, texts.CONVERT_IS, texts.CONVERT_MORE, _add_convert),
    "list": (texts.LIST, texts.LIST_IS, texts.LIST_MORE, _add_list),
    "verify": (texts.VERIFY, texts.VERIFY_IS, texts.VERIFY_MORE, _add_verify),
    "get": (texts.GET, texts.GET_IS, texts.GET_MORE, _add_get),
    "show": (texts.SHOW, texts.SHOW_IS, texts.SHOW_MORE, _add_show),
    "inspect": (texts.INSPECT, texts.INSPECT_IS, texts.INSPECT_MORE, _add_inspect),
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


def moment(text: str) -> datetime:
    """Accept a date or time in ISO 8601; in UTC unless it says otherwise."""
    from datetime import UTC, datetime  # noqa: PLC0415 - most commands need none

    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(
            f"expected a date or time such as 2026-01-31 or 2026-01-31T12:00:00Z, not {text!r}"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


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
    """Accept a name of its own; an export cannot resume on a pipe."""
    if text == "-":
        raise ArgumentTypeError(
            "expected a file: resuming needs the file's content, which a pipe does not keep"
        )
    if os.path.basename(text.rstrip("/")) in {"", ".", ".."}:  # noqa: PTH119 - pathlib takes half the time
        raise ArgumentTypeError(f"expected the name of a new file or folder, not {text!r}")
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
