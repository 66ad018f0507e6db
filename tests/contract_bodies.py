"""The contract's own examples, with changes, and how they are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from siteassist_async.codec import decode_conversation
from siteassist_async.contract import documented_body
from siteassist_async.errors import UnusableResponseError

if TYPE_CHECKING:
    from siteassist_async.models import Conversation, Message

NOON = "2024-03-01T12:00:00.000Z"
AT_NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)

# The contract shows this one, of the widget's source.
WIDGET_MESSAGE = (
    '{"object":"message","id":"978f5d62-80f4-47fe-9357-c7726923c04f",'
    '"createdAt":"2025-08-19T09:29:41.469Z","parts":[{"text":"Absolutely! 🎨","type":"text"}],'
    '"chatId":"a9e1d8ba-6bd5-4ac5-a6ac-5fa58abe8095","role":"assistant","feedback":null,'
    '"feedbackAt":null,"status":"complete","error":null,"metadata":null,"humanAgent":null,'
    '"pageUrl":null,"pageTitle":null,"textSelection":null}'
)


def wire(**changes: object) -> dict[str, Any]:
    """The documented conversation with changes."""
    return {**json.loads(documented_body(200)), **changes}


def wire_message(**changes: object) -> dict[str, Any]:
    """The widget's message with changes."""
    return {**json.loads(WIDGET_MESSAGE), **changes}


def without(value: dict[str, Any], key: str) -> dict[str, Any]:
    """A copy that lacks the key."""
    return {k: v for k, v in value.items() if k != key}


def read(value: object) -> Conversation:
    """Decode a value as a body."""
    return decode_conversation(json.dumps(value).encode())


def read_message(value: object) -> Message:
    """Decode a value as the second message of a body."""
    return read(wire(messages=[wire_message(), value])).messages[1]


def fault(value: object) -> tuple[str, str]:
    """Where the error of a refused body says it is wrong, and what it says."""
    with pytest.raises(UnusableResponseError) as caught:
        read(value)
    return caught.value.path, str(caught.value)


def message_fault(value: object) -> tuple[str, str]:
    """As `fault`, of the second message of a body."""
    path, line = fault(wire(messages=[wire_message(), value]))
    assert path.startswith("messages[1]")
    return path.removeprefix("messages[1]"), line
