"""Celery, RQ and other workers of synchronous tasks: an event loop per process.

A loop that is kept reuses connections from task to task, which `asyncio.run` in each would not.

    @celery.task(autoretry_for=(ThrottledError, OutageError), retry_backoff=True)
    def fetch_titles(ids: list[str]) -> dict[str, str | None]:
        return run(titles_of(ids))
"""

import asyncio
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

from siteassist_async import Fetched, SiteAssist

T = TypeVar("T")


@cache
def _runner() -> asyncio.Runner:
    return asyncio.Runner()


@cache
def client() -> SiteAssist:
    """The client of this process, also of one that was forked."""
    return SiteAssist()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the event loop of this process."""
    return _runner().run(work)


async def titles_of(ids: list[str]) -> dict[str, str | None]:
    return {
        outcome.id: outcome.conversation.title
        async for outcome in client().conversations.get_many(ids)
        if isinstance(outcome, Fetched)
    }
