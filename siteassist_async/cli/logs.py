"""The package's log, on standard error or in a file."""

from __future__ import annotations

import logging
import os
import re
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from siteassist_async.cli.console import Console
from siteassist_async.cli.redaction import escape, redact

if TYPE_CHECKING:
    from collections.abc import Generator


class _Lines(logging.Handler):
    """Writes each record as one line, which holds no token and no control characters."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s")
        formatter.default_time_format, formatter.default_msec_format = "%Y-%m-%dT%T", "%s.%03d"
        formatter.converter = time.gmtime
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        self._console.log(escape(redact(self.format(record))))


@contextmanager
def logged(console: Console, *, verbose: int, log_file: str | None) -> Generator[None]:
    """Log while in the context, to the file or else to the console; with `verbose` 2 everything.

    Raises:
        UsageError: The file cannot be written, or has something else in it.
    """
    logger = logging.getLogger("siteassist_async")
    with ExitStack() as stack:
        if log_file is not None:
            console = Console(None, stack.enter_context(_opened(Path(log_file))), {})
        handler = _Lines(console)
        logger.addHandler(handler)
        stack.callback(logger.removeHandler, handler)
        stack.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.DEBUG if verbose > 1 else logging.INFO)
        yield


def _opened(path: Path) -> TextIO:
    try:
        if path.is_file():
            with path.open("rb") as file:
                begin = file.read(11)
            if begin and not re.fullmatch(rb"\d{4}-\d\d-\d\dT", begin):
                raise click.UsageError(f"--log-file {path}: exists, and is not a log of siteassist")
        # A new one is readable by its owner only, as the files of an export are.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise click.UsageError(f"--log-file {path}: {error.strerror}") from error
