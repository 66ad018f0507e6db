"""The standard streams of a command: results go to output, everything else to error."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Self, TextIO

from siteassist_async.cli.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

_START_OF_LINE = "\r\x1b[K"
# Otherwise a line that is wider than its number of characters (Chinese, for example) would wrap
# and scroll the screen at each redraw.
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


class Console:
    """Writes to standard output and error, and stops writing to a stream whose reader is gone.

    A lost reader is no error: the product of a command is elsewhere, a file or an exit code.
    """

    def __init__(
        self,
        out: TextIO | None,
        err: TextIO | None,
        environ: Mapping[str, str],
        *,
        quiet: bool = False,
    ) -> None:
        self._quiet = quiet
        self._out = _tolerant(out)
        self._err = _tolerant(err)
        self._redrawn = False
        moves = environ.get("TERM", "dumb") != "dumb"
        self.redraws = self._err is not None and self._err.isatty() and moves

    @classmethod
    def of_process(cls, *, quiet: bool = False) -> Self:
        """Write to the process's current standard output and error."""
        return cls(sys.stdout, sys.stderr, os.environ, quiet=quiet)

    def result(self, text: str) -> None:
        """Write a line of the command's result to standard output."""
        self.erase()
        self._out = _write(self._out, f"{text}\n")

    def log(self, text: str) -> None:
        """Write a line of the log to standard error."""
        self.erase()
        self._err = _write(self._err, f"{text}\n")

    def info(self, text: str) -> None:
        """Write a line about the command's work to standard error, unless quiet."""
        if not self._quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """Write a line about a failure to standard error."""
        self.log(f"siteassist: {redact(text)}")

    def redraw(self, text: str) -> None:
        """Write a status line that the next line of any kind replaces."""
        self._redrawn = True
        self._err = _write(self._err, f"{_START_OF_LINE}{_NO_WRAP}{text}{_WRAP}")

    def erase(self) -> None:
        """Erase the status line, if there is one."""
        if self._redrawn:
            self._redrawn = False
            self._err = _write(self._err, _START_OF_LINE)

    @property
    def columns(self) -> int:
        """The width of the terminal that the status line is drawn on."""
        try:
            return os.get_terminal_size(self._err.fileno() if self._err else -1).columns or 80
        except (OSError, ValueError):
            return 80

    @property
    def has_blocks(self) -> bool:
        """Whether the terminal shows more than ASCII."""
        return self._err is not None and self._err.encoding.lower().startswith("utf")


def _tolerant(stream: TextIO | None) -> TextIO | None:
    # An ID, a path or a message may contain characters that the terminal's encoding lacks.
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    return stream


def _write(stream: TextIO | None, text: str) -> TextIO | None:
    """Write and flush; returns the stream, or None once it cannot be written to."""
    if stream is None:
        return None
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        _redirect_to_null(stream)
        return None
    return stream


def hold_descriptors() -> None:
    """Open the null device in place of each standard stream that is closed.

    Otherwise the next file to be opened, by the event loop or the export, would become that stream.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one


def flush() -> None:
    """Flush standard output; a reader that is gone is no error."""
    if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison] # None if closed at start
        try:
            sys.stdout.flush()
        except (OSError, ValueError):
            _redirect_to_null(sys.stdout)


def _redirect_to_null(stream: TextIO) -> None:
    # Otherwise the interpreter flushes again at exit, complains and changes the exit code.
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
