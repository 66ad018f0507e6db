"""Connection options: the base URL, the token and the CA certificates."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

from attrs import field, frozen

from siteassist_async.cli.credentials import read_token
from siteassist_async.client import BASE_URL
from siteassist_async.errors import ConfigurationError

if TYPE_CHECKING:
    from siteassist_async.cli.parser import ConnectionOptions


@frozen
class Connection:
    """How to reach the API; `tls` is None for the system's CA certificates."""

    base_url: str
    token: str = field(repr=False)
    tls: ssl.SSLContext | None = None


def connection(options: ConnectionOptions, *, stdin_has_ids: bool = False) -> Connection:
    """Read it from the options and the environment; the token may be prompted for.

    Raises:
        ConfigurationError: A file cannot be read, or there is no token.
    """
    return Connection(
        base_url=options.base_url or os.environ.get("SITEASSIST_BASE_URL") or BASE_URL,
        tls=None if options.ca is None else _tls_context(options.ca),
        token=read_token(options.token_file, stdin_has_ids=stdin_has_ids),
    )


def _tls_context(ca: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise ConfigurationError(f"--ca {ca}: expected PEM certificates") from error
    except OSError as error:
        raise ConfigurationError(f"--ca {ca}: {error.strerror}") from error
    return context
