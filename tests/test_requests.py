"""Any request: an endpoint that is defined outside the package, and what is sent for it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import deque
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from attrs import asdict, define, field, frozen
from fakes import ID, OTHER_ID, TOKEN, FakeClock, FakePacer, Recorder, client_of

from siteassist_async import (
    BadGatewayError,
    BadRequestError,
    ClientError,
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    DisconnectedError,
    InternalServerError,
    Middleware,
    Operation,
    Request,
    Response,
    RetryPolicy,
    Send,
    ServerError,
    SiteAssist,
    SiteAssistError,
    TimedOutError,
    Timeout,
    UnexpectedStatusError,
    UnusableResponseError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@frozen
class Feedback:
    """What a visitor thinks of a message."""

    message: str
    rating: str | None


def read_feedback(response: Response, message_id: str) -> Feedback:
    """As the endpoint answers, by its documentation."""
    try:
        return Feedback(message_id, json.loads(response.body)["feedback"])
    except (ValueError, LookupError, TypeError) as error:
        raise UnusableResponseError("no feedback", path="feedback") from error


RATE = Operation("messages.rate", "POST", "/messages/{id}/feedback", read_feedback)
START = Operation(
    "conversations.start",
    "POST",
    "/conversations",
    lambda response, _: response.status,
    repeatable=False,
    statuses=(201,),
)
LIST = Operation(
    "conversations.list", "GET", "/conversations", lambda response, _: json.loads(response.body)
)


def _size(response: Response, _: str) -> int:
    return len(response.body)


class Feedbacks:
    """A resource outside the package; it needs nothing but the client."""

    def __init__(self, client: SiteAssist) -> None:
        self._client = client

    async def rate(self, message_id: str, rating: str | None) -> Feedback:
        """Rate a message."""
        return await self._client.request(RATE, message_id, json={"feedback": rating})


Play = int | str
"""A status to answer with, or how the request ends: "drop" it when it is received, or "silence"."""


@define
class Api:
    """A server for any request: it plays what a test wants, and keeps what came."""

    plays: deque[Play] = field(factory=deque[Play])
    seen: list[tuple[str, str, bytes]] = field(factory=list[tuple[str, str, bytes]])
    headers: list[dict[str, str]] = field(factory=list[dict[str, str]])
    peers: list[object] = field(factory=list[object])
    url: str = ""
    body: bytes = b'{"feedback": "like"}'
    is_cut: bool = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer any request."""
        self.seen.append((request.method, request.path_qs, await request.read()))
        self.headers.append(dict(request.headers))
        assert request.transport is not None
        self.peers.append(request.transport.get_extra_info("peername"))
        play = self.plays.popleft() if self.plays else 200
        if play == "drop":
            request.transport.close()
        if play == "silence":
            await asyncio.sleep(60)
        retry = {"Retry-After": "1"} if play in {429, 503} else {}
        status = play if isinstance(play, int) else 200
        response = web.Response(
            status=status, headers=retry | {"Content-Length": str(len(self.body))}
        )
        response.content_type = "application/json"
        await response.prepare(request)
        await response.write(self.body[: -1 if self.is_cut else None])
        if self.is_cut:
            request.transport.close()
        return response


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """It, on loopback."""
    api, application = Api(), web.Application()
    application.router.add_route("*", "/{path:.*}", api.handle)
    async with TestServer(application, host="127.0.0.1") as server:
        api.url = str(server.make_url("/v2"))
        yield api


@pytest.fixture
async def client(api: Api, clock: FakeClock) -> AsyncIterator[SiteAssist]:
    """A client of it that retries, and waits in no time."""
    async with client_of(api, clock, retry=RetryPolicy(attempts=3)) as client:
        yield client


async def test_an_endpoint_outside_the_package(client: SiteAssist, api: Api) -> None:
    """It is sent, retried and read as those of the package are."""
    api.plays.extend([500, "drop"])
    assert await Feedbacks(client).rate(ID, "like") == Feedback(ID, "like")
    assert api.seen == [("POST", f"/v2/messages/{ID}/feedback", b'{"feedback":"like"}')] * 3
    assert api.headers[-1]["Content-Type"] == "application/json"
    assert api.headers[-1]["Authorization"] == f"Bearer {TOKEN}"
    assert api.headers[-1]["User-Agent"].startswith("siteassist_async/")


async def test_what_its_reader_refuses_is_an_error_of_ours(client: SiteAssist) -> None:
    """As of any response that cannot be used."""
    view = client.with_options(middleware=[answering(Response(200, {}, b"[]"))])
    with pytest.raises(UnusableResponseError, match="no feedback"):
        await Feedbacks(view).rate(ID, None)


def answering(response: Response) -> Middleware:
    """Middleware that sends nothing."""

    async def answer(request: Request, send: Send) -> Response:
        del request, send
        return response

    return answer


async def test_a_query_and_headers_are_sent(client: SiteAssist, api: Api) -> None:
    """Quoted as URLs need it; a header given replaces the client's own."""
    query: dict[str, str | int | bool] = {"status": "a&b=c d", "limit": 3, "deep": True}
    await client.request(LIST, query=query, headers={"X-Mark": "7", "accept": "text/plain"})
    assert api.seen == [("GET", "/v2/conversations?status=a%26b%3Dc+d&limit=3&deep=true", b"")]
    sent = {name.lower(): value for name, value in api.headers[-1].items()}
    assert (sent["x-mark"], sent["accept"]) == ("7", "text/plain")
    assert len(sent) == len(api.headers[-1])  # none twice


async def test_headers_of_a_request_replace_those_for_its_body(
    client: SiteAssist, api: Api
) -> None:
    """Such as a content type of its own."""
    await client.request(RATE, ID, json={"a": "\ud800"}, headers={"content-type": "text/json"})
    names = [name for name in api.headers[-1] if name.lower() == "content-type"]
    assert [api.headers[-1][name] for name in names] == ["text/json"]
    assert api.seen[-1][2] == b'{"a":"\\ud800"}'


async def test_a_201_is_read_like_a_200(client: SiteAssist, api: Api) -> None:
    """Completely, and a body that breaks off is not taken for a whole one."""
    api.plays.extend([201, 201])
    api.body = b'{"text":"' + b"x" * 200_000 + b'"}'
    started = Operation("start", "POST", "/conversations", _size, repeatable=False, statuses=(201,))
    assert await client.request(started) == len(api.body)
    api.is_cut = True
    with pytest.raises(ConnectionFailedError) as caught:
        await client.request(started)
    assert caught.value.outcome_unknown
    assert len(api.seen) == 2


async def test_the_token_is_not_in_a_request_that_is_dumped(client: SiteAssist, api: Api) -> None:
    """Middleware may log what it gets, also when a request has been sent with the token."""
    dumped: list[str] = []

    async def dump(request: Request, send: Send) -> Response:
        dumped.append(f"{asdict(request)} {request}")
        try:
            return await send(request)
        finally:
            dumped.append(f"{asdict(request)} {request}")

    api.plays.append(500)
    await client.with_options(middleware=[dump]).request(LIST)
    assert len(dumped) == 4
    assert TOKEN not in "".join(dumped)


@pytest.mark.parametrize(
    ("subject", "path"), [("a/b?c#d", "a%2Fb%3Fc%23d"), ("a\rb", "a%0Db"), ("...", "...")]
)
async def test_a_subject_is_one_segment_of_the_path(
    client: SiteAssist, api: Api, subject: str, path: str
) -> None:
    """Whatever stands in it."""
    await Feedbacks(client).rate(subject, None)
    assert [seen for _, seen, _ in api.seen] == [f"/v2/messages/{path}/feedback"]


@pytest.mark.parametrize("subject", ["", ".", ".."])
async def test_a_subject_cannot_lead_elsewhere(client: SiteAssist, api: Api, subject: str) -> None:
    """A server would take these for a way up."""
    with pytest.raises(ConfigurationError, match="cannot be part of the path"):
        await Feedbacks(client).rate(subject, None)
    assert api.seen == []


async def test_what_has_no_json_is_refused_at_once(client: SiteAssist, api: Api) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigurationError, match="json cannot be serialized"):
        client.request(RATE, ID, json=object())
    assert api.seen == []


@pytest.mark.parametrize("play", [200, 204])
async def test_another_success_than_the_operations_is_none(
    client: SiteAssist, api: Api, play: int
) -> None:
    """A status that the endpoint is not documented to give is no success."""
    api.plays.append(play)
    with pytest.raises(UnexpectedStatusError) as caught:
        await client.request(START)
    assert caught.value.outcome_unknown


@pytest.mark.parametrize("play", [429, 503])
async def test_what_was_refused_is_repeated(client: SiteAssist, api: Api, play: int) -> None:
    """It was not done, whatever it is."""
    api.plays.extend([play, 201])
    assert await client.request(START) == 201
    assert len(api.seen) == 2


@pytest.mark.parametrize(
    ("play", "error", "unknown"),
    [
        (500, InternalServerError, True),
        (502, BadGatewayError, True),
        (504, ServerError, True),
        ("drop", DisconnectedError, True),
        ("silence", TimedOutError, True),
        (400, BadRequestError, False),
        (408, ClientError, False),
    ],
)
async def test_what_may_have_been_done_is_not_repeated(
    client: SiteAssist, api: Api, play: Play, error: type[SiteAssistError], *, unknown: bool
) -> None:
    """The error says whether it was, and one attempt is all."""
    api.plays.append(play)
    with pytest.raises(error) as caught:
        await client.with_options(timeout=Timeout(total=0.1)).request(START)
    assert caught.value.outcome_unknown == unknown
    assert len(api.seen) == caught.value.attempts == 1


async def test_a_deadline_that_passes_leaves_the_outcome_unknown(
    client: SiteAssist, api: Api
) -> None:
    """Of what may be repeated nobody needs to know."""
    for operation, unknown in ((START, True), (LIST, False)):
        api.plays.append("silence")
        with pytest.raises(DeadlineExceededError) as caught:
            await client.with_options(deadline=0.05).request(operation)
        assert caught.value.outcome_unknown == unknown


async def test_what_never_left_is_repeated(clock: FakeClock) -> None:
    """No connection: nothing was done."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v2"
    async with SiteAssist(
        TOKEN, base_url=url, retry=RetryPolicy(attempts=3), clock=clock, pacer=FakePacer()
    ) as client:
        with pytest.raises(ConnectionFailedError) as caught:
            await client.request(START)
    assert caught.value.attempts == 3
    assert not caught.value.sent
    assert not caught.value.outcome_unknown


async def test_what_must_not_be_repeated_goes_over_a_new_connection(
    client: SiteAssist, api: Api
) -> None:
    """One that idled may be closed by the server, and nobody could tell what became of it."""
    api.plays.extend([200, 200, 201])
    for operation in (LIST, LIST, START):
        await client.request(operation)
    first, second, third = api.peers
    assert first == second != third


async def test_a_request_of_middleware_is_whole(clock: FakeClock) -> None:
    """What it sees of it, and what it may not see."""
    record = Recorder()
    client = SiteAssist(TOKEN, middleware=[record], clock=clock, pacer=FakePacer())
    with pytest.raises(UnusableResponseError):
        await client.request(RATE, OTHER_ID, json={"feedback": None}, bulk=True)
    (request,) = record.requests
    assert (request.method, request.operation, request.subject) == ("POST", RATE, OTHER_ID)
    assert request.conversation_id == OTHER_ID
    assert request.body == b'{"feedback":null}'
    assert request.bulk
    assert "Authorization" not in request.headers
