"""Credentials: where the token comes from, and the crash report that does not show it."""

from __future__ import annotations

import getpass
import os
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from siteassist_async.cli.redaction import redact, remember
from siteassist_async.errors import ConfigurationError, printable


def read_token(
    place: tuple[str, str] | None, *, stdin_has_ids: bool = False, source: str | None = None
) -> str:
    """Return the token that is at a place (see `token_place`), or without one prompt for it.

    `source` is the profile that names the place, if one does.

    Raises:
        ConfigurationError: There is no token.
    """
    kind, name = place or (None, "")
    token = ""
    if kind == "token_file":
        if name == "-" and stdin_has_ids:
            raise ConfigurationError("--token-file -: standard input is already used for the IDs")
        try:
            read = sys.stdin.buffer.read if name == "-" else Path(name).read_bytes
            data = read().strip()
        except OSError as error:
            raise ConfigurationError(f"--token-file {name}: {error.strerror}") from error
        if not data or not all(0x21 <= byte <= 0x7E for byte in data):
            raise ConfigurationError(f"--token-file {name}: expected a token and nothing else")
        token = data.decode()
    elif kind == "token_env":
        token = os.environ.get(name, "").strip()
        if not token:
            option = f"token_env {source}" if source else "--token-env"
            raise ConfigurationError(f"{option}: the variable {name} is not set")
    elif kind == "keyring":
        token = _from_keyring(name)
    elif all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        # Only here: a prompt that nobody can answer would hang a scheduled run.
        with suppress(EOFError):
            token = getpass.getpass("SiteAssist token (not shown): ").strip()
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


def _from_keyring(name: str) -> str:
    try:
        keyring = import_module("keyring")
    except ModuleNotFoundError as error:
        raise ConfigurationError("--keyring needs keyring: pip install keyring") from error
    try:
        token: str | None = keyring.get_password("siteassist", name)
    except keyring.errors.KeyringError as error:
        raise ConfigurationError(f"--keyring {name}: {printable(str(error), 500)}") from error
    if not token:
        raise ConfigurationError(
            f"--keyring {name}: has no token; store it with: keyring set siteassist {name}"
        )
    return token.strip()
