"""What goes into the codec comes out of it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, cast

import pytest
from contract_bodies import wire, wire_message
from hypothesis import example, given
from strategies import PROPERTY, conversations, wire_conversations

from siteassist_async import Conversation, UnusableResponseError, codec
from siteassist_async.codec.text import parse


@PROPERTY
@given(conversations)
def test_decoding_undoes_encoding(conversation: Conversation) -> None:
    """Whatever is in a model comes back from its JSON."""
    assert codec.decode_conversation(codec.encode(conversation)) == conversation


@PROPERTY
@given(conversations)
def test_a_conversation_can_write_and_read_itself(conversation: Conversation) -> None:
    """As bytes, as text and as plain values, unknown fields included."""
    text = conversation.to_json()
    assert text == codec.encode(conversation)
    assert Conversation.from_json(text) == Conversation.from_json(text.decode()) == conversation
    assert conversation.to_dict() == parse(text)
    for message in conversation.messages:
        assert message.to_dict() == parse(message.to_json())
    assert conversation.to_dict()["messages"] == [m.to_dict() for m in conversation.messages]


def test_what_a_conversation_writes_is_a_copy() -> None:
    """Whoever changes it changes no frozen value."""
    conversation = Conversation.from_json(json.dumps(wire(tags=["a"])))
    cast("list[str]", conversation.to_dict()["tags"]).append("b")
    assert conversation.to_dict()["tags"] == ["a"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b"", ""),
        ("", ""),
        ("\ud83d", ""),
        (b"\xff", ""),
        (json.dumps(wire(title="\ud83d"), ensure_ascii=False), ""),
        (json.dumps(wire(title=5)), "title"),
        (json.dumps(wire(messages=[wire_message(role=None)])), "messages[0].role"),
    ],
)
def test_what_is_no_conversation_is_a_typed_error(text: bytes | str, path: str) -> None:
    """Which says where it is wrong."""
    with pytest.raises(UnusableResponseError) as caught:
        Conversation.from_json(text)
    assert caught.value.path == path


@PROPERTY
@given(wire_conversations)
@example(wire())
@example(wire(messages=[wire_message()]))
def test_encoding_undoes_decoding(sent: dict[str, Any]) -> None:
    """What was sent is written, what was absent with its default, times as the same moments."""
    conversation = codec.decode_conversation(json.dumps(sent).encode())
    written = json.loads(codec.encode(conversation))
    correct = sent.pop("lastInteractionAt", None)
    sent["lastInterationAt"] = correct or sent["lastInterationAt"]
    for key in ("closedAt", "closeReason", "humanAgent", "title"):
        sent.setdefault(key, None)
    sent["isHumanHandled"] = sent.get("isHumanHandled") or False
    _compare_agents(sent, written)
    _compare_messages(sent.pop("messages", None) or [], written.pop("messages"))
    for key in ("createdAt", "updatedAt", "lastInterationAt", "closedAt"):
        _compare_times(sent, written, key)
    assert written == sent


def _compare_messages(sent: list[dict[str, Any]], written: list[dict[str, Any]]) -> None:
    assert len(sent) == len(written)
    for one, other in zip(sent, written, strict=True):
        for key in ("status", "error", "feedback", "feedbackAt", "metadata", "humanAgent"):
            one.setdefault(key, None)
        for key in ("pageUrl", "pageTitle", "textSelection"):
            one.setdefault(key, None)
        one["parts"] = one.get("parts") or []
        _compare_agents(one, other)
        for key in ("createdAt", "feedbackAt"):
            _compare_times(one, other, key)
        assert other == one


def _compare_agents(sent: dict[str, Any], written: dict[str, Any]) -> None:
    if sent["humanAgent"] is not None:
        sent["humanAgent"] = {"name": None, "image": None, **sent["humanAgent"]}
    assert written.pop("humanAgent") == sent.pop("humanAgent")


def _compare_times(sent: dict[str, Any], written: dict[str, Any], key: str) -> None:
    one, other = sent.pop(key), written.pop(key)
    if one is None or other is None:
        assert one is other
    else:
        assert datetime.fromisoformat(one) == datetime.fromisoformat(other)
