"""Connection options: the base URL, the token and the CA certificates."""

from __future__ import annotations

import getpass
import os
import ssl
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from attrs import field, frozen

from siteassist_async.cli.redaction import remember
from siteassist_async.client import BASE_URL
from siteassist_async.errors import ConfigurationError, printable

if TYPE_CHECKING:
    from siteassist_async.cli.commands import Options


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


@frozen
class Connection:
    """How to reach the API; `tls` is None for the system's CA certificates."""

    base_url: str
    token: str = field(repr=False)
    tls: ssl.SSLContext | None = None
    proxy: str | None = field(default=None, repr=False)


def connection(options: Options, *, stdin_has_ids: bool = False) -> Connection:
    """Read it from the options and the environment; the token may be prompted for.

    Raises:
        ConfigurationError: A file cannot be read, or there is no token.
    """
    tls = None
    if options.ca is not None:
        tls = ssl.create_default_context()
        try:
            tls.load_verify_locations(options.ca)
        except ssl.SSLError as error:
            raise ConfigurationError(f"--ca {options.ca}: expected PEM certificates") from error
        except OSError as error:
            raise ConfigurationError(f"--ca {options.ca}: {error.strerror}") from error
    return Connection(
        base_url=options.base_url or BASE_URL,
        tls=tls,
        proxy=proxy_of(options),
        token=read_token(
            options.token_place, stdin_has_ids=stdin_has_ids, source=options.token_source
        ),
    )


def proxy_of(options: Options) -> str | None:
    """Return the URL of the proxy, if one is to be used; its password will not be printed."""
    proxy: str | None = options.proxy
    if proxy == "env":
        # Slow to import, and seldom needed.
        from urllib.request import getproxies_environment, proxy_bypass  # noqa: PLC0415

        url = urlsplit(options.base_url or BASE_URL)
        proxy = getproxies_environment().get(url.scheme)
        if not proxy or proxy_bypass(url.netloc):
            return None
        if "://" not in proxy:
            proxy = f"http://{proxy}"
    before, mark, _ = (proxy or "").rpartition("@")
    if mark:
        login = before.rpartition("/")[2]
        for secret in (login, login.partition(":")[2]):
            remember(secret)
            remember(unquote(secret))
    return proxy
