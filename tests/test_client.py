"""The client: its options, and what it shows of itself."""

from __future__ import annotations

import asyncio
import math
import ssl
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from fakes import (
    CONVERSATION_URL,
    ID,
    TOKEN,
    FakeClock,
    FakePacer,
    Recorder,
    Silence,
)
from yarl import URL

from siteassist_async import (
    BadGatewayError,
    ConfigurationError,
    DeadlineExceededError,
    RetryPolicy,
    SiteAssist,
    SystemClock,
    Timeout,
    __version__,
)
from siteassist_async.contract import documented_body
from siteassist_async.emulator import Emulator, Status

if TYPE_CHECKING:
    from fakes import Mocked


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SITEASSIST_TOKEN", raising=False)
    monkeypatch.delenv("SITEASSIST_BASE_URL", raising=False)


def test_the_repr_has_no_token() -> None:
    """Of the client and of its conversations."""
    client = SiteAssist(TOKEN)
    assert TOKEN not in repr(client)
    assert TOKEN not in repr(client.conversations)


@pytest.mark.parametrize("concurrency", [0, -1])
def test_a_concurrency_below_one_is_refused(concurrency: int) -> None:
    """No request could ever start."""
    with pytest.raises(ConfigurationError, match=f"at least 1, not {concurrency}"):
        SiteAssist(TOKEN, concurrency=concurrency)


@pytest.mark.parametrize("seconds", [0, -1, math.nan])
def test_a_rate_or_a_deadline_that_is_none_is_refused(seconds: float) -> None:
    """Zero, negative and no number, on the client and on a view of it."""
    with pytest.raises(ConfigurationError, match="max_rate must be a number of requests above 0"):
        SiteAssist(TOKEN, max_rate=seconds)
    with pytest.raises(ConfigurationError, match="deadline must be a number of seconds above 0"):
        SiteAssist(TOKEN, deadline=seconds)
    with pytest.raises(ConfigurationError, match="deadline must be a number of seconds above 0"):
        SiteAssist(TOKEN).with_options(deadline=seconds)


WRONG: list[tuple[str, object, str]] = [
    ("base_url", 5, "a str, not 5"),
    ("base_url", URL("https://example.org"), "a str, not of type URL"),
    *(
        ("timeout", value, "a Timeout, or a number of seconds above 0, not ")
        for value in ("5", True, 0, -1, math.nan, None, aiohttp.ClientTimeout(5))
    ),
    ("retry", 3, r"a RetryPolicy, as in retry=RetryPolicy\(attempts=3\), not 3"),
    ("retry", False, "a RetryPolicy, as in "),
    ("deadline", "5", "a number of seconds above 0, not of type str"),
    ("deadline", True, "a number of seconds above 0, not True"),
    ("deadline", timedelta(seconds=5), "a number of seconds above 0, not of type timedelta"),
    *(
        ("concurrency", value, "an int of at least 1, not ")
        for value in ("8", True, 8.0, math.nan, None)
    ),
    ("max_rate", "5", "a number of requests above 0, not of type str"),
    ("max_rate", True, "a number of requests above 0, not True"),
    *(
        ("middleware", value, r"a list of callables, as in middleware=\[log_requests\], not ")
        for value in (Recorder(), None, [Recorder(), None], "log", {Recorder(): 1}, 5)
    ),
    ("session", "keep-alive", "an aiohttp.ClientSession, not of type str"),
    ("session", True, "an aiohttp.ClientSession, not True"),
    ("tls", "ca.pem", "an ssl.SSLContext, not of type str"),
    ("max_body", "1 MB", "an int of at least 65536 bytes, not of type str"),
    ("max_body", True, "an int of at least 65536 bytes, not True"),
    ("pacer", 5, "a Pacer, not 5"),
    ("clock", None, "a Clock, not of type NoneType"),
]
VIEWED = {"timeout", "retry", "deadline", "middleware"}


@pytest.mark.parametrize(("name", "value", "reason"), WRONG)
def test_an_option_of_a_wrong_kind_is_refused(name: str, value: object, reason: str) -> None:
    """By the client and by a view of it, saying what to write instead."""
    options: dict[str, Any] = {name: value}
    with pytest.raises(ConfigurationError, match=f"^{name} must be {reason}"):
        SiteAssist(TOKEN, **options)
    if name in VIEWED and value is not None:
        with pytest.raises(ConfigurationError, match=f"^{name} must be {reason}"):
            SiteAssist(TOKEN).with_options(**options)


@pytest.mark.parametrize("token", [5, TOKEN.encode(), [TOKEN]])
def test_a_token_of_a_wrong_kind_is_refused(token: Any) -> None:  # noqa: ANN401 - the point
    """At once, and it is not shown."""
    with pytest.raises(ConfigurationError) as caught:
        SiteAssist(token)
    kind = type(token).__name__
    assert str(caught.value) == f"token must be a str or an async callable, not of type {kind}"


def test_an_option_that_is_refused_is_not_shown() -> None:
    """It may be the token in the wrong place."""
    options: dict[str, Any] = {"deadline": TOKEN}
    with pytest.raises(ConfigurationError) as caught:
        SiteAssist(TOKEN, **options)
    assert TOKEN not in str(caught.value)


async def test_a_timeout_may_be_a_number(clock: FakeClock) -> None:
    """Nothing ends an attempt before that."""
    record = Recorder()
    client = SiteAssist(TOKEN, timeout=5, middleware=[record], clock=clock)
    await client.conversations.get(ID)
    await client.with_options(timeout=400.5).conversations.get(ID)
    timeouts = [request.timeout for request in record.requests]
    assert timeouts == [Timeout(5, 5, 5), Timeout(400.5, 400.5, 400.5)]


async def test_a_session_and_a_tls_context_exclude_each_other() -> None:
    """The connector of a session has its own: a context beside it would be silently unused."""
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ConfigurationError, match="set TLS on the session's connector"):
            SiteAssist(TOKEN, session=session, tls=ssl.create_default_context())


def test_a_pacer_and_a_rate_exclude_each_other() -> None:
    """The rate would be silently unused."""
    with pytest.raises(ConfigurationError, match="pacer and max_rate exclude each other"):
        SiteAssist(TOKEN, pacer=FakePacer(), max_rate=5)


async def test_a_request_carries_the_clients_options(clock: FakeClock) -> None:
    """Timeout, deadline from now on, and the policy's patience."""
    record = Recorder()
    timeout, retry = Timeout(1, 2, 3), RetryPolicy(patience=7)
    client = SiteAssist(
        TOKEN, timeout=timeout, retry=retry, deadline=5, middleware=[record], clock=clock
    )
    await client.conversations.get(ID)
    (request,) = record.requests
    assert (request.url, request.subject) == (CONVERSATION_URL, ID)
    assert (request.timeout, request.deadline, request.patience) == (timeout, 1005.0, 7)
    assert request.headers == {
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "User-Agent": f"siteassist_async/{__version__}",
    }


async def test_a_request_without_options_has_the_defaults(clock: FakeClock) -> None:
    """Those that the signature shows."""
    record = Recorder()
    await SiteAssist(TOKEN, middleware=[record], clock=clock).conversations.get(ID)
    (request,) = record.requests
    assert request.timeout == Timeout(connect=5, read=30, total=300)
    assert (request.deadline, request.patience) == (None, 600)


async def test_retrying_is_part_of_every_call(client: SiteAssist, emulator: Emulator) -> None:
    """A failure that may pass is tried again, over a real socket."""
    emulator.script(ID, *[Status(502)] * 4)
    await client.conversations.get(ID)
    emulator.script(ID, *[Status(502)] * 5)
    with pytest.raises(BadGatewayError) as caught:
        await client.conversations.get(ID)
    assert caught.value.attempts == 5
    assert emulator.counters.ids[ID] == 10


async def test_a_deadline_ends_a_call(client: SiteAssist, emulator: Emulator) -> None:
    """Also one whose answer does not come; its connection is closed."""
    emulator.script(ID, Silence())
    with pytest.raises(DeadlineExceededError, match=r"no response within 0\.01 s \(1 attempt"):
        await client.with_options(deadline=0.01).conversations.get(ID)
    await client.conversations.get(ID)
    assert emulator.counters.connections == 2


async def test_a_pacer_can_be_brought_along(emulator: Emulator) -> None:
    """Every attempt of the client asks it."""
    pacer = FakePacer()
    emulator.script(ID, Status(500))
    client = SiteAssist(TOKEN, base_url=emulator.url, pacer=pacer, clock=FakeClock())
    async with client:
        await client.conversations.get(ID)
    assert client.pacer is pacer
    assert pacer.told == [("succeeded", 1.0), ("succeeded", 2.0)]


async def test_a_client_can_be_made_where_no_loop_runs() -> None:
    """Connections are made when the first request is sent."""

    async def use(client: SiteAssist) -> str:
        async with Emulator(token=TOKEN, port=port) as emulator, client:
            assert emulator.url == url
            return (await client.conversations.get(ID)).id

    async with Emulator() as emulator:
        url, port = emulator.url, emulator.port
    client = await asyncio.to_thread(SiteAssist, TOKEN, base_url=url)
    assert await use(client) == ID


async def test_the_system_clock_is_monotonic_time() -> None:
    """The default clock tells and waits real time."""
    clock = SystemClock()
    before = clock.now()
    await clock.sleep(0)
    assert clock.now() >= before


async def test_the_readme_example_of_one_call(mocked: Mocked) -> None:
    """The token and nothing else are needed."""
    mocked.get(CONVERSATION_URL, body=documented_body(200))
    async with SiteAssist(token=TOKEN) as client:
        conversation = await client.conversations.get("123E4567-E89B-12D3-A456-426614174000")
    assert conversation.status == "open"
    assert len(mocked.requests) == 1
