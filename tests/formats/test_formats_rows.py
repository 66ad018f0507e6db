"""From records to rows and back: documented ones, odd ones, and what is no record at all."""

from __future__ import annotations

import gc
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from logs import new_id, record
from strategies import PROPERTY, bodies, wire_conversations

from siteassist_async.codec import decode_conversation
from siteassist_async.emulator import conversation
from siteassist_async.formats.rows import (
    CONVERSATIONS,
    MESSAGES,
    NotAConversationError,
    decode,
    encode,
    no_collections,
)

if TYPE_CHECKING:
    from siteassist_async.formats.rows import Column, Row

TIME = "2024-01-15T10:30:00.000Z"
PLAIN: dict[str, Any] = {
    "object": "conversation",
    "id": new_id(0),
    "createdAt": TIME,
    "updatedAt": TIME,
    "status": "open",
    "lastInterationAt": TIME,
}
MESSAGE: dict[str, Any] = {
    "object": "message",
    "id": "m",
    "createdAt": TIME,
    "chatId": new_id(0),
    "role": "user",
}


def named(columns: tuple[Column, ...], row: Row) -> dict[str, Any]:
    """The values of a row by their columns, without those that are absent."""
    pairs = zip(columns, row, strict=True)
    return {column.name: value for column, value in pairs if value is not None}


def of_conversation(text: str | bytes) -> dict[str, Any]:
    """The row of one conversation."""
    rows = decode([text.encode() if isinstance(text, str) else text])
    return named(CONVERSATIONS, rows.conversations[0])


def with_fields(**fields: object) -> dict[str, Any]:
    """The row of the plain conversation with other fields."""
    return of_conversation(msgspec.json.encode(PLAIN | fields))


def of_message(**fields: object) -> dict[str, Any]:
    """The row of a plain message with other fields."""
    line = msgspec.json.encode(PLAIN | {"messages": [MESSAGE | fields]})
    return named(MESSAGES, decode([line]).messages[0])


EXPECTED = {
    "id": new_id(0),
    "created_at": TIME,
    "updated_at": TIME,
    "status": "open",
    "last_interaction_at": TIME,
    "message_count": 0,
}


def test_a_plain_conversation() -> None:
    """Documented fields, as they were sent."""
    assert with_fields() == EXPECTED
    agent = {"name": "Ann", "image": None}
    assert with_fields(isHumanHandled=False, humanAgent=agent, title="T") == EXPECTED | {
        "is_human_handled": False,
        "human_agent_name": "Ann",
        "title": "T",
    }


@settings(PROPERTY, max_examples=60)
@given(bodies(wire_conversations))
def test_any_conversation_survives(body: bytes) -> None:
    """Rows are written as a record of the same rows, and the record reads as the same model."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    (conversation,), messages = (rows := decode([body])).conversations, rows.messages
    written = encode(conversation, messages)
    assert decode([written]) == rows
    if b"\\ud" not in body.lower():  # lone surrogates are replaced
        assert decode_conversation(written) == decode_conversation(body)


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        ({"new": 1}, {"extra": '{"new":1}'}),
        ({"title": 5}, {"extra": '{"title":5}'}),
        ({"humanAgent": {"name": "A", "x": [1]}}, {"extra": '{"humanAgent":{"x":[1]}}'}),
        ({"humanAgent": {"name": "A"}, "new": 1}, {"extra": '{"new":1}'}),
        ({"humanAgent": {}}, {"extra": '{"humanAgent":{}}'}),
        ({"humanAgent": {"name": None, "image": None}}, {"extra": '{"humanAgent":{}}'}),
        ({"humanAgent": "Ann"}, {"extra": '{"humanAgent":"Ann"}'}),
        ({"closedAt": "yesterday"}, {"extra": '{"closedAt":"yesterday"}'}),
        ({"closedAt": "2024-01-15T10:30:00"}, {"extra": '{"closedAt":"2024-01-15T10:30:00"}'}),
        ({"messages": [1]}, {"extra": '{"messages":[1]}'}),
        ({"messages": None, "new": None}, {"extra": '{"new":null}'}),
        ({"lastInteractionAt": TIME}, {}),
        ({"lastInterationAt": None, "lastInteractionAt": TIME, "title": None}, {}),
        ({"lastInterationAt": None, "lastInteractionAt": TIME, "x": 1}, {"extra": '{"x":1}'}),
        (
            {"lastInteractionAt": "2025-01-01T00:00:00Z"},
            {
                "last_interaction_at": "2025-01-01T00:00:00Z",
                "extra": f'{{"lastInterationAt":"{TIME}"}}',
            },
        ),
    ],
)
def test_what_does_not_fit_is_in_extra(fields: dict[str, Any], more: dict[str, Any]) -> None:
    """Unknown fields, values of another type, times that are none."""
    row = with_fields(**fields)
    human_agent_name = row.pop("human_agent_name", None)
    assert human_agent_name in {None, "A"}
    assert row == EXPECTED | more
    line = msgspec.json.encode(PLAIN | fields)
    rows = decode([line])
    assert decode([encode(rows.conversations[0], rows.messages)]) == rows


def test_what_is_absent_is_absent() -> None:
    """Only the id and the object must be there."""
    assert of_conversation('{"object":"conversation","id":"x"}') == {"id": "x", "message_count": 0}


@pytest.mark.parametrize(
    ("parts", "text", "kept"),
    [
        ([{"type": "text", "text": "a"}], "a", False),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb", True),
        ([{"type": "file", "url": "u"}], None, True),
        ([{"type": "text", "text": "a", "x": 1}], "a", True),
        ([{"type": "step-start"}, {"type": "text", "text": "a"}], "a", True),
        ([{"type": "text", "text": 5}, {"type": "text", "text": "b"}], "b", True),
        ([{"type": "text", "text": 5}], None, True),
        ([], None, True),
        (["a"], None, True),
        ("a", None, True),
        (None, None, False),
    ],
)
def test_text_and_parts(parts: object, text: str | None, kept: bool) -> None:  # noqa: FBT001 - a row of the table
    """The text of the text parts; all parts where they are more than that."""
    row = of_message(parts=parts)
    assert row.get("text") == text
    assert row.get("parts") == (msgspec.json.encode(parts).decode() if kept else None)
    assert of_message(parts=parts, new=1) == row | {"extra": '{"new":1}'}


def test_messages_keep_what_does_not_fit() -> None:
    """Their other conversation, their metadata, their times."""
    known = of_message()
    assert known == {
        "conversation_id": new_id(0),
        "position": 0,
        "id": "m",
        "created_at": TIME,
        "role": "user",
    }
    assert of_message(chatId="other") == known | {"extra": '{"chatId":"other"}'}
    assert of_message(object="note", x=None) == known | {"extra": '{"x":null,"object":"note"}'}
    assert of_message(metadata={"a": 1}, feedbackAt=TIME) == known | {
        "metadata": '{"a":1}',
        "feedback_at": TIME,
    }
    assert of_message(humanAgent={"name": None}) == known | {"extra": '{"humanAgent":{}}'}
    del known["role"]
    assert of_message(role=7) == known | {"extra": '{"role":7}'}


def test_numbers_are_as_they_were_sent() -> None:
    """Whatever a float or 64 bits can hold."""
    line = json.dumps(PLAIN)[:-1] + ',"a":18446744073709551617,"b":1e400,"c":1.10}'
    assert of_conversation(line)["extra"] == '{"a":18446744073709551617,"b":1e400,"c":1.10}'


def test_lone_surrogates_are_replaced() -> None:
    """In names too; pairs and escaped backslashes are not."""
    line = (
        json.dumps(PLAIN)[:-1] + r',"title":"a\ud800\\ud800\ud83d\ude00\udc00","\udfffx":"\u00e9"}'
    )
    row = of_conversation(line)
    assert row["title"] == "a\ufffd\\ud800😀\ufffd"
    assert row["extra"] == '{"\ufffdx":"\\u00e9"}'
    known = of_conversation(json.dumps(PLAIN | {"title": "\ud800"}))
    assert known == EXPECTED | {"title": "\ufffd"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"\n", "truncated"),
        (b"{}\n", "no ID"),
        (b'{"object":"conversation"}', "no ID"),
        (b'{"object":"message","id":"m"}', "another object"),
        (b'{"object":"conversation","id":7}', "no ID"),
        (b"[1]", "Expected `object`"),
        (b'{"object":"conversation","id":"x","a":NaN}', "malformed"),
        (b'{"object":"conversation","id":"x","title":"\xff"}', "utf-8|UTF-8"),
        # Hypothesis raises the limit of recursion.
        (b'{"object":"conversation","id":"x","a":' + b"[" * 5000, "deeply|truncated"),
    ],
)
def test_what_is_no_record_is_refused(line: bytes, why: str) -> None:
    """With its number among the lines, and the reason."""
    with pytest.raises(NotAConversationError, match=why) as caught:
        decode([record(1), line])
    assert caught.value.index == 1


def test_the_newest_record_of_a_conversation() -> None:
    """With its own messages only."""
    rows = decode([record(2), record(3), record(2, title="new"), record(5)])
    kept = rows.newest()
    assert [row[0] for row in kept.conversations] == [new_id(3), new_id(2), new_id(5)]
    assert [row[0] for row in kept.messages] == [new_id(3)] * 3 + [new_id(2)] * 2 + [new_id(5)]
    assert kept.conversations[1][10] == "new"
    assert kept.newest() is kept
    assert conversation(new_id(5), seed=5, messages=1)["id"] == new_id(5)


@pytest.mark.parametrize("is_enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(*, is_enabled: bool) -> None:
    """After an error, too."""
    was_enabled = gc.isenabled()
    try:
        (gc.enable if is_enabled else gc.disable)()
        with suppress(ZeroDivisionError), no_collections():
            assert not gc.isenabled()
            raise ZeroDivisionError
        assert gc.isenabled() is is_enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()
