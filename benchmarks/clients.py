"""Ways to fetch conversations by id: ours and others, each as its documentation has it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from typing import cast

import aiohttp
import with_cattrs
import with_pydantic
from attrs import frozen
from server import TOKEN, Site
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt
from tenacity import wait_random_exponential as full_jitter

from siteassist_async import Failed, SiteAssist

FetchAll = Callable[[Sequence[str]], Awaitable[None]]
"""Fetches each id, and looks at each answer when it comes."""

Open = Callable[[Site, int], AbstractAsyncContextManager[FetchAll]]
"""Makes a client of a site and a number of requests at once."""

AUTH = {"Authorization": f"Bearer {TOKEN}"}


@frozen
class Client:
    """One way; `gives` is what its caller has of each conversation."""

    name: str
    gives: str
    open: Open
    needs: tuple[str, ...] = ()


def by_workers(fetch: Callable[[str], Awaitable[object]], at_once: int) -> FetchAll:
    """Fetch ids by so many loops that share them."""

    async def fetch_all(ids: Sequence[str]) -> None:
        left = iter(ids)

        async def work() -> None:
            for conversation_id in left:
                await fetch(conversation_id)

        await asyncio.gather(*[work() for _ in range(at_once)])

    return fetch_all


@asynccontextmanager
async def our_get(site: Site, at_once: int) -> AsyncGenerator[FetchAll]:
    """`conversations.get`, in the same loops as the others."""
    async with _ours(site, at_once) as client:
        yield by_workers(client.conversations.get, at_once)


@asynccontextmanager
async def our_get_listened_to(site: Site, at_once: int) -> AsyncGenerator[FetchAll]:
    """`conversations.get` with a listener that counts events."""
    events = itertools.count()
    async with _ours(site, at_once) as client:
        client.events.subscribe(lambda _: next(events))
        yield by_workers(client.conversations.get, at_once)


@asynccontextmanager
async def our_get_by_a_session(site: Site, at_once: int) -> AsyncGenerator[FetchAll]:
    """`conversations.get` over a session of the user's, as where tools trace or mock aiohttp."""
    async with (
        _session(site, at_once) as session,
        SiteAssist(TOKEN, base_url=site.base_url, concurrency=at_once, session=session) as client,
    ):
        yield by_workers(client.conversations.get, at_once)


@asynccontextmanager
async def our_get_many(site: Site, at_once: int) -> AsyncGenerator[FetchAll]:
    """`conversations.get_many`."""
    async with _ours(site, at_once) as client:

        async def fetch_all(ids: Sequence[str]) -> None:
            async for outcome in client.conversations.get_many(ids):
                if isinstance(outcome, Failed):
                    raise outcome.error

        yield fetch_all


@asynccontextmanager
async def our_get_record(site: Site, at_once: int) -> AsyncGenerator[FetchAll]:
    """`conversations.get_record`, as the export asks."""
    async with _ours(site, at_once) as client:
        yield by_workers(client.conversations.get_record, at_once)


@asynccontextmanager
async def plain_loop(site: Site, at_once: int) -> AsyncGenerator[FetchAll]:
    """The unit: aiohttp as its first page shows it."""
    async with _session(site, at_once) as session:

        async def fetch(conversation_id: str) -> object:
            async with session.get(f"{site.base_url}/conversations/{conversation_id}") as response:
                response.raise_for_status()
                return await response.json()

        yield by_workers(fetch, at_once)


@asynccontextmanager
async def plain_loop_and_cattrs(site: Site, at_once: int) -> AsyncGenerator[FetchAll]:
    """The same, and cattrs as it comes."""
    structure = with_cattrs.structure()
    async with _session(site, at_once) as session:

        async def fetch(conversation_id: str) -> object:
            async with session.get(f"{site.base_url}/conversations/{conversation_id}") as response:
                response.raise_for_status()
                return structure(await response.json())

        yield by_workers(fetch, at_once)


@asynccontextmanager
async def tuned_loop(site: Site, at_once: int) -> AsyncGenerator[FetchAll]:
    """All that gains anything with aiohttp: no total timeout, no `async with`, a faster JSON."""
    loads = import_module("orjson").loads
    async with _session(site, at_once, total=None) as session:

        async def fetch(conversation_id: str) -> object:
            response = await session.get(f"{site.base_url}/conversations/{conversation_id}")
            response.raise_for_status()
            return cast("object", loads(await response.read()))

        yield by_workers(fetch, at_once)


@asynccontextmanager
async def aiohttp_retry(site: Site, at_once: int) -> AsyncGenerator[FetchAll]:
    """The plain loop within aiohttp-retry."""
    library = import_module("aiohttp_retry")
    async with _session(site, at_once) as session:
        options = library.ExponentialRetry(attempts=5)
        client = library.RetryClient(client_session=session, retry_options=options)

        async def fetch(conversation_id: str) -> object:
            async with client.get(f"{site.base_url}/conversations/{conversation_id}") as response:
                response.raise_for_status()
                return cast("object", await response.json())

        yield by_workers(fetch, at_once)


@asynccontextmanager
async def zyte_api_shape(site: Site, at_once: int) -> AsyncGenerator[FetchAll]:
    """As zyte-api's client: a semaphore, a retrying function for each id, all ids as tasks."""
    slots = asyncio.Semaphore(at_once)
    retrying = AsyncRetrying(
        stop=stop_after_attempt(5),
        wait=full_jitter(multiplier=0.5, max=20),
        retry=retry_if_exception_type(aiohttp.ClientError),
        reraise=True,
    )
    async with _session(site, at_once) as session:

        async def fetch(conversation_id: str) -> object:
            async def request() -> object:
                async with (
                    slots,
                    session.get(f"{site.base_url}/conversations/{conversation_id}") as response,
                ):
                    response.raise_for_status()
                    return await response.json()

            return await retrying.wraps(request)()

        async def fetch_all(ids: Sequence[str]) -> None:
            for outcome in asyncio.as_completed(list(map(fetch, ids))):
                await outcome

        yield fetch_all


@asynccontextmanager
async def httpx_and_tenacity(site: Site, at_once: int) -> AsyncGenerator[FetchAll]:
    """A request of httpx, with tenacity's decorator."""
    httpx = import_module("httpx")
    # Its own limits, for more idle connections make it slower: it looks through them all.
    async with httpx.AsyncClient(headers=AUTH, verify=site.tls or True) as client:
        retrying = AsyncRetrying(
            stop=stop_after_attempt(5),
            wait=full_jitter(multiplier=0.5, max=20),
            retry=retry_if_exception_type(httpx.HTTPError),
            reraise=True,
        )

        @retrying.wraps
        async def fetch(conversation_id: str) -> object:
            response = await client.get(f"{site.base_url}/conversations/{conversation_id}")
            response.raise_for_status()
            return cast("object", response.json())

        yield by_workers(fetch, at_once)


@asynccontextmanager
async def openai_style(site: Site, at_once: int) -> AsyncGenerator[FetchAll]:
    """The generated client of openai-python, asked for an endpoint and a model of ours."""
    openai = import_module("openai")
    model = with_pydantic.openai_conversation()
    # With a context of one's own it takes a client of httpx, made as its own is.
    http = openai.DefaultAsyncHttpxClient(verify=site.tls) if site.tls else None
    async with openai.AsyncOpenAI(
        api_key=TOKEN, base_url=site.base_url, max_retries=4, http_client=http
    ) as client:

        async def fetch(conversation_id: str) -> object:
            return cast(
                "object", await client.get(f"/conversations/{conversation_id}", cast_to=model)
            )

        yield by_workers(fetch, at_once)


def _ours(site: Site, at_once: int) -> SiteAssist:
    return SiteAssist(TOKEN, base_url=site.base_url, concurrency=at_once, tls=site.tls)


def _session(site: Site, at_once: int, total: float | None = 300) -> aiohttp.ClientSession:
    # By default 100 connections: less than 256 at once.
    connector = aiohttp.TCPConnector(limit=at_once, ssl=site.tls or True)
    timeout = aiohttp.ClientTimeout(total=total, sock_connect=30)  # its own, unless said otherwise
    return aiohttp.ClientSession(connector=connector, headers=AUTH, timeout=timeout)


PLAIN = Client("plain aiohttp loop", "dicts", plain_loop)
TYPED = Client("plain aiohttp loop + cattrs", "objects", plain_loop_and_cattrs)
GET = Client("siteassist_async, get", "objects", our_get)
HEARD = Client("siteassist_async, get with a listener", "objects", our_get_listened_to)
HTTPX = Client("httpx + tenacity", "dicts", httpx_and_tenacity, ("httpx",))
OPENAI = Client("OpenAI-style client", "objects", openai_style, ("openai",))

CLIENTS = (
    PLAIN,
    GET,
    HEARD,
    Client("siteassist_async, session", "objects", our_get_by_a_session),
    Client("siteassist_async, get_many", "objects", our_get_many),
    Client("siteassist_async, get_record", "bytes", our_get_record),
    Client("tuned aiohttp loop", "dicts", tuned_loop, ("orjson",)),
    TYPED,
    Client("aiohttp-retry", "dicts", aiohttp_retry, ("aiohttp_retry",)),
    Client("zyte-api's shape", "dicts", zyte_api_shape),
    HTTPX,
    OPENAI,
)
