"""Connection options: the base URL, the token and the CA certificates."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from attrs import field, frozen

from siteassist_async.cli.credentials import read_token
from siteassist_async.cli.redaction import remember
from siteassist_async.client import BASE_URL
from siteassist_async.errors import ConfigurationError

if TYPE_CHECKING:
    from siteassist_async.cli.commands import Options


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
