"""What the tests of faults share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .raw_server import RawServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fakes import FakeClock


@pytest.fixture
async def server(clock: FakeClock) -> AsyncIterator[RawServer]:
    """A server that says what it is told to, on the client's clock."""
    server = await RawServer(clock.now).start()
    yield server
    await server.stop()
