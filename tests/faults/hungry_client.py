"""Asks for conversations in a process of its own, and prints what came and how much memory it took.

Run as `hungry_client.py BASE_URL ID …`; one line an id: the outcome, and the mebibytes that it took
at most.
"""

from __future__ import annotations

import asyncio
import sys
import tracemalloc

from siteassist_async import RetryPolicy, SiteAssist, SiteAssistError

ONCE = RetryPolicy(attempts=1, patience=0)


async def main(base_url: str, first: str, *ids: str) -> None:
    """Ask for the first to have all imported and allocated, then for the others."""
    async with SiteAssist("sk_test_hungry", base_url=base_url, retry=ONCE) as client:
        await client.conversations.get(first)
        tracemalloc.start()
        for conversation_id in ids:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            try:
                outcome = type(await client.conversations.get(conversation_id)).__name__
            except SiteAssistError as error:
                outcome = type(error).__name__
            _, most = tracemalloc.get_traced_memory()
            print(outcome, round((most - before) / 2**20))  # noqa: T201 - it is what this is for


asyncio.run(main(*sys.argv[1:]))
