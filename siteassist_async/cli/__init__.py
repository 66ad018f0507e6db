"""The command `siteassist`: parses the arguments and runs one command."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from siteassist_async.cli.console import flush, hold_descriptors
from siteassist_async.cli.parser import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

_RUN_AGAIN, _ACT, _BROKEN_PIPE = 3, 4, 128 + 13


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; help, version and usage errors raise SystemExit."""
    hold_descriptors()
    try:
        arguments = sys.argv[1:] if argv is None else list(argv)
        options = parse(arguments)
        options.command_line = ["siteassist", *arguments]
        # Imported late: `--help` should not wait for aiohttp, the codec or the emulator.
        # A module `list` would hide the built-in function here.
        module = "listing" if options.command == "list" else options.command
        command = import_module(f"siteassist_async.cli.{module}")
        return int(command.run(options))
    except KeyboardInterrupt:
        print("\nsiteassist: interrupted", file=sys.stderr)
        return _RUN_AGAIN
    except BrokenPipeError:
        return _BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - a bug in this package, reported without the token
        credentials = import_module("siteassist_async.cli.credentials")
        print(credentials.crash_report(error), file=sys.stderr)
        return _ACT
    finally:
        flush()
