"""The chain of links, and the place of the user's own in it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from fakes import (
    BASE_URL,
    CONVERSATION_URL,
    ID,
    OTHER_ID,
    TOKEN,
    FakeClock,
    FakePacer,
    FakeSend,
    documented,
    new_request,
)

from siteassist_async import (
    ConfigurationError,
    NotFoundError,
    Request,
    Response,
    RetryPolicy,
    Send,
    ServiceUnavailableError,
    SiteAssist,
    SiteAssistError,
    Timeout,
    UnexpectedStatusError,
    UnusableResponseError,
)
from siteassist_async.contract import documented_body
from siteassist_async.emulator import Emulator, Status
from siteassist_async.wire import chain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fakes import Mocked


async def test_the_first_link_is_the_outermost() -> None:
    """The links see a request in the order of the list, and its response in the other."""
    seen: list[str] = []

    def link(name: str) -> Callable[[Request, Send], Awaitable[Response]]:
        async def call(request: Request, send: Send) -> Response:
            seen.append(f"{name} →")
            response = await send(request)
            seen.append(f"← {name}")
            return response

        return call

    await chain([link("a"), link("b")], FakeSend(documented()))(new_request())
    assert seen == ["a →", "b →", "← b", "← a"]


async def test_a_chain_without_links_is_the_transport() -> None:
    """Nothing stands before the transport where there is no link."""
    transport = FakeSend(documented())
    assert chain([], transport) is transport


def test_neither_repr_shows_headers_or_body() -> None:
    """The repr of a request has no headers, and that of a response none and no body."""
    request = new_request().with_headers({"Authorization": f"Bearer {TOKEN}"})
    response = Response(200, {"Set-Cookie": "secret"}, b"secret")
    assert TOKEN not in repr(request)
    assert "Authorization" not in repr(request)
    assert "secret" not in repr(response)


def test_with_headers_sets_headers_beside_those_there_are() -> None:
    """The copy has both, the original only its own, and they share the rest."""
    request = new_request(headers={"A": "1", "B": "1"}, deadline=3.0, patience=4.0)
    changed = request.with_headers({"B": "2", "C": "2"})
    assert changed.headers == {"A": "1", "B": "2", "C": "2"}
    assert evolve(changed, headers=request.headers) == request
    assert changed.tally is request.tally


@pytest.mark.parametrize("name", ["connect", "read", "total"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan"), None, "3"])
def test_a_timeout_that_is_none_is_refused(name: str, seconds: Any) -> None:  # noqa: ANN401 - wrong
    """No timeout can be zero, negative or no number: aiohttp takes zero and None for no limit."""
    with pytest.raises(ConfigurationError, match=f"Timeout.{name} must be above 0"):
        Timeout(**{name: seconds})


def test_closing_a_response_without_a_connection_does_nothing() -> None:
    """A response that a link made by itself can be closed like any other."""
    documented().close_connection()


async def test_a_users_link_sees_each_attempt(client: SiteAssist, emulator: Emulator) -> None:
    """The user's links stand below retry: each attempt passes them."""
    seen: list[type[Exception] | int] = []

    async def watch(request: Request, send: Send) -> Response:
        try:
            response = await send(request)
        except ServiceUnavailableError as error:
            seen.append(type(error))
            raise
        seen.append(response.status)
        return response

    emulator.script(ID, Status(503), Status(503))
    await client.with_options(middleware=[watch]).conversations.get(ID)
    assert seen == [ServiceUnavailableError, ServiceUnavailableError, 200]


async def test_a_users_link_sees_the_body_and_no_token(mocked: Mocked) -> None:
    """On the way down the token is not there yet; on the way up the body is whole."""
    seen: list[object] = []

    async def watch(request: Request, send: Send) -> Response:
        seen.append(dict(request.headers))
        response = await send(request)
        seen.append(response.body)
        return response

    mocked.get(CONVERSATION_URL, body=documented_body(200))
    async with SiteAssist(TOKEN, middleware=[watch]) as client:
        await client.conversations.get(ID)
    headers, body = seen
    assert body == documented_body(200)
    assert TOKEN not in str(headers)


async def test_a_users_link_holds_no_slot() -> None:
    """As many calls as there are wait in a user's link, at concurrency 1."""
    waiting = 0
    all_there = asyncio.Event()

    async def meet(request: Request, send: Send) -> Response:
        nonlocal waiting
        waiting += 1
        if waiting == 5:
            all_there.set()
        await all_there.wait()
        return await send(request)

    async with Emulator(token=TOKEN) as emulator:
        client = SiteAssist(TOKEN, base_url=emulator.url, concurrency=1, middleware=[meet])
        async with client:
            await asyncio.gather(*[client.conversations.get(ID) for _ in range(5)])
        assert emulator.counters.most_in_flight == 1


async def test_a_users_link_can_change_the_headers(client: SiteAssist, emulator: Emulator) -> None:
    """What a link adds is sent; what it sets as Authorization is replaced."""

    async def mark(request: Request, send: Send) -> Response:
        return await send(request.with_headers({"X-Mark": "7", "Authorization": "none"}))

    await client.with_options(middleware=[mark]).conversations.get(ID)
    received = emulator.counters.recent[-1]
    assert received.headers["X-Mark"] == "7"
    assert received.authorized


async def test_a_users_link_can_answer_by_itself(client: SiteAssist, emulator: Emulator) -> None:
    """A link that sends nothing on is the answer, as a cache is."""

    async def cache(request: Request, send: Send) -> Response:
        del send
        del request
        return Response(200, {}, documented_body(200))

    conversation = await client.with_options(middleware=[cache]).conversations.get(ID)
    assert conversation.last_interaction_at.year == 2024
    assert emulator.counters.requests == 0


async def test_what_a_users_link_raises_of_ours_is_treated_as_ours() -> None:
    """A retryable error of a user's link is retried; no request was sent, and none is counted."""
    calls = 0

    async def refuse(request: Request, send: Send) -> Response:
        nonlocal calls
        del request, send
        calls += 1
        raise ServiceUnavailableError("mine")

    client = SiteAssist(TOKEN, middleware=[refuse], clock=FakeClock(), pacer=FakePacer())
    with pytest.raises(ServiceUnavailableError, match="mine") as caught:
        await client.conversations.get(ID)
    assert calls == 5
    assert caught.value.attempts == 0


async def test_what_a_users_link_raises_of_its_own_passes_unchanged() -> None:
    """An exception that is none of ours comes out as it is, at once."""
    calls = 0

    async def stumble(request: Request, send: Send) -> Response:
        nonlocal calls
        del request, send
        calls += 1
        raise KeyError("mine")

    client = SiteAssist(TOKEN, middleware=[stumble])
    with pytest.raises(KeyError, match="mine"):
        await client.conversations.get(ID)
    assert calls == 1


async def test_a_users_link_cannot_take_the_token_elsewhere() -> None:
    """A link that sends the request to another URL gets an error, and nothing is sent."""

    async def astray(request: Request, send: Send) -> Response:
        return await send(evolve(request, url=f"https://evil.example/conversations/{ID}"))

    async with SiteAssist(TOKEN, middleware=[astray]) as client:
        with pytest.raises(ConfigurationError, match=f"outside base_url {BASE_URL}/: ") as error:
            await client.conversations.get(ID)
    assert error.value.attempts == 0
    assert TOKEN not in str(error.value)


async def test_a_users_link_can_send_more_than_once(client: SiteAssist, emulator: Emulator) -> None:
    """Each sending of a link is paced, signed and counted for itself."""

    async def twice(request: Request, send: Send) -> Response:
        await send(request)
        return await send(request)

    emulator.missing(OTHER_ID)
    view = client.with_options(middleware=[twice], retry=RetryPolicy(attempts=1))
    await view.conversations.get(ID)
    assert emulator.counters.ids[ID] == 2
    with pytest.raises(NotFoundError) as caught:
        await view.conversations.get(OTHER_ID)
    assert caught.value.attempts == 1


class Cache:
    """The obvious cache: it keeps responses by id, whatever they were asked for."""

    def __init__(self) -> None:
        self.kept: dict[str, Response] = {}

    async def __call__(self, request: Request, send: Send) -> Response:
        """Send once for each id."""
        if request.subject not in self.kept:
            self.kept[request.subject] = await send(request)
        return self.kept[request.subject]


@pytest.mark.parametrize("first", ["get", "get_raw", "get_record"])
async def test_a_cache_works_for_all_calls_alike(
    client: SiteAssist, emulator: Emulator, first: str
) -> None:
    """Each gets what it asks for, whichever call the response was stored by."""
    plain = client.conversations
    expected = (await plain.get(ID), (await plain.get_raw(ID)).body, await plain.get_record(ID))
    cached = client.with_options(middleware=[Cache()]).conversations
    await getattr(cached, first)(ID)
    for _ in range(2):
        got = (await cached.get(ID), (await cached.get_raw(ID)).body, await cached.get_record(ID))
        assert got == expected
    assert emulator.counters.requests == 4


def answering(*given: object) -> Callable[[Request, Send], Awaitable[Response]]:
    """A link that answers by itself, one thing after the other."""
    left = list(given)

    async def link(request: Request, send: Send) -> Response:
        del request, send
        return left.pop(0)  # type: ignore[return-value] # pyright: ignore[reportReturnType] # the wrong ones too

    return link


@pytest.mark.parametrize("call", ["get", "get_raw", "get_record"])
@pytest.mark.parametrize(
    ("given", "error"),
    [
        (None, ConfigurationError),
        (b"{}", ConfigurationError),
        (Response(200, {}, "{}"), ConfigurationError),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        (Response(404, {}, b""), NotFoundError),
        (Response(302, {"Location": "/"}, b""), UnexpectedStatusError),
        (Response(200, {}, b"[]"), UnusableResponseError),
        (Response(200, {}, b""), UnusableResponseError),
    ],
    ids=repr,
)
async def test_what_a_link_invents_is_understood_or_a_typed_error(
    client: SiteAssist, call: str, given: object, error: type[SiteAssistError]
) -> None:
    """Each call says so, and none returns it."""
    view = client.with_options(middleware=[answering(given)])
    with pytest.raises(error):
        await getattr(view.conversations, call)(ID)


async def test_what_a_link_invents_is_tried_again_where_that_may_help(client: SiteAssist) -> None:
    """As the server's would be: a 503, and another conversation than the one asked for."""
    link = answering(
        Response(503, {}, b""),
        Response(200, {}, documented_body(200).replace(ID.encode(), OTHER_ID.encode())),
        Response(200, {}, documented_body(200)),
    )
    got = await client.with_options(middleware=[link]).conversations.get(ID)
    assert got.id == ID


async def test_a_body_that_a_link_changes_is_the_one_that_counts(client: SiteAssist) -> None:
    """The value that was made of the other is not returned."""

    async def redact(request: Request, send: Send) -> Response:
        response = await send(request)
        return evolve(response, body=documented_body(200))

    view = client.with_options(middleware=[redact]).conversations
    assert (await view.get(ID)).last_interaction_at.year == 2024
    assert json.loads(await view.get_record(ID)) == json.loads(documented_body(200))
