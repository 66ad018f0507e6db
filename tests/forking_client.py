"""Forks with requests in flight, fetches in the child, and prints what came in both.

Run as `forking_client.py BASE_URL ID OTHER_ID`: it takes all slots by asking for the one, forks
once there is something on its standard input, and asks for the other in the child.
"""

from __future__ import annotations

import asyncio
import os
import sys

from fakes import TOKEN, FakePacer

from siteassist_async import SiteAssist


async def fetch(client: SiteAssist, who: str, conversation_id: str) -> None:
    """Fetch one, and say so."""
    conversation = await client.conversations.get(conversation_id)
    print(who, conversation.id, flush=True)  # noqa: T201 - it is what this is for


async def main(base_url: str, id_: str, other: str) -> None:
    """Fork while two calls hold both slots."""
    go = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, go.set)
    async with SiteAssist(TOKEN, base_url=base_url, concurrency=2, pacer=FakePacer()) as client:
        calls = [asyncio.ensure_future(fetch(client, "parent", id_)) for _ in range(2)]
        await go.wait()
        asyncio.get_running_loop().remove_reader(sys.stdin)
        child = os.fork()
        if child == 0:
            asyncio.run(fetch(client, "child", other))
            os._exit(0)
        _, status = os.waitpid(child, 0)  # noqa: ASYNC222 - the parent has nothing else to do
        assert status == 0
        await asyncio.gather(*calls)


asyncio.run(main(*sys.argv[1:]))
