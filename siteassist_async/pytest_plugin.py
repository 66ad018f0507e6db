"""Fixtures for pytest, which finds them by itself where this package is installed.

This module is loaded by every run of pytest, so it imports nothing until a fixture is used.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Protocol, cast

import pytest

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence

    import aiohttp

    from siteassist_async.client import SiteAssist
    from siteassist_async.clock import Clock
    from siteassist_async.emulator import Emulator
    from siteassist_async.events import Listener
    from siteassist_async.middleware.auth import Token
    from siteassist_async.middleware.retry_policy import RetryPolicy
    from siteassist_async.pacing import Pacer
    from siteassist_async.testing import InstantClock
    from siteassist_async.wire import Middleware, Timeout


class NewClient(Protocol):
    """Creates clients of the emulator."""

    def __call__(  # noqa: PLR0913 - the options of a client
        self,
        token: Token = ...,
        *,
        base_url: str = ...,
        timeout: Timeout | float = ...,
        retry: RetryPolicy = ...,
        deadline: float | None = ...,
        concurrency: int = ...,
        max_rate: float | None = ...,
        middleware: Sequence[Middleware] = ...,
        on_event: Listener | None = ...,
        session: aiohttp.ClientSession | None = ...,
        tls: ssl.SSLContext | None = ...,
        proxy: str | None = ...,
        max_body: int = ...,
        pacer: Pacer | None = ...,
        clock: Clock = ...,
    ) -> SiteAssist:
        """Create a client; the options are those of `SiteAssist`."""
        ...


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "siteassist(strict=True, **options): options of the `siteassist_emulator` fixture, such as "
        "limit=TokenBucket(50). If strict, a scripted fault that no request met fails the test.",
    )


@pytest.fixture
def siteassist_clock() -> InstantClock:
    """A clock for the emulator and the clients of this test, on which waits take no time."""
    from siteassist_async.testing import InstantClock  # noqa: PLC0415 - see above

    return InstantClock()


@pytest.fixture
def siteassist_emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """The API on loopback, in a thread of its own, so that tests of any kind can use it.

    Options are given by the marker: `@pytest.mark.siteassist(limit=TokenBucket(50))`.
    """
    from siteassist_async.emulator import Emulator, in_thread  # noqa: PLC0415 - see above

    marker = request.node.get_closest_marker("siteassist")
    options: dict[str, Any] = {"count_ids": True, **(marker.kwargs if marker else {})}
    strict = options.pop("strict", True)
    if "siteassist_clock" in request.fixturenames:
        clock: InstantClock = request.getfixturevalue("siteassist_clock")
        options = {"clock": clock.now, "sleep": clock.sleep, **options}
    with in_thread(Emulator(**options)) as emulator:
        yield emulator
    unmet = emulator.unmet_faults()
    if strict and unmet:
        pytest.fail(f"scripted faults that no request met: {unmet}", pytrace=False)


@pytest.fixture
def siteassist_client(request: pytest.FixtureRequest, siteassist_emulator: Emulator) -> NewClient:
    """Return a function that creates clients of the emulator.

    As in `async with siteassist_client(deadline=5) as client`.
    """
    from siteassist_async.client import SiteAssist  # noqa: PLC0415 - see above

    defaults: dict[str, Any] = {
        "token": siteassist_emulator.token,
        "base_url": siteassist_emulator.url,
    }
    if "siteassist_clock" in request.fixturenames:
        defaults["clock"] = request.getfixturevalue("siteassist_clock")

    return functools.partial(SiteAssist, **defaults)


@pytest.fixture
def siteassist_environment(
    request: pytest.FixtureRequest,
    siteassist_emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> Emulator:
    """The emulator, with the variables set that make it the default of `SiteAssist()`.

    With `siteassist_clock`, that clock is the default as well.
    """
    if "siteassist_clock" in request.fixturenames:
        from siteassist_async.client import SiteAssist  # noqa: PLC0415 - see above

        clock: InstantClock = request.getfixturevalue("siteassist_clock")
        monkeypatch.setitem(cast("Any", SiteAssist.__init__).__kwdefaults__, "clock", clock)
    monkeypatch.setenv("SITEASSIST_TOKEN", siteassist_emulator.token)
    monkeypatch.setenv("SITEASSIST_BASE_URL", siteassist_emulator.url)
    return siteassist_emulator
