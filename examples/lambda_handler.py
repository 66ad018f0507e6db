"""AWS Lambda and other functions with a synchronous handler: one client for all invocations.

Each invocation runs an event loop of its own; the client opens its connections anew in it, and
keeps what it has learned of the rate limit.
"""

import asyncio
from functools import cache
from typing import Any

from siteassist_async import NotFoundError, SiteAssist


@cache
def client() -> SiteAssist:
    """The client; not made at import, so that a missing token fails the invocation."""
    return SiteAssist(deadline=10.0)


def handler(event: dict[str, Any], context: object) -> dict[str, object]:
    return asyncio.run(_handle(event["conversation_id"]))


async def _handle(conversation_id: str) -> dict[str, object]:
    try:
        conversation = await client().conversations.get(conversation_id)
    except NotFoundError:
        return {"statusCode": 404}
    return {"statusCode": 200, "body": conversation.to_json().decode()}
