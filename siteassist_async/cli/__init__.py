"""The command `siteassist`: parses the arguments and runs one command."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from importlib import import_module
from typing import TYPE_CHECKING

import click

from siteassist_async.cli.commands import Options, parse, siteassist
from siteassist_async.cli.console import Console, flush, hold_descriptors
from siteassist_async.cli.redaction import crash_report, escape, redact_words

if TYPE_CHECKING:
    from collections.abc import Sequence

_USAGE, _RUN_AGAIN, _ACT, _BROKEN_PIPE = 2, 3, 4, 128 + 13

_NO_TOKEN = (
    "the token cannot be passed as an argument, which would expose it in the process list and the "  # noqa: S105 - a message
    "shell's history: set SITEASSIST_TOKEN, or use --token-file"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    hold_descriptors()
    options, code = None, _ACT
    try:
        if os.environ.get("_SITEASSIST_COMPLETE"):
            siteassist.main([], "siteassist")  # answers the shell, and exits
        options = parse(sys.argv[1:] if argv is None else argv)
        code = _run(options)
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    except click.UsageError as error:
        code = _report(error)
    except KeyboardInterrupt:
        print("\nsiteassist: interrupted", file=sys.stderr)
        code = _RUN_AGAIN
    except BrokenPipeError:
        code = _BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - a bug in this package, reported without the token
        if options is None and isinstance(error, OSError):  # of help, or the version
            print(f"siteassist: standard output: {error.strerror}", file=sys.stderr)
        else:
            print(crash_report(error), file=sys.stderr)
    finally:
        flush()
    return code


def _run(options: Options) -> int:
    console = Console.of_process(quiet=getattr(options, "quiet", False))
    # Imported late: `--help` should not wait for aiohttp, the codec or the emulator.
    # A module `list` would hide the built-in function here.
    module = "listing" if options.command == "list" else options.command
    command = import_module(f"siteassist_async.cli.{module}")
    log = nullcontext()
    if getattr(options, "verbose", 0) or getattr(options, "log_file", None):
        logs = import_module("siteassist_async.cli.logs")
        log = logs.logged(console, verbose=options.verbose, log_file=options.log_file)
    try:
        with log:
            return int(command.run(options, console))
    except import_module("siteassist_async.errors").SiteAssistError as error:
        report = import_module("siteassist_async.cli.summary").report_error
        return int(report(error, console, json=getattr(options, "json", False)))


def _report(error: click.UsageError) -> int:
    """Print what is wrong in a line, and where there is more to read."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        print(error.message, file=sys.stderr)
        return _USAGE
    message = error.format_message()
    if isinstance(error, click.NoSuchOption):
        if error.option_name == "--token":
            message = _NO_TOKEN
        elif error.ctx and error.ctx.parent is None:
            message += " Options of a command follow its name."
    command = error.ctx.command_path if error.ctx else "siteassist"
    print(f"{command}: {escape(redact_words(message))}\nsee {command} --help", file=sys.stderr)
    return _USAGE
