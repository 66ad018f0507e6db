"""What the pacer tells those who listen: one value for each change."""

from __future__ import annotations

from attrs import frozen


@frozen
class GateClosed:
    """No request starts for `seconds` from now.

    `asked` where the API named the time, else it is the client's own backoff.
    """

    seconds: float
    asked: bool = True


@frozen
class RateChanged:
    """A refusal or a restored rate set the rate to `rate` requests a second.

    Its growth between two refusals is not told: a snapshot shows it.
    """

    rate: float


@frozen
class WindowChanged:
    """At most `limit` requests are in flight from now on."""

    limit: int


PaceEvent = GateClosed | RateChanged | WindowChanged
