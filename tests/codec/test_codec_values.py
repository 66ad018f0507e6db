"""Values of a conversation, from the wire and back to it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from contract_bodies import (
    AT_NOON,
    NOON,
    WIDGET_MESSAGE,
    fault,
    read,
    wire,
    wire_message,
    without,
)
from fakes import ID, OTHER_ID

from siteassist_async.codec import decode_conversation, decode_requested, encode
from siteassist_async.contract import documented_body
from siteassist_async.errors import UnusableResponseError, WrongConversationError
from siteassist_async.models import Conversation, Message, OtherPart, TextPart


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"lastInterationAt": NOON}, AT_NOON),
        ({"lastInteractionAt": NOON}, AT_NOON),
        ({"lastInterationAt": NOON, "lastInteractionAt": None}, AT_NOON),
        ({"lastInterationAt": None, "lastInteractionAt": NOON}, AT_NOON),
        ({"lastInterationAt": "2020-01-01T00:00:00.000Z", "lastInteractionAt": NOON}, AT_NOON),
        ({"lastInterationAt": "never", "lastInteractionAt": NOON}, AT_NOON),
    ],
)
def test_both_spellings_give_last_interaction_at(
    names: dict[str, object], expected: datetime
) -> None:
    """Where both come, the correct one counts."""
    conversation = read({**without(wire(), "lastInterationAt"), **names})
    assert conversation.last_interaction_at == expected
    assert dict(conversation.extra) == {}


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"lastInterationAt": None},
        {"lastInteractionAt": None},
        {"lastInteractionAt": 5},
        {"lastInterationAt": NOON, "lastInteractionAt": "never"},
        {"lastInterationAt": NOON, "lastInteractionAt": ""},
    ],
)
def test_a_fault_in_either_spelling_is_reported_by_the_documented_name(
    names: dict[str, object],
) -> None:
    """It is the name that a reader finds in the specification."""
    assert fault({**without(wire(), "lastInterationAt"), **names})[0] == "lastInterationAt"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("2024-03-01T12:00:00.000Z", AT_NOON),
        ("2024-03-01T12:00:00Z", AT_NOON),
        ("2024-03-01T12:00:00.5Z", AT_NOON.replace(microsecond=500_000)),
        ("2024-03-01T12:00:00.123456Z", AT_NOON.replace(microsecond=123_456)),
        ("2024-03-01T12:00:00.123456789Z", AT_NOON.replace(microsecond=123_457)),
        ("2024-03-01T12:00:00-00:00", AT_NOON),
        ("2024-03-01T14:00:00+02:00", AT_NOON),
        ("2024-03-01T14:00:00+0200", AT_NOON),
        ("2024-03-01 12:00:00z", AT_NOON),
        ("0001-01-01T00:00:00+14:00", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))),
    ],
)
def test_times_are_aware(sent: str, expected: datetime) -> None:
    """The offset is read, and no digit is cut off."""
    conversation = read(wire(createdAt=sent))
    assert conversation.created_at == expected
    assert conversation.created_at.tzinfo is not None


@pytest.mark.parametrize(
    "sent",
    [
        "2024-03-01T12:00Z",
        "2024-03-01T12:00:007Z",
        "2024-03-01T12:00:00,5Z",
        "20240301T120000Z",
        "2024-W09-5T12:00:00Z",
        "2024-03-01T24:00:00Z",
        "2024-03-01T12:00:60Z",
        "2024-03-01T12:00:00+24:00",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        " 2024-03-01T12:00:00Z",
        "2024-03-01T12:00:00Z\n",
        "2024-03-01\ud80012:00:00Z",
        "２０２４-03-01T12:00:00Z",  # noqa: RUF001 - full-width digits are the point
    ],
)
def test_what_is_no_time_is_refused(sent: str) -> None:
    """RFC 3339 is what is read; the many other forms of ISO 8601 are not."""
    path, line = fault(wire(createdAt=sent))
    assert path == "createdAt"
    assert "expected a time such as 2024-01-15T10:30:00.000Z" in line


@pytest.mark.parametrize(
    ("sent", "written"),
    [
        ("2024-03-01T12:00:00Z", "2024-03-01T12:00:00.000Z"),
        ("2024-03-01T12:00:00.5Z", "2024-03-01T12:00:00.500Z"),
        ("2024-03-01T12:00:00.123400Z", "2024-03-01T12:00:00.123400Z"),
        ("2024-03-01T14:00:00+02:00", "2024-03-01T12:00:00.000Z"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00.000+14:00"),
        ("9999-12-31T23:59:59.999-14:00", "9999-12-31T23:59:59.999-14:00"),
    ],
)
def test_times_are_written_as_the_api_writes_them(sent: str, written: str) -> None:
    """In UTC with milliseconds; with more digits, or with their offset, where they must."""
    encoded = encode(read(wire(createdAt=sent)))
    assert json.loads(encoded)["createdAt"] == written


def test_the_widgets_message() -> None:
    """The contract's own example is read in full."""
    body = json.dumps(wire(messages=[json.loads(WIDGET_MESSAGE)])).encode()
    (message,) = decode_conversation(body).messages
    assert message == Message(
        id="978f5d62-80f4-47fe-9357-c7726923c04f",
        created_at=datetime(2025, 8, 19, 9, 29, 41, 469_000, tzinfo=UTC),
        chat_id="a9e1d8ba-6bd5-4ac5-a6ac-5fa58abe8095",
        role="assistant",
        parts=(TextPart("Absolutely! 🎨"),),
        status="complete",
    )
    assert message.text == "Absolutely! 🎨"


def test_the_documented_body() -> None:
    """It is read in full, and written again as it was."""
    body = documented_body(200)
    conversation = decode_requested(body, ID)
    opened = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
    assert conversation == Conversation(
        ID, opened, opened, "open", last_interaction_at=opened + timedelta(minutes=5)
    )
    assert json.loads(encode(conversation)) == {**json.loads(body), "title": None}


def test_what_is_unknown_survives_a_round_trip() -> None:
    """Fields, statuses, roles and parts of tomorrow are kept, wherever they are."""
    sent = wire(
        status="snoozed",
        tags=["a", {"b": None}],
        extra=None,
        humanAgent={"name": None, "image": None, "team": 7},
        title=None,
        messages=[
            wire_message(
                role="system",
                status="paused",
                feedback="meh",
                tokens=2**70,
                parts=[
                    {"type": "text", "text": "a", "lang": "en"},
                    {"type": "reasoning", "text": "b"},
                    {"type": "tool-search", "extra": {"q": "\ud83d"}},
                    {"type": ""},
                ],
            )
        ],
    )
    conversation = read(sent)
    assert conversation.status == "snoozed"
    assert conversation.extra == {"tags": ["a", {"b": None}], "extra": None}
    assert conversation.messages[0].parts[1] == OtherPart("reasoning", {"text": "b"})
    assert conversation.messages[0].text == "a"
    assert json.loads(encode(conversation)) == sent


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"text": "a"},
        {"type": None},
        {"type": 7, "text": "a"},
        {"type": ["text"]},
        {"type": ""},
        {"kind": "text", "extra": {"a": None}},
    ],
    ids=str,
)
@pytest.mark.parametrize("more", [{}, {"unknown": "\ud83d"}], ids=["fast", "slow"])
def test_a_part_without_a_tag_is_kept_whole(
    part: dict[str, object], more: dict[str, object]
) -> None:
    """It costs nobody the conversation, and is written as it came."""
    sent = wire(messages=[wire_message(parts=[part, {"type": "text", "text": "b"}])], **more)
    conversation = read(sent)
    assert conversation.messages[0].parts == (OtherPart("", part), TextPart("b"))
    assert conversation.messages[0].text == "b"
    assert json.loads(encode(conversation))["messages"] == sent["messages"]


@pytest.mark.parametrize(
    "value", [2**64, -(2**63) - 1, 10**4_000, 1e308, 5e-324, "\ud83d", "\U0001f3a8"]
)
def test_every_value_that_is_read_can_be_written(value: object) -> None:
    """Integers beyond 64 bits and lone surrogates too."""
    conversation = read(wire(new=value))
    assert json.loads(encode(conversation))["new"] == value


def test_a_conversation_is_written_on_one_line() -> None:
    """So that it can be a line of a file."""
    conversation = read(wire(title="a\nb\u2028c", messages=[wire_message()]))
    assert len(encode(conversation).splitlines()) == 1


def test_a_nesting_that_can_be_read_can_be_written() -> None:
    """Reading goes hundreds of levels deep, and so does writing."""
    arrays: object = None
    objects: object = None
    for _ in range(600):
        arrays, objects = [arrays], {"deeper": objects}
    deep = [wire_message(metadata=arrays), wire_message(metadata=objects)]
    conversation = read(wire(arrays=arrays, objects=objects, messages=deep))
    assert decode_conversation(encode(conversation)) == conversation


def test_the_right_conversation_is_returned_in_either_case() -> None:
    """A server may write the id in upper case."""
    body = json.dumps(wire(id=ID.upper())).encode()
    assert decode_requested(body, ID).id == ID.upper()


def test_another_conversation_is_refused() -> None:
    """The error says which came, and which was asked for."""
    with pytest.raises(WrongConversationError) as caught:
        decode_requested(documented_body(200), OTHER_ID)
    assert caught.value.path == "id"
    assert str(caught.value) == f"unusable response at id: requested {OTHER_ID}, got {ID}"


def test_the_error_keeps_the_beginning_of_the_body() -> None:
    """200 bytes of it, cut anywhere."""
    with pytest.raises(UnusableResponseError) as caught:
        decode_conversation(b'{"a":"' + "é".encode() * 300)
    assert caught.value.excerpt == '{"a":"' + "é" * 97
    assert caught.value.__cause__ is caught.value.__context__ is None  # can be sent to any process
