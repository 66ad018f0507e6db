"""Each key of the contract's tables: present, absent, null and of a wrong type."""

from __future__ import annotations

import pytest
from contract_bodies import (
    AT_NOON,
    NOON,
    fault,
    message_fault,
    read,
    read_message,
    wire,
    wire_message,
    without,
)

from siteassist_async.models import HumanAgent, TextPart

REQUIRED = object()

Row = tuple[str, str, object, object, object]

# key, attribute, what is sent, what is read, what is read where it is absent or null.
CONVERSATION_KEYS: list[Row] = [
    ("id", "id", "any text", "any text", REQUIRED),
    ("createdAt", "created_at", NOON, AT_NOON, REQUIRED),
    ("updatedAt", "updated_at", NOON, AT_NOON, REQUIRED),
    ("status", "status", "closed", "closed", REQUIRED),
    ("lastInterationAt", "last_interaction_at", NOON, AT_NOON, REQUIRED),
    ("closedAt", "closed_at", NOON, AT_NOON, None),
    ("closeReason", "close_reason", "solved", "solved", None),
    ("isHumanHandled", "is_human_handled", True, True, False),
    ("humanAgent", "human_agent", {"name": "Ada"}, HumanAgent("Ada"), None),
    ("title", "title", "Refund", "Refund", None),
    ("messages", "messages", [], (), ()),
]
MESSAGE_KEYS: list[Row] = [
    ("id", "id", "any text", "any text", REQUIRED),
    ("chatId", "chat_id", "any text", "any text", REQUIRED),
    ("createdAt", "created_at", NOON, AT_NOON, REQUIRED),
    ("role", "role", "user", "user", REQUIRED),
    ("parts", "parts", [{"type": "text", "text": "Hi"}], (TextPart("Hi"),), ()),
    ("status", "status", "streaming", "streaming", None),
    ("error", "error", "overloaded", "overloaded", None),
    ("feedback", "feedback", "like", "like", None),
    ("feedbackAt", "feedback_at", NOON, AT_NOON, None),
    ("metadata", "metadata", {"a": [1, None]}, {"a": [1, None]}, None),
    ("humanAgent", "human_agent", {"image": "a.png"}, HumanAgent(image="a.png"), None),
    ("pageUrl", "page_url", "https://example.org", "https://example.org", None),
    ("pageTitle", "page_title", "Prices", "Prices", None),
    ("textSelection", "text_selection", "10 €", "10 €", None),
]
TEXTS = ["id", "status", "closeReason", "title"]
TIMES = ["createdAt", "updatedAt", "lastInterationAt", "closedAt"]
MESSAGE_TEXTS = [
    *("id", "chatId", "role", "status", "error", "feedback"),
    *("pageUrl", "pageTitle", "textSelection"),
]
MESSAGE_TIMES = ["createdAt", "feedbackAt"]

NOT_TEXT: list[object] = [5, 0.5, True, [], {}]
NOT_TIME: list[object] = [5, True, [], {}, "", "now", "2024-01-15", "2024-01-15T10:30:00"]
NOT_BOOLEAN: list[object] = [0, 1, "false", [], {}]
NOT_AGENT: list[object] = [5, True, "Ada", []]
NOT_ARRAY: list[object] = [5, True, "none", {}]


@pytest.mark.parametrize(("key", "attribute", "sent", "expected", "default"), CONVERSATION_KEYS)
def test_each_key_of_a_conversation(
    key: str, attribute: str, sent: object, expected: object, default: object
) -> None:
    """It is read; absent or null it has its default, or the error names it."""
    assert getattr(read(wire(**{key: sent})), attribute) == expected
    if default is REQUIRED:
        path, line = fault(without(wire(), key))
        assert (path, "missing" in line) == (key, True)
        path, line = fault(wire(**{key: None}))
        assert (path, "expected a string, not null" in line) == (key, True)
    else:
        assert getattr(read(without(wire(), key)), attribute) == default
        assert getattr(read(wire(**{key: None})), attribute) == default


@pytest.mark.parametrize(("key", "attribute", "sent", "expected", "default"), MESSAGE_KEYS)
def test_each_key_of_a_message(
    key: str, attribute: str, sent: object, expected: object, default: object
) -> None:
    """It is read; absent or null it has its default, or the error names it."""
    assert getattr(read_message(wire_message(**{key: sent})), attribute) == expected
    if default is REQUIRED:
        path, line = message_fault(without(wire_message(), key))
        assert (path, "missing" in line) == (f".{key}", True)
        path, line = message_fault(wire_message(**{key: None}))
        assert (path, "expected a string, not null" in line) == (f".{key}", True)
    else:
        assert getattr(read_message(without(wire_message(), key)), attribute) == default
        assert getattr(read_message(wire_message(**{key: None})), attribute) == default


@pytest.mark.parametrize(
    ("key", "sent"),
    [(key, sent) for key in TEXTS for sent in NOT_TEXT]
    + [(key, sent) for key in TIMES for sent in NOT_TIME]
    + [("isHumanHandled", sent) for sent in NOT_BOOLEAN]
    + [("humanAgent", sent) for sent in NOT_AGENT]
    + [("messages", sent) for sent in NOT_ARRAY],
)
def test_a_wrong_type_in_a_conversation_is_named_by_its_path(key: str, sent: object) -> None:
    """Nothing is coerced: 0 is no boolean, 5 is no text, null is no 'None'."""
    assert fault(wire(**{key: sent}))[0] == key


@pytest.mark.parametrize(
    ("key", "sent"),
    [(key, sent) for key in MESSAGE_TEXTS for sent in NOT_TEXT]
    + [(key, sent) for key in MESSAGE_TIMES for sent in NOT_TIME]
    + [("humanAgent", sent) for sent in NOT_AGENT]
    + [("parts", sent) for sent in NOT_ARRAY],
)
def test_a_wrong_type_in_a_message_is_named_by_its_path(key: str, sent: object) -> None:
    """The path leads through the list."""
    assert message_fault(wire_message(**{key: sent}))[0] == f".{key}"


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"humanAgent": {"name": 5}}, ".humanAgent.name"),
        ({"humanAgent": {"image": []}}, ".humanAgent.image"),
        ({"parts": ["Hi"]}, ".parts[0]"),
        ({"parts": [{"text": "Hi"}, None]}, ".parts[1]"),
        ({"parts": [{"type": "text"}]}, ".parts[0].text"),
        ({"parts": [{"type": "text", "text": None}]}, ".parts[0].text"),
        ({"parts": [{"type": "text", "text": ["Hi"]}]}, ".parts[0].text"),
        ({"object": "conversation"}, ""),
        ({"object": None}, ""),
    ],
)
def test_a_fault_within_a_message_is_named_by_its_path(
    changes: dict[str, object], path: str
) -> None:
    """However deep it is."""
    assert message_fault(wire_message(**changes))[0] == path


@pytest.mark.parametrize("value", [None, True, 5, "conversation", [], [wire()]])
def test_what_is_no_object_is_refused(value: object) -> None:
    """As the body, and as a message."""
    assert fault(value)[0] == ""
    assert message_fault(value)[0] == ""


@pytest.mark.parametrize(
    "value", [{}, without(wire(), "object"), wire(object="message"), wire(object=["conversation"])]
)
def test_what_is_not_tagged_as_a_conversation_is_refused(value: object) -> None:
    """An error body with status 200, say."""
    path, line = fault(value)
    assert path == ""
    assert 'expected an object with "object": "conversation"' in line
