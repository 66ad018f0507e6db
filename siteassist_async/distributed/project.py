"""A project to export: its IDs, and how a worker reaches the API without being sent the token."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path

from attrs import field, frozen

from siteassist_async.client import BASE_URL, SiteAssist
from siteassist_async.errors import ConfigurationError, printable
from siteassist_async.export import Source
from siteassist_async.middleware.retry_policy import PATIENT
from siteassist_async.pacing import Pacer, pacer_for

_ENVIRONMENT = "SITEASSIST_TOKEN"


@frozen
class Access:
    """How a worker reaches the API; it holds the name of the token's place only.

    Attributes:
        token_env: The environment variable of the workers that holds the token.
        token_file: Or the file on the workers.
        ca: A file on the workers with the certificates to trust.
    """

    token_env: str | None
    token_file: Path | None
    base_url: str
    ca: Path | None
    proxy: str | None
    concurrency: int
    max_rate: float | None
    pacer: Callable[[], Pacer] | None

    def read_token(self) -> str:
        """Return the token.

        Raises:
            ConfigurationError: There is none here.
        """
        if self.token_file is None:
            name = self.token_env or _ENVIRONMENT
            token, where = os.environ.get(name, ""), f"the environment variable {name}"
        else:
            where = f"the file {printable(str(self.token_file), 500)}"
            try:
                token = self.token_file.read_text(errors="replace")
            except OSError as error:
                raise ConfigurationError(
                    f"{where} with the token cannot be read on a worker: {error.strerror}"
                ) from error
        if not token.strip():
            raise ConfigurationError(f"{where} holds no token on a worker")
        return token.strip()

    def client(self, token: str) -> tuple[SiteAssist, Pacer]:
        """Return a client, not entered yet, and its pacer.

        Raises:
            ConfigurationError: The token, the base URL or the certificates cannot work.
        """
        tls = None
        if self.ca is not None:
            try:
                tls = ssl.create_default_context(cafile=self.ca)
            except OSError as error:  # SSLError is one too
                raise ConfigurationError(
                    f"the certificates {printable(str(self.ca), 500)} cannot be read on a worker: "
                    f"{error.strerror or error}"
                ) from error
        if self.pacer is not None:
            pacer = self.pacer()
        else:
            pacer = pacer_for(
                self.base_url, token, concurrency=self.concurrency, max_rate=self.max_rate
            )
        client = SiteAssist(
            token,
            base_url=self.base_url,
            tls=tls,
            proxy=self.proxy,
            retry=PATIENT,
            concurrency=self.concurrency,
            pacer=pacer,
        )
        return client, pacer


def _source(given: Source | Path | str) -> Source:
    return given if isinstance(given, Source) else Source(Path(given))


@frozen
class Project:
    """The IDs of one project of the API.

    A token never leaves the machine that it is on: workers are told where to find theirs.

    Attributes:
        source: The IDs: a file, or a `Source`. It is read where `export` is called.
        token_env: The environment variable of the workers that holds the token; by default
            `SITEASSIST_TOKEN`.
        token_file: The file on the workers that holds the token, instead.
        name: The folder below the output, needed if there are several projects.
        base_url: By default $SITEASSIST_BASE_URL where `export` is called, else the API.
        ca: A file on the workers with the certificates to trust instead of the system's.
        proxy: The URL of an HTTP proxy, without a password: it is sent to the workers.
        concurrency: The maximum number of requests in flight, for each worker.
        max_rate: The maximum requests per second, for each worker.
        pacer: Called on each worker for a pacer that replaces its own, such as one that all workers
            share; a function of a module that they can import.

    Raises:
        ConfigurationError: Both places of a token are named, the name is not that of a folder, or
            the proxy has a password.
    """

    source: Source = field(converter=_source)
    token_env: str | None = field(default=None, kw_only=True)
    token_file: Path | None = field(default=None, kw_only=True)
    name: str = field(default="", kw_only=True)
    base_url: str | None = field(default=None, kw_only=True)
    ca: Path | None = field(default=None, kw_only=True)
    proxy: str | None = field(default=None, kw_only=True, repr=False)
    concurrency: int = field(default=32, kw_only=True)
    max_rate: float | None = field(default=None, kw_only=True)
    pacer: Callable[[], Pacer] | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.token_env is not None and self.token_file is not None:
            raise ConfigurationError("a project has a token_env or a token_file, not both")
        if self.proxy is not None and "@" in self.proxy:
            raise ConfigurationError(
                "a proxy that needs a password cannot be used with Dask: its scheduler would see it"
            )
        if self.name.startswith(".") or not self.name.isprintable() or "/" in self.name:
            raise ConfigurationError(
                f"the name of a project is that of a folder, not {printable(self.name, 100)!r}"
            )

    def access(self) -> Access:
        """Return what the workers need to know."""
        base_url = self.base_url or os.environ.get("SITEASSIST_BASE_URL") or BASE_URL
        return Access(
            token_env=self.token_env,
            token_file=self.token_file,
            base_url=base_url,
            ca=self.ca,
            proxy=self.proxy,
            concurrency=self.concurrency,
            max_rate=self.max_rate,
            pacer=self.pacer,
        )
