"""What a command says: results to standard output, everything else to standard error."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Self, TextIO

from siteassist_async.cli.shown import hide
from siteassist_async.cli.streams import silence

if TYPE_CHECKING:
    from collections.abc import Mapping

_START_OF_LINE = "\r\x1b[K"
# Else a line that is wider than it looks, Chinese say, would scroll the screen at each redraw.
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


class Console:
    """Both streams of a command. A stream whose reader is gone is written to no more.

    Losing it is no error, for a command's real product is elsewhere: a file, an exit code.
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
        self.redraws = self._err is not None and self._err.isatty() and _moves(environ)

    @classmethod
    def of_process(cls, *, quiet: bool = False) -> Self:
        """That of standard output and error as they are now."""
        return cls(sys.stdout, sys.stderr, os.environ, quiet=quiet)

    def tell(self, text: str) -> None:
        """Write a line of the command's result."""
        self._erase()
        self._out = _write(self._out, f"{text}\n")

    def say(self, text: str) -> None:
        """Write a line about the command's work, unless it is to be quiet."""
        if not self._quiet:
            self.fail(text)

    def fail(self, text: str) -> None:
        """Write a line about what went wrong."""
        self._erase()
        self._err = _write(self._err, f"siteassist: {hide(text)}\n")

    def redraw(self, text: str) -> None:
        """Write a line about the command's work that the next one of any kind takes away."""
        self._redrawn = True
        self._err = _write(self._err, f"{_START_OF_LINE}{_NO_WRAP}{text}{_WRAP}")

    def end(self) -> None:
        """Leave the terminal as it was."""
        self._erase()

    @property
    def columns(self) -> int:
        """The width of the terminal that lines are redrawn on."""
        try:
            return os.get_terminal_size(self._err.fileno() if self._err else -1).columns or 80
        except (OSError, ValueError):
            return 80

    @property
    def has_blocks(self) -> bool:
        """Whether the terminal shows more than ASCII."""
        return self._err is not None and self._err.encoding.lower().startswith("utf")

    def _erase(self) -> None:
        if self._redrawn:
            self._redrawn = False
            self._err = _write(self._err, _START_OF_LINE)


def _moves(environ: Mapping[str, str]) -> bool:
    return environ.get("TERM", "dumb") != "dumb"


def _tolerant(stream: TextIO | None) -> TextIO | None:
    # An id, a path or a message may hold what the terminal's encoding lacks.
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    return stream


def _write(stream: TextIO | None, text: str) -> TextIO | None:
    """Write at once; returns the stream, or None once it cannot be written to."""
    if stream is None:
        return None
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        silence(stream)
        return None
    return stream
