"""Credentials: where the token comes from, and the crash report that does not show it."""

from __future__ import annotations

import getpass
import os
import sys
import traceback
from pathlib import Path

from siteassist_async.cli.redaction import redact, remember
from siteassist_async.errors import ConfigurationError


def read_token(token_file: str | None, *, stdin_has_ids: bool = False) -> str:
    """Return the token of `token_file`, else of $SITEASSIST_TOKEN, else prompt for it.

    Raises:
        ConfigurationError: There is no token.
    """
    if token_file is not None:
        token = _from_file(token_file, stdin_has_ids=stdin_has_ids)
    else:
        token = os.environ.get("SITEASSIST_TOKEN", "").strip() or _from_prompt()
    if not token:
        raise ConfigurationError(
            "no token: set SITEASSIST_TOKEN, or pass a file that contains it with --token-file"
        )
    remember(token)
    return token


def crash_report(error: Exception) -> str:
    """Format a bug of this package: the traceback, without the token."""
    lines = "".join(traceback.format_exception(error)).rstrip()
    return (
        f"{redact(lines)}\nsiteassist: this is a bug in siteassist; please report the lines above"
    )


def _from_file(name: str, *, stdin_has_ids: bool) -> str:
    if name == "-" and stdin_has_ids:
        raise ConfigurationError("--token-file -: standard input is already used for the IDs")
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--token-file {name}: {error.strerror}") from error
    token = data.strip()
    if not token or not all(0x21 <= byte <= 0x7E for byte in token):
        raise ConfigurationError(f"--token-file {name}: expected a token and nothing else")
    return token.decode()


def _from_prompt() -> str:
    # A prompt that nobody can answer would hang a scheduled run.
    if sys.stdin is None or sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison] # None if closed at start
        return ""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return ""
    try:
        return getpass.getpass("SiteAssist token (not shown): ").strip()
    except EOFError:
        return ""
