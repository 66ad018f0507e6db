"""Long waits of single ids: whoever runs many makes room for another."""

from __future__ import annotations

import asyncio

import pytest

from siteassist_async.parking import HOST, SHORT, parking


class Host:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def park(self) -> None:
        """As `Host.park`."""
        self.heard.append("park")

    def unpark(self) -> None:
        """As `Host.unpark`."""
        self.heard.append("unpark")


@pytest.fixture
def host() -> Host:
    """What runs the current task."""
    return Host()


def test_a_long_wait_is_told_where_it_begins_and_ends(host: Host) -> None:
    """However it ends."""
    token = HOST.set(host)
    with parking(SHORT):
        assert host.heard == ["park"]
    with pytest.raises(KeyError), parking(9.0):
        raise KeyError
    with pytest.raises(asyncio.CancelledError), parking(9.0):
        raise asyncio.CancelledError
    assert host.heard == ["park", "unpark"] * 3
    HOST.reset(token)


def test_for_a_short_wait_nobody_makes_room(host: Host) -> None:
    """It is over before another could have been sent."""
    token = HOST.set(host)
    with parking(SHORT / 2):
        pass
    assert host.heard == []
    HOST.reset(token)


def test_outside_of_bulk_work_there_is_nobody_to_tell() -> None:
    """The wait is the call's own."""
    with parking(9.0):
        assert HOST.get() is None
