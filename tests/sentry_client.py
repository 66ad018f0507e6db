"""Fetches in a process that reports to Sentry, and prints each report on a line.

Run as `sentry_client.py BASE_URL ID …`: the second half of the ids is fetched over a session of
its own making.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import aiohttp
import sentry_sdk
from fakes import ONCE, TOKEN, FakePacer
from sentry_sdk.transport import Transport

from siteassist_async import SiteAssist, SiteAssistError

if TYPE_CHECKING:
    from sentry_sdk.envelope import Envelope


class Printed(Transport):
    """Prints what would be sent."""

    def capture_envelope(self, envelope: Envelope) -> None:
        """Print a report."""
        for item in envelope.items:
            print(item.get_bytes().decode())  # noqa: T201 - it is what this is for


async def give_token() -> str:
    """As an async callable."""
    return TOKEN


async def main(base_url: str, *ids: str) -> None:
    """Report each failure, as a service does."""
    half = len(ids) // 2
    async with aiohttp.ClientSession() as users:
        for session, some in ((None, ids[:half]), (users, ids[half:])):
            async with SiteAssist(
                give_token, base_url=base_url, retry=ONCE, pacer=FakePacer(), session=session
            ) as client:
                for conversation_id in some:
                    try:
                        await client.conversations.get(conversation_id)
                    except SiteAssistError as error:
                        sentry_sdk.capture_exception(error)


sentry_sdk.init("http://key@127.0.0.1:9/1", transport=Printed, traces_sample_rate=1.0)
asyncio.run(main(*sys.argv[1:]))
