"""Standard output and error, whose readers may be gone."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO


def silence(stream: TextIO) -> None:
    """Let what is still buffered, and all that follows, go nowhere."""
    # Else the interpreter flushes once more at its end, complains and changes the exit code.
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def hold_descriptors() -> None:
    """Open nothing in place of each standard stream that is closed.

    Else the next file to be opened would be that stream: an event loop's, or an export's.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one


def flush() -> None:
    """Write out what is buffered for standard output; nobody there to read it is no error."""
    if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison] # closed at the start
        try:
            sys.stdout.flush()
        except (OSError, ValueError):
            silence(sys.stdout)
