"""Celery, RQ and other workers of synchronous tasks: an event loop per process.

A loop that is kept reuses connections from task to task, which `asyncio.run` in each would not.

    @celery.task(autoretry_for=(SiteAssistError,), retry_backoff=True)
    def fetch_titles(ids: list[str]) -> dict[str, str | None]:
        return run(titles_of(ids))

    @celery.signals.worker_process_shutdown.connect
    def at_the_end(**_):
        close()
"""

import asyncio
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

from siteassist_async import Failed, Fetched, SiteAssist, SiteAssistError

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


def close() -> None:
    """Close what this process has opened."""
    run(client().close())
    _runner().close()


async def titles_of(ids: list[str]) -> dict[str, str | None]:
    """Return the titles; raises an error after which the task should be tried again."""
    titles: dict[str, str | None] = {}
    retryable: SiteAssistError | None = None
    async for outcome in client().conversations.get_many(ids):
        match outcome:
            case Fetched(id=id, conversation=conversation):
                titles[id] = conversation.title
            case Failed(error=error) if error.retryable:
                retryable = error
            case Failed(id=id):
                titles[id] = None  # it does not exist
    if retryable is not None:
        raise retryable
    return titles
