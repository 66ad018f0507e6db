"""The command `siteassist`: parse, one call, print."""

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
    """Run one command and return its exit code; wrong usage, help and version exit from here."""
    hold_descriptors()
    try:
        return _run(sys.argv[1:] if argv is None else list(argv))
    except KeyboardInterrupt:
        print("\nsiteassist: interrupted", file=sys.stderr)
        return _RUN_AGAIN
    except BrokenPipeError:
        return _BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - a bug of ours, which must not show the token
        print(import_module("siteassist_async.cli.bug").report(error), file=sys.stderr)
        return _ACT
    finally:
        flush()


def _run(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    options.command_line = ["siteassist", *arguments]
    # `--help` should not wait for what only a command needs: aiohttp, the codec, the emulator.
    command = import_module(f"siteassist_async.cli.{options.command}")
    return int(command.run(options))
