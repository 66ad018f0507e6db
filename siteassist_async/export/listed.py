"""A listing as the source of an export, which waits through an outage as the export itself does."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

from siteassist_async.errors import (
    CertificateError,
    DeadlineExceededError,
    RateLimitError,
    ServerError,
    SiteAssistError,
    ThrottledError,
    TransportError,
)
from siteassist_async.export.staging import StoppedError
from siteassist_async.outage import probe_delays

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from siteassist_async.clock import Clock
    from siteassist_async.listing import Listing

T = TypeVar("T")

_PASSES = (TransportError, ServerError, RateLimitError, DeadlineExceededError, ThrottledError)


async def listed(
    listing: Listing[T], *, wait: float, clock: Clock, stopped: Callable[[], bool]
) -> AsyncGenerator[T, None]:
    """Yield the items of a listing; after a failure that may pass, it continues where it was.

    Raises:
        SiteAssistError: A page failed for `wait` seconds, or for another reason.
        StoppedError: The run was stopped while it waited.
    """
    offset: int | None = None
    since, delays = None, probe_delays()
    while True:
        try:
            async with aclosing(listing.pages(offset=offset)) as pages:
                async for page in pages:
                    since, delays = None, probe_delays()
                    for item in page.items:
                        yield item
                    offset = page.next_offset
            return
        except _PASSES as error:
            since = clock.now() if since is None else since
            left = since + wait - clock.now()
            offset, error.next_offset = error.next_offset, None
            if isinstance(error, CertificateError) or left <= 0:
                raise
            until = clock.now() + min(next(delays), left)
        except SiteAssistError as error:
            error.next_offset = None  # the next run lists anew, and takes no offset
            raise
        while clock.now() < until:
            if stopped():
                raise StoppedError
            await clock.sleep(min(1.0, until - clock.now()))
