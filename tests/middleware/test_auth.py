"""The token: where it comes from, when it is asked for, and where it goes."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

import pytest
from attrs import evolve
from fakes import BASE_URL, ID, TOKEN, FakeSend, documented, new_request, settle

from siteassist_async import (
    AuthenticationError,
    ConfigurationError,
    DisconnectedError,
    RetryPolicy,
    SiteAssist,
    Timeout,
    TokenError,
)
from siteassist_async.emulator import Emulator, Status
from siteassist_async.middleware.auth import Auth, HiddenToken

if TYPE_CHECKING:
    from fakes import FakeClock

UNSENDABLE = [
    "",
    " ",
    "sk_a b",
    "sk_a\n",
    "sk_a\r\nX-Evil: 1",
    "sk_é",
    "sk_\u200b",
    "sk_\x00",
    "\x7f",
]


class Tokens:
    """An async callable that gives one token after the other, and counts."""

    def __init__(self, *tokens: object) -> None:
        self._tokens = deque(tokens)
        self.asked = 0

    async def __call__(self) -> str:
        """Give the next token, or raise it; the last one for ever."""
        self.asked += 1
        token = self._tokens.popleft() if len(self._tokens) > 1 else self._tokens[0]
        if isinstance(token, Exception):
            raise token
        return cast("str", token)


def sent(send: FakeSend) -> list[str]:
    """The Authorization headers of all requests."""
    return [request.headers["Authorization"] for request in send.requests]


async def test_a_token_goes_out_as_a_bearer_token() -> None:
    """The header is the one of RFC 6750; the request's other headers stay."""
    send = FakeSend(documented())
    await Auth(HiddenToken(TOKEN), BASE_URL)(new_request(headers={"A": "1"}), send)
    assert [request.headers for request in send.requests] == [
        {"A": "1", "Authorization": f"Bearer {TOKEN}"}
    ]


@pytest.mark.parametrize("token", UNSENDABLE)
def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    """Empty, with spaces, controls or beyond ASCII: refused at once, and not shown."""
    with pytest.raises(ConfigurationError, match="the token is empty, or has spaces") as caught:
        SiteAssist(token)
    assert not token.strip() or token not in str(caught.value)


def test_a_token_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument SITEASSIST_TOKEN counts, and is checked as an argument is."""
    monkeypatch.delenv("SITEASSIST_TOKEN", raising=False)
    with pytest.raises(ConfigurationError, match="pass one, or set SITEASSIST_TOKEN"):
        SiteAssist()
    monkeypatch.setenv("SITEASSIST_TOKEN", "")
    with pytest.raises(ConfigurationError, match="the token is empty"):
        SiteAssist()
    monkeypatch.setenv("SITEASSIST_TOKEN", "sk_test_environment")
    SiteAssist()


async def test_the_tokens_of_argument_and_environment_reach_the_api(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The argument goes before the environment."""
    monkeypatch.setenv("SITEASSIST_TOKEN", TOKEN)
    async with SiteAssist(base_url=emulator.url) as client:
        await client.conversations.get(ID)
    async with SiteAssist("sk_test_wrong", base_url=emulator.url) as client:
        with pytest.raises(AuthenticationError):
            await client.conversations.get(ID)


async def test_a_callable_is_asked_at_each_attempt(emulator: Emulator, clock: FakeClock) -> None:
    """A retried call asks for the token again: the first may have expired meanwhile."""
    emulator.script(ID, Status(503), Status(500))
    tokens = Tokens(TOKEN)
    async with SiteAssist(tokens, base_url=emulator.url, clock=clock) as client:
        await client.conversations.get(ID)
    assert tokens.asked == 3


async def test_after_a_401_a_callable_is_asked_once_more() -> None:
    """Another token is sent at once."""
    tokens = Tokens("old", "new")
    send = FakeSend(AuthenticationError(), documented())
    response = await Auth(HiddenToken(tokens), BASE_URL)(new_request(), send)
    assert response.status == 200
    assert sent(send) == ["Bearer old", "Bearer new"]


async def test_the_same_token_is_not_sent_again_after_a_401() -> None:
    """The 401 is the outcome where the callable has nothing newer."""
    tokens = Tokens("same")
    send = FakeSend(AuthenticationError("no"))
    with pytest.raises(AuthenticationError, match="no"):
        await Auth(HiddenToken(tokens), BASE_URL)(new_request(), send)
    assert (tokens.asked, len(send.requests)) == (2, 1)


async def test_a_second_401_is_the_outcome() -> None:
    """A callable is asked once more, not for ever."""
    tokens = Tokens("old", "new", "newer")
    send = FakeSend(AuthenticationError("first"), AuthenticationError("second"))
    with pytest.raises(AuthenticationError, match="second"):
        await Auth(HiddenToken(tokens), BASE_URL)(new_request(), send)
    assert tokens.asked == 2


async def test_both_sendings_of_a_renewed_token_are_counted(emulator: Emulator) -> None:
    """The error of a call says how many requests it cost, the one with the old token included."""
    async with SiteAssist(Tokens("sk_test_old", "sk_test_older"), base_url=emulator.url) as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.conversations.get(ID)
    assert caught.value.attempts == emulator.counters.requests == 2


async def test_only_a_401_renews_the_token() -> None:
    """Another failure asks for nothing."""
    tokens = Tokens("old")
    with pytest.raises(DisconnectedError):
        await Auth(HiddenToken(tokens), BASE_URL)(new_request(), FakeSend(DisconnectedError()))
    assert tokens.asked == 1


async def test_a_string_is_not_sent_again_after_a_401() -> None:
    """There is nothing to renew."""
    send = FakeSend(AuthenticationError())
    with pytest.raises(AuthenticationError):
        await Auth(HiddenToken(TOKEN), BASE_URL)(new_request(), send)
    assert len(send.requests) == 1


@pytest.mark.parametrize("given", [*UNSENDABLE, None, 7, b"sk_test_1"])
async def test_a_callable_that_gives_no_token_is_a_token_error(given: object) -> None:
    """What the callable gives is checked as an argument is, and not shown."""
    send = FakeSend(documented())
    with pytest.raises(TokenError, match="must return a str that a header can contain"):
        await Auth(HiddenToken(Tokens(given)), BASE_URL)(new_request(), send)
    assert send.requests == []


async def test_what_a_callable_raises_is_chained_to_a_token_error() -> None:
    """The error names the class only: the text of a foreign error may hold anything."""
    fault = KeyError("secret")
    with pytest.raises(TokenError, match=r"the token callable raised KeyError$") as caught:
        await Auth(HiddenToken(Tokens(fault)), BASE_URL)(new_request(), FakeSend(documented()))
    assert caught.value.__cause__ is fault


async def test_a_callable_that_fails_for_a_while_is_asked_again(
    emulator: Emulator, clock: FakeClock
) -> None:
    """As a transport that fails: each time costs an attempt and a delay, and no request."""
    tokens = Tokens(OSError("down"), OSError("down"), TOKEN)
    async with SiteAssist(tokens, base_url=emulator.url, clock=clock) as client:
        await client.conversations.get(ID)
    assert tokens.asked == 3
    assert len(clock.slept) == 2
    assert emulator.counters.requests == 1


async def test_a_callable_that_fails_for_good_costs_no_request(clock: FakeClock) -> None:
    """It is asked as often as the policy says."""
    tokens = Tokens(OSError("down"))
    async with SiteAssist(tokens, clock=clock, retry=RetryPolicy(attempts=3)) as client:
        with pytest.raises(TokenError) as caught:
            await client.conversations.get(ID)
    assert tokens.asked == 3
    assert caught.value.attempts == 0


@pytest.mark.parametrize("given", ["sk a", ConfigurationError("no such option")])
async def test_a_callable_that_cannot_work_is_not_asked_again(
    given: object, clock: FakeClock
) -> None:
    """What it gives is no token, or it was set up wrongly: neither passes by itself."""
    tokens = Tokens(given)
    async with SiteAssist(tokens, clock=clock) as client:
        with pytest.raises(TokenError):
            await client.conversations.get(ID)
    assert tokens.asked == 1
    assert clock.slept == []


async def test_a_callable_that_hangs_is_bounded_by_the_attempts_timeout(
    emulator: Emulator, clock: FakeClock
) -> None:
    """It gives its slot back, and is asked again."""
    hung = 0

    async def token() -> str:
        nonlocal hung
        hung += 1
        if hung == 1:
            await asyncio.get_running_loop().create_future()
        return TOKEN

    async with SiteAssist(token, base_url=emulator.url, clock=clock, concurrency=1) as client:
        view = client.with_options(timeout=Timeout(total=0.05), retry=RetryPolicy(attempts=1))
        with pytest.raises(TokenError, match=r"did not return within 0\.05 s") as caught:
            await view.conversations.get(ID)
        assert isinstance(caught.value.__cause__, TimeoutError)
        await client.conversations.get(ID)


async def test_a_timeout_of_a_callables_own_is_what_it_raised() -> None:
    """It is not the attempt's."""
    with pytest.raises(TokenError, match="raised TimeoutError"):
        await Auth(HiddenToken(Tokens(TimeoutError())), BASE_URL)(
            new_request(), FakeSend(documented())
        )


async def test_a_cancellation_of_a_callables_own_is_a_token_error() -> None:
    """As of a task that it waits for; the caller's own cancellation passes."""
    waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def token() -> str:
        return await waiting

    auth = Auth(HiddenToken(token), BASE_URL)
    waiting.cancel()
    with pytest.raises(TokenError, match="the token callable was cancelled"):
        await auth(new_request(), FakeSend(documented()))
    waiting = asyncio.get_running_loop().create_future()
    call = asyncio.ensure_future(auth(new_request(), FakeSend(documented())))
    await settle()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_callable_that_fails_to_renew_is_a_token_error() -> None:
    """The 401 stays in the context."""
    tokens = Tokens("old", OSError("down"))
    with pytest.raises(TokenError) as caught:
        await Auth(HiddenToken(tokens), BASE_URL)(
            new_request(), FakeSend(AuthenticationError("expired"))
        )
    assert isinstance(caught.value.__cause__, OSError)
    assert isinstance(caught.value.__cause__.__context__, AuthenticationError)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v2/conversations/x",
        "http://api.siteassist.io/v2/conversations/x",
        "https://api.siteassist.io/v2.evil.example/x",
        "https://api.siteassist.io/v2",
        "https://api.siteassist.io.evil.example/v2/conversations/x",
    ],
)
async def test_the_token_goes_to_the_base_url_only(url: str) -> None:
    """Another origin, scheme or path gets an error in the token's place."""
    send = FakeSend(documented())
    request = new_request()
    with pytest.raises(ConfigurationError, match="refusing to send the token"):
        await Auth(HiddenToken(TOKEN), BASE_URL)(evolve(request, url=url), send)
    assert send.requests == []


async def test_a_renewal_spends_no_attempt_of_the_policy(
    emulator: Emulator, clock: FakeClock
) -> None:
    """The 401 and what follows it at once are one attempt."""
    emulator.script(ID, Status(500))
    tokens = Tokens("sk_test_old", TOKEN)
    retry = RetryPolicy(attempts=2)
    async with SiteAssist(tokens, base_url=emulator.url, clock=clock, retry=retry) as client:
        await client.conversations.get(ID)
    assert emulator.counters.statuses == {401: 1, 500: 1, 200: 1}
