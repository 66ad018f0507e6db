"""The command `siteassist` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from threading import Timer
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

_PROGRAM = "import sys; from siteassist_async.cli import main; sys.exit(main())"
_LONGEST = 30.0

Command = subprocess.Popen[str]


@contextmanager
def siteassist(
    *arguments: str,
    stdin: int | IO[str] = subprocess.DEVNULL,
    stdout: int | IO[str] = subprocess.PIPE,
    stderr: int | IO[str] = subprocess.PIPE,
    environ: dict[str, str] | None = None,
) -> Generator[Command]:
    """Start it, and kill it if it is there after the block or after half a minute."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SITEASSIST")}
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=kept
        | {"PYTHONWARNINGS": "error", "TERM": "xterm", "SITEASSIST_CONFIG": os.devnull}
        | (environ or {}),
        text=True,
    )
    watchdog = Timer(_LONGEST, process.kill)
    watchdog.start()
    with process:
        try:
            yield process
        finally:
            process.kill()
            watchdog.cancel()
            watchdog.join()


def line_with(text: str, stream: IO[str] | None) -> str:
    """Read up to the line that holds a text."""
    assert stream is not None
    for line in stream:
        if text in line:
            return line
    raise AssertionError(f"the command ended without a line with {text!r}")
