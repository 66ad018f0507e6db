"""Counters: what the emulator has received and sent, for tests to read."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from attrs import define, field, frozen

__all__ = ["Counters", "Received"]


@frozen
class Received:
    """A request; `authorized` says whether its token was accepted.

    The token itself is not kept: `headers` has `***` in its place. `target` is the path with the
    query.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    authorized: bool
    body: bytes = b""


@define(eq=False)
class Counters:
    """Counts since the start or the last `reset()`; all are final before a response is sent."""

    requests: int = 0
    refused: int = 0
    """Requests that got a 429 from the rate limit; scripted 429s are not counted."""
    unauthorized: int = 0
    faults: int = 0
    """Requests that met a fault: scripted, of a share, or an outage."""
    statuses: Counter[int] = field(factory=Counter[int])
    """By status; 0 counts the requests that were answered by a disconnect or raw bytes."""
    ids: Counter[str] = field(factory=Counter[str])
    """Requests by conversation ID; empty unless the emulator has `count_ids=True`."""
    in_flight: int = 0
    most_in_flight: int = 0
    connections: int = 0
    """Connections accepted."""
    most_connections: int = 0
    """The most that were open at once, as the server sees it: a client that closes one and
    opens the next may be seen with both."""
    recent: deque[Received] = field(factory=lambda: deque[Received](maxlen=100))
    """The last requests, the newest last."""

    def started(self) -> None:
        """A request came in."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def accepted(self, connections_open: int) -> None:
        """A connection came in."""
        self.connections += 1
        self.most_connections = max(self.most_connections, connections_open)
