"""What many tests share."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, cast

import pytest
from fakes import TOKEN, FakeClock
from faults.raw_server import RawServer
from hypothesis import HealthCheck, settings

from siteassist_async import SiteAssist
from siteassist_async.emulator import Emulator
from siteassist_async.testing import patched_aioresponses
from siteassist_async.transport import aiohttp_internals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from fakes import Mocked


pytest_plugins = ["leaks"]

# The profiles of whoever runs the tests are not theirs.
os.environ["SITEASSIST_CONFIG"] = os.devnull

# As in a terminal: a shell, or `nohup`, ignores them for what it runs in the background, and so
# would the programs that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# No test depends on the machine's speed, nor on the luck of the draw: what fails for one fails for
# all. To look for more, draw anew: `python -m pytest --hypothesis-profile=searching`.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("steady", steady)
settings.register_profile("searching", steady, derandomize=False)
settings.load_profile("steady")


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until somebody sleeps."""
    return FakeClock()


@pytest.fixture(params=[False, True], ids=["private names", "public API"])
def public_only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether aiohttp is used by its public API alone, as with a release that was not tested."""
    if request.param:
        monkeypatch.setattr(aiohttp_internals, "OFF_BECAUSE", "of a test")
    elif aiohttp_internals.OFF_BECAUSE:
        pytest.skip(aiohttp_internals.OFF_BECAUSE)
    return bool(request.param)


@pytest.fixture
def mocked() -> Iterator[Mocked]:
    """Stand in for the API without a socket."""
    with patched_aioresponses() as mocked:
        yield cast("Mocked", mocked)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """The API on loopback, which counts the requests for each id."""
    async with Emulator(token=TOKEN, count_ids=True) as emulator:
        yield emulator


@pytest.fixture
async def raw() -> AsyncIterator[RawServer]:
    """A server that says what it is told to, byte for byte, and counts."""
    server = await RawServer().start()
    yield server
    await server.stop()


@pytest.fixture
async def client(emulator: Emulator, clock: FakeClock) -> AsyncIterator[SiteAssist]:
    """A client of the emulator that waits in no time."""
    async with SiteAssist(TOKEN, base_url=emulator.url, clock=clock) as client:
        yield client
