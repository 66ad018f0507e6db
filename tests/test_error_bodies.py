"""What can be read of an error's body, documented or not."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from fakes import ID
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import PROPERTY, bodies, damaged, json_values, mutants, wire_errors

from siteassist_async.codec import ErrorBody, decode_details, decode_error
from siteassist_async.contract import DOCUMENTED_STATUSES, documented_body
from siteassist_async.errors import (
    DOCUMENTED,
    ConflictDetails,
    ConversationDetails,
    Details,
    FieldDetails,
    PlanDetails,
    RetryDetails,
    ServiceDetails,
    ValidationDetails,
    error_class,
)

# status, code, details, seconds to wait.
TABLE: list[tuple[int, str, Details | None, int | None]] = [
    (400, "INVALID_REQUEST_BODY", FieldDetails("content"), None),
    (401, "UNAUTHORIZED", None, None),
    (402, "PAYMENT_REQUIRED", PlanDetails("free", "pro", "advanced_ai_models"), None),
    (403, "FORBIDDEN", None, None),
    (404, "CONVERSATION_NOT_FOUND", ConversationDetails(ID), None),
    (409, "CONFLICT", ConflictDetails("conversation", "id"), None),
    (
        422,
        "VALIDATION_ERROR",
        ValidationDetails("content", "Content exceeds maximum length of 10000 characters"),
        None,
    ),
    (429, "RATE_LIMIT_EXCEEDED", RetryDetails(60.0), 60),
    (500, "INTERNAL_SERVER_ERROR", None, None),
    (502, "BAD_GATEWAY", ServiceDetails("ai_model_service"), None),
    (503, "SERVICE_UNAVAILABLE", RetryDetails(30.0), 30),
]
WHOLE = bodies(wire_errors)


@pytest.mark.parametrize(("status", "code", "details", "wait"), TABLE)
def test_a_documented_body(
    status: int, code: str, details: Details | None, wait: int | None
) -> None:
    """Code, message, details and wait are read, the details as the status' class types them."""
    sent: dict[str, Any] = json.loads(documented_body(status))["error"]
    body = decode_error(documented_body(status))
    assert body == ErrorBody(sent["message"], code, sent.get("details"), wait)
    assert decode_details(body.details, error_class(status).details_class) == details


def test_every_documented_body_is_in_the_table() -> None:
    """The eleven statuses of the contract, each with a class of its own."""
    assert [row[0] for row in TABLE] == [*DOCUMENTED] == [*DOCUMENTED_STATUSES[1:]]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b'{"error": {"message": "No."}}', ErrorBody("No.")),
        (b'\xef\xbb\xbf{"error": {"message": "No."}}\r\n', ErrorBody("No.")),
        (b'{"error": {"message": ""}}', ErrorBody("")),
        (b'{"error": {"message": "\\ud83d\\u001b[2J"}}', ErrorBody("\ud83d\x1b[2J")),
        (b'{"error": {"message": "No.", "code": null}}', ErrorBody("No.")),
        (b'{"error": {"message": "No.", "code": 404}}', ErrorBody("No.")),
        (b'{"error": {"message": "No.", "code": "NEW"}}', ErrorBody("No.", "NEW")),
        (b'{"error": {"message": "No.", "details": null}}', ErrorBody("No.")),
        (b'{"error": {"message": "No.", "details": "x"}}', ErrorBody("No.", details="x")),
        (b'{"error": {"message": "No.", "details": []}}', ErrorBody("No.", details=[])),
        (
            b'{"error": {"message": "No.", "details": {"retryAfter": "soon"}}}',
            ErrorBody("No.", details={"retryAfter": "soon"}, retry_after="soon"),
        ),
        # Of what is not as documented the beginning is told; what can be read is.
        (b'{"error": {"code": "NEW"}}', ErrorBody('{"error": {"code": "NEW"}}', "NEW")),
        (b'{"error": {"message": 5}}', ErrorBody('{"error": {"message": 5}}')),
        (b'{"error": "Not found"}', ErrorBody('{"error": "Not found"}')),
        (b'{"error": null}', ErrorBody('{"error": null}')),
        (b'{"message": "No."}', ErrorBody('{"message": "No."}')),
        (b'[{"error": {"message": "No."}}]', ErrorBody('[{"error": {"message": "No."}}]')),
        (b"null", ErrorBody("null")),
        (b"", ErrorBody("")),
        (b"<html>502 Bad Gateway</html>", ErrorBody("<html>502 Bad Gateway</html>")),
        (b"upstream connect error", ErrorBody("upstream connect error")),
        (b'{"error": {"message": "No', ErrorBody('{"error": {"message": "No')),
        (b'{"error": {"message": NaN}}', ErrorBody('{"error": {"message": NaN}}')),
        (b"\xff\xfe{\x00", ErrorBody("\ufffd\ufffd{\x00")),
        (b"[" * 100_000, ErrorBody("[" * 200)),
        (b'{"error":' * 100_000, ErrorBody(('{"error":' * 100)[:200])),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_body_as_it_may_come(sent: bytes, expected: ErrorBody) -> None:
    """Nothing is raised, and nothing that was sent is made up."""
    assert decode_error(sent) == expected


def test_a_huge_message_is_kept_whole() -> None:
    """The text for people is cut, the fact is not."""
    assert len(decode_error(b'{"error": {"message": "%s"}}' % (b"a" * 10**6)).message) == 10**6


@pytest.mark.parametrize("status", [429, 404, 402, 401, 418])
@pytest.mark.parametrize(
    "raw",
    [
        *(None, True, 5, "x", [], {}, [{"retryAfter": 5}]),
        *({"retryAfter": "soon"}, {"retryAfter": -1}, {"retryAfter": None}, {"retryAfter": True}),
        *({"conversationId": 5}, {"conversationId": None}, {"conversationid": ID}),
        {"currentPlan": "free", "requiredPlan": "pro"},
    ],
)
def test_details_that_do_not_fit_are_none(status: int, raw: object) -> None:
    """Of another status, of another type, in part: none of it is guessed."""
    assert decode_details(raw, error_class(status).details_class) is None


def test_details_may_have_more_fields() -> None:
    """Those that are documented are read."""
    assert decode_details({"retryAfter": "5", "scope": "project"}, RetryDetails) == RetryDetails(
        5.0
    )


@PROPERTY
@given(
    st.one_of(WHOLE, damaged(WHOLE), bodies(json_values), st.binary()),
    st.sampled_from([*DOCUMENTED, 418, 504, 302]),
)
@example(b'{"error": {"message": "", "details": {"\\ud800": 1}}}', 429)
def test_no_body_raises_anything(body: bytes, status: int) -> None:
    """Error bodies are read in every case; message and code are text."""
    error = decode_error(body)
    assert isinstance(error.message, str)
    assert error.code is None or isinstance(error.code, str)
    details_class = error_class(status).details_class
    details = decode_details(error.details, details_class)
    assert details is None or type(details) is details_class


@PROPERTY
@given(mutants(wire_errors))
def test_what_is_sent_is_what_is_read(sent: object) -> None:
    """A body that lost or changed something keeps the rest."""
    body = decode_error(json.dumps(sent).encode())
    error = _members(_members(sent).get("error"))
    if isinstance(error.get("message"), str):
        assert body.message == error["message"]
    assert body.code == (error["code"] if isinstance(error.get("code"), str) else None)
    assert body.details == error.get("details")
    assert body.retry_after == _members(body.details).get("retryAfter")


def _members(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
