"""What an answer becomes: its family, its waits, its value, and no token."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fakes import (
    ID,
    ONCE,
    OTHER_ID,
    TOKEN,
    FakeSend,
    documented,
    new_request,
    operation_of,
)

from siteassist_async import (
    APIError,
    BadRequestError,
    ClientError,
    FieldDetails,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    Response,
    ServerError,
    SiteAssist,
    UnexpectedStatusError,
    UnusableResponseError,
    WrongConversationError,
)
from siteassist_async.clock import SYSTEM_CLOCK
from siteassist_async.contract import documented_body
from siteassist_async.emulator import Emulator, Status
from siteassist_async.events import Event, EventStream
from siteassist_async.logs import log_call
from siteassist_async.middleware.decode import Decode, RaiseForStatus
from siteassist_async.wire import Tally

if TYPE_CHECKING:
    from fakes import FakeClock

raise_for_status = RaiseForStatus(EventStream[Event](log_call), SYSTEM_CLOCK)


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (201, UnexpectedStatusError),
        (204, UnexpectedStatusError),
        (302, UnexpectedStatusError),
        (304, UnexpectedStatusError),
        (408, ClientError),
        (410, ClientError),
        (451, ClientError),
        (501, ServerError),
        (504, ServerError),
        (599, ServerError),
    ],
)
async def test_a_status_that_is_not_documented_has_its_family(
    status: int, error_class: type[APIError]
) -> None:
    """The family is by the status, and the error keeps the number."""
    with pytest.raises(APIError) as caught:
        await raise_for_status(new_request(), FakeSend(Response(status, {}, b"")))
    assert type(caught.value) is error_class
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("body", "header", "retry_after"),
    [
        (7, None, 7.0),
        (7, "3", 7.0),
        (3, "7", 7.0),
        (None, "7", 7.0),
        ("soon", "7", 7.0),
        (7, "soon", 7.0),
        (None, None, None),
        (0, None, 0.0),
        (-1, None, None),
        (0.5, "Mon, 01 Jan 2001 00:00:00 GMT", 0.5),
    ],
)
async def test_of_two_waits_the_longer_counts(
    body: object, header: str | None, retry_after: float | None
) -> None:
    """`retryAfter` of the body and Retry-After of the header, whichever asks for more."""
    sent = json.dumps({"error": {"message": "", "details": {"retryAfter": body}}}).encode()
    headers = {} if header is None else {"Retry-After": header}
    with pytest.raises(RateLimitError) as caught:
        await raise_for_status(new_request(), FakeSend(Response(429, headers, sent)))
    assert caught.value.retry_after == retry_after


@pytest.mark.parametrize("name", ["X-Request-Id", "request-id", "REQUEST-ID"])
async def test_the_request_id_is_kept(name: str) -> None:
    """It is what a vendor's support asks for."""
    with pytest.raises(InternalServerError, match="request id abc") as caught:
        await raise_for_status(new_request(), FakeSend(Response(500, {name: "abc"}, b"")))
    assert caught.value.request_id == "abc"


class Closing:
    """A response that knows whether its connection was closed."""

    def __init__(self, status: int, body: bytes) -> None:
        self.closed = False
        self.response = Response(status, {}, body, self._close)

    def _close(self) -> None:
        self.closed = True


def missing(conversation_id: object) -> bytes:
    """A 404's body about an id."""
    details = {"conversationId": conversation_id}
    return json.dumps({"error": {"message": "no", "details": details}}).encode()


@pytest.mark.parametrize(
    ("body", "closed"),
    [
        (missing(ID), False),
        (missing(ID.upper()), False),
        (missing(None), False),
        (b"", False),
        (missing(OTHER_ID), True),
    ],
)
async def test_a_404_about_another_conversation_closes_its_connection(
    body: bytes, *, closed: bool
) -> None:
    """What comes next over it may be a stranger's too; the status decides all the same."""
    answer = Closing(404, body)
    with pytest.raises(NotFoundError):
        await raise_for_status(new_request(), FakeSend(answer.response))
    assert answer.closed == closed


@pytest.mark.parametrize(
    ("error", "closed"), [(WrongConversationError("x"), True), (UnusableResponseError("x"), False)]
)
async def test_another_conversation_closes_its_connection(
    error: UnusableResponseError, *, closed: bool
) -> None:
    """A body that is merely broken does not."""

    def refuse(response: Response, conversation_id: str) -> object:
        assert (response.body, conversation_id) == (b"{}", ID)
        raise error

    answer = Closing(200, b"{}")
    with pytest.raises(type(error)):
        await Decode()(new_request(operation_of(refuse)), FakeSend(answer.response))
    assert answer.closed == closed


async def test_the_value_is_what_the_operation_reads() -> None:
    """`read` is given the response and the subject, and its value is the result."""
    seen: list[tuple[Response, str]] = []

    def read(response: Response, subject: str) -> int:
        seen.append((response, subject))
        return 7

    response = documented()
    assert await Decode()(new_request(operation_of(read)), FakeSend(response)) == 7
    assert seen == [(response, ID)]


async def test_what_repeats_the_token_is_hidden() -> None:
    """A server that echoes the request's headers puts no token into an error."""
    request = new_request(tally=Tally(token=lambda: TOKEN))
    body = json.dumps(
        {"error": {"message": f"bad {TOKEN}", "code": TOKEN, "details": {"field": TOKEN}}}
    ).encode()
    with pytest.raises(BadRequestError) as caught:
        await raise_for_status(request, FakeSend(Response(400, {"X-Echo": TOKEN}, body)))
    assert caught.value.message == "bad [token]"
    assert caught.value.details == FieldDetails("[token]")
    assert TOKEN not in str(vars(caught.value))


async def test_an_unusable_body_that_repeats_the_token_is_hidden(
    emulator: Emulator, clock: FakeClock
) -> None:
    """Neither as the id of another conversation nor in the excerpt."""
    echo = documented_body(200).replace(ID.encode(), TOKEN.encode())
    async with SiteAssist(TOKEN, base_url=emulator.url, clock=clock, retry=ONCE) as client:
        for body in (echo, f"no JSON {TOKEN}".encode()):
            emulator.script(ID, Status(200, body=body))
            with pytest.raises(UnusableResponseError) as caught:
                await client.conversations.get(ID)
            assert TOKEN not in str(caught.value)
            assert TOKEN not in caught.value.excerpt
            assert "[token]" in str(caught.value)
