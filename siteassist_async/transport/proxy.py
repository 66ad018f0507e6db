"""An HTTP proxy for the client's own connections."""

from __future__ import annotations

from contextlib import suppress

from attrs import field
from yarl import URL

from siteassist_async.immutable import frozen


@frozen
class Proxy:
    """The URL of a proxy, wrapped so that tracebacks and dumps hide its password."""

    url: URL = field(repr=False)

    @classmethod
    def of(cls, text: object) -> Proxy | None:
        """Read a URL such as https://user:password@host:3128; None if it is not one.

        It does not raise: the traceback would show the password.
        """
        url = URL()
        if isinstance(text, str):
            with suppress(ValueError):
                url = URL(text)
        fits = url.scheme in {"http", "https"} and url.host and url.raw_path_qs == "/"
        return cls(url) if fits else None
