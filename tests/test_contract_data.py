"""The documented bodies, against the tables of the contract."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest

from siteassist_async.contract import DOCUMENTED_STATUSES, documented_body

CODES = {
    400: "INVALID_REQUEST_BODY",
    401: "UNAUTHORIZED",
    402: "PAYMENT_REQUIRED",
    403: "FORBIDDEN",
    404: "CONVERSATION_NOT_FOUND",
    409: "CONFLICT",
    422: "VALIDATION_ERROR",
    429: "RATE_LIMIT_EXCEEDED",
    500: "INTERNAL_SERVER_ERROR",
    502: "BAD_GATEWAY",
    503: "SERVICE_UNAVAILABLE",
}

DETAILS: dict[int, set[str] | None] = {
    400: {"field"},
    401: None,
    402: {"currentPlan", "requiredPlan", "feature"},
    403: None,
    404: {"conversationId"},
    409: {"resource", "conflictingField"},
    422: {"field", "reason"},
    429: {"retryAfter"},
    500: None,
    502: {"service"},
    503: {"retryAfter"},
}

CONVERSATION = [
    "object",
    "id",
    "createdAt",
    "updatedAt",
    "status",
    "closedAt",
    "closeReason",
    "lastInterationAt",
    "isHumanHandled",
    "humanAgent",
    "messages",
]

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_every_status_has_a_body_and_every_body_a_status() -> None:
    """The statuses are those of the tables, and no body lies unused in the package."""
    assert list(DOCUMENTED_STATUSES) == [200, *CODES]
    names = {entry.name for entry in files("siteassist_async.contract").iterdir()}
    assert {name for name in names if name.endswith(".json")} == {
        f"{status}.json" for status in DOCUMENTED_STATUSES
    }


@pytest.mark.parametrize(("status", "code"), CODES.items())
def test_an_error_has_the_code_and_details_of_its_table_row(status: int, code: str) -> None:
    """An error is one object with a message, its status's code, and the named details."""
    body: dict[str, dict[str, Any]] = json.loads(documented_body(status))
    assert list(body) == ["error"]
    error = body["error"]
    details = DETAILS[status]
    assert list(error) == ["message", "code"] + (["details"] if details else [])
    assert error["message"]
    assert error["code"] == code
    assert set(error.get("details", {})) == (details or set())


@pytest.mark.parametrize("status", [429, 503])
def test_the_documented_wait_is_in_seconds(status: int) -> None:
    """`retryAfter` is a positive whole number in the documented bodies."""
    retry_after = json.loads(documented_body(status))["error"]["details"]["retryAfter"]
    assert type(retry_after) is int
    assert retry_after > 0


def test_the_conversation_has_the_documented_keys_in_their_order() -> None:
    """The misspelt `lastInterationAt` is part of the specification."""
    body: dict[str, Any] = json.loads(documented_body(200))
    assert list(body) == CONVERSATION
    assert body["object"] == "conversation"
    assert body["status"] == "open"
    assert body["messages"] == []
    assert body["isHumanHandled"] is False
    for key in ("createdAt", "updatedAt", "lastInterationAt"):
        assert TIMESTAMP.fullmatch(body[key])
    for key in ("closedAt", "closeReason", "humanAgent"):
        assert body[key] is None


def test_a_status_without_a_body_is_refused() -> None:
    """A status that the specification does not know is an error, not an empty body."""
    with pytest.raises(ValueError, match="no body for status 418"):
        documented_body(418)
