"""The eleven documented errors and the documented conversation, mocked and on the wire."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen
from fakes import (
    CONVERSATION_URL,
    ID,
    ONCE,
    TOKEN,
    FakePacer,
)

from siteassist_async import (
    APIError,
    AuthenticationError,
    BadGatewayError,
    BadRequestError,
    ConflictDetails,
    ConflictError,
    ConversationDetails,
    FieldDetails,
    InternalServerError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    PlanDetails,
    RateLimitError,
    RetryDetails,
    ServiceDetails,
    ServiceUnavailableError,
    SiteAssist,
    ValidationDetails,
    ValidationError,
)
from siteassist_async.contract import DOCUMENTED_STATUSES, documented_body
from siteassist_async.emulator import Emulator, Status

if TYPE_CHECKING:
    from fakes import Mocked


@frozen
class Row:
    """A row of the contract's table of errors."""

    status: int
    error_class: type[APIError]
    code: str
    details: object = None
    retry_after: float | None = None


TABLE = [
    Row(400, BadRequestError, "INVALID_REQUEST_BODY", FieldDetails("content")),
    Row(401, AuthenticationError, "UNAUTHORIZED"),
    Row(
        402,
        PaymentRequiredError,
        "PAYMENT_REQUIRED",
        PlanDetails("free", "pro", "advanced_ai_models"),
    ),
    Row(403, PermissionDeniedError, "FORBIDDEN"),
    Row(404, NotFoundError, "CONVERSATION_NOT_FOUND", ConversationDetails(ID)),
    Row(409, ConflictError, "CONFLICT", ConflictDetails("conversation", "id")),
    Row(
        422,
        ValidationError,
        "VALIDATION_ERROR",
        ValidationDetails("content", "Content exceeds maximum length of 10000 characters"),
    ),
    Row(429, RateLimitError, "RATE_LIMIT_EXCEEDED", RetryDetails(60.0), 60.0),
    Row(500, InternalServerError, "INTERNAL_SERVER_ERROR"),
    Row(502, BadGatewayError, "BAD_GATEWAY", ServiceDetails("ai_model_service")),
    Row(503, ServiceUnavailableError, "SERVICE_UNAVAILABLE", RetryDetails(30.0), 30.0),
]


each_documented_error = pytest.mark.parametrize("row", TABLE, ids=lambda row: str(row.status))


def check(error: APIError, row: Row) -> None:
    """All that the contract documents of an error is in its fields."""
    body: dict[str, Any] = json.loads(documented_body(row.status))["error"]
    assert type(error) is row.error_class
    assert error.status == row.status
    assert error.code == body["code"] == row.code
    assert error.message == body["message"]
    assert error.details == row.details
    assert error.raw_details == body.get("details")
    assert error.retry_after == row.retry_after
    assert error.attempts == 1
    assert error.headers["content-type"].startswith("application/json")


def test_the_table_is_the_contracts() -> None:
    """No documented status is missing."""
    assert [200, *[row.status for row in TABLE]] == list(DOCUMENTED_STATUSES)


@each_documented_error
async def test_a_documented_error_has_its_class_and_fields(mocked: Mocked, row: Row) -> None:
    """Each of the eleven, its documented body unchanged, through the whole client."""
    mocked.get(CONVERSATION_URL, status=row.status, body=documented_body(row.status))
    async with SiteAssist(TOKEN, retry=ONCE, pacer=FakePacer()) as client:
        with pytest.raises(APIError) as caught:
            await client.conversations.get(ID)
    check(caught.value, row)


@each_documented_error
async def test_a_documented_error_is_the_same_over_a_socket(
    client: SiteAssist, emulator: Emulator, row: Row
) -> None:
    """As above, on the wire."""
    emulator.script(ID, Status(row.status, body=documented_body(row.status)))
    with pytest.raises(APIError) as caught:
        await client.with_options(retry=ONCE).conversations.get(ID)
    check(caught.value, row)


async def test_the_documented_conversation_is_returned(mocked: Mocked) -> None:
    """A 200 of the documented body is a conversation, its request signed."""
    mocked.get(CONVERSATION_URL, body=documented_body(200))
    async with SiteAssist(TOKEN) as client:
        conversation = await client.conversations.get(ID)
    assert (conversation.id, conversation.status) == (ID, "open")
    assert conversation.messages == ()


async def test_the_documented_conversation_is_returned_over_a_socket(
    client: SiteAssist, emulator: Emulator
) -> None:
    """As above, on the wire."""
    emulator.script(ID, Status(200, body=documented_body(200)))
    conversation = await client.conversations.get(ID)
    assert (conversation.id, conversation.status) == (ID, "open")
    assert conversation.messages == ()
