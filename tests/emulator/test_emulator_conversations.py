"""The emulator's conversations and ids."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siteassist_async.contract import documented_body
from siteassist_async.emulator import conversation, conversation_ids
from siteassist_async.emulator.conversations import timestamp
from siteassist_async.emulator.ids import valid_id

ID = "123e4567-e89b-12d3-a456-426614174000"
MESSAGE_KEYS = [
    "object",
    "id",
    "createdAt",
    "parts",
    "chatId",
    "role",
    "feedback",
    "feedbackAt",
    "status",
    "error",
    "metadata",
    "humanAgent",
    "pageUrl",
    "pageTitle",
    "textSelection",
]


def sample(count: int = 1500) -> list[dict[str, Any]]:
    """Conversations of the first ids of the sequence."""
    return [conversation(conversation_id) for conversation_id in conversation_ids(count)]


def every_message() -> list[dict[str, Any]]:
    """All messages of the sample."""
    return [message for found in sample() for message in found["messages"]]


def test_an_id_has_the_same_conversation_in_every_process() -> None:
    """The generator is a pure function of the id and the seed."""
    found: dict[str, Any] = conversation(ID, 7, messages=1)
    assert found["createdAt"] == "2025-11-10T12:28:04.471Z"
    assert found["messages"][0]["id"] == "fbf318dc-7efa-4690-8d8c-d26f3e257099"
    assert found == conversation(ID, 7, messages=1)
    assert found["createdAt"] != conversation(ID, 8)["createdAt"]


def test_the_keys_and_their_order_are_the_documented_ones() -> None:
    """The conversation's are those of the specification, a message's those of the widget."""
    documented = msgspec.json.decode(documented_body(200), type=dict[str, object])
    for found in sample(100):
        assert list(found) == list(documented)
        assert all(list(message) == MESSAGE_KEYS for message in found["messages"])
        assert all(message["chatId"] == found["id"] for message in found["messages"])


def test_the_current_spelling_is_what_the_service_sends_today() -> None:
    """`lastInteractionAt` takes the place of the misspelt key, and a title is sent."""
    documented = conversation(ID)
    current = conversation(ID, spelling="current")
    assert "title" in current
    assert "lastInterationAt" not in current
    assert current["lastInteractionAt"] == documented["lastInterationAt"]
    assert list(current)[-1] == "messages"
    assert current["messages"] == documented["messages"]


def test_sizes_are_natural() -> None:
    """0 to 40 messages, about 10 on average, some conversations empty."""
    sizes = [len(found["messages"]) for found in sample()]
    assert min(sizes) == 0
    assert max(sizes) == 40
    assert 9 < sum(sizes) / len(sizes) < 11


@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_size_may_be_asked_for(size: int) -> None:
    """`messages` gives exactly that many."""
    assert len(cast("list[object]", conversation(ID, messages=size)["messages"])) == size


def test_conversations_are_of_every_kind() -> None:
    """Open and closed, with a reason and without, with and without a human agent."""
    found = sample()
    assert {each["status"] for each in found} == {"open", "closed"}
    assert {each["isHumanHandled"] for each in found} == {True, False}
    assert None in {each["closeReason"] for each in found if each["status"] == "closed"}
    for each in found:
        assert (each["status"] == "closed") == (each["closedAt"] is not None)
        assert (each["humanAgent"] is not None) == each["isHumanHandled"]
        if each["status"] == "open":
            assert each["closeReason"] is None


def test_messages_are_of_every_kind() -> None:
    """Every role, part, feedback and status that the contract names turns up."""
    messages = every_message()
    assert {message["role"] for message in messages} == {"user", "assistant", "human_agent"}
    assert {message["feedback"] for message in messages} == {"like", "dislike", None}
    assert {message["status"] for message in messages} == {"complete", "error", None}
    assert any(message["textSelection"] for message in messages)
    assert any(message["pageUrl"] and not message["pageTitle"] for message in messages)
    kinds = Counter(part["type"] for message in messages for part in message["parts"])
    assert set(kinds) == {
        "text",
        "reasoning",
        "file",
        "source-url",
        "step-start",
        "tool-searchDocs",
        "data-order",
    }
    for message in messages:
        assert (message["role"] == "human_agent") == (message["humanAgent"] is not None)
        assert (message["status"] == "error") == (message["error"] is not None)
        assert (message["feedback"] is None) == (message["feedbackAt"] is None)


def test_text_and_numbers_are_of_the_kinds_that_break_careless_code() -> None:
    """Characters beyond the BMP, U+2028, newlines, and integers beyond 2**53."""
    messages = every_message()
    text = "".join(part.get("text", "") for message in messages for part in message["parts"])
    assert "\u2028" in text
    assert "\n" in text
    assert '"' in text
    assert "\\" in text
    assert any(ord(character) > 0xFFFF for character in text)
    traces = [message["metadata"]["traceId"] for message in messages if message["metadata"]]
    assert max(traces) > 2**53


def test_times_run_forward() -> None:
    """Created, then each message, then the last interaction, then the update."""
    for found in sample(300):
        times = [
            found["createdAt"],
            *(message["createdAt"] for message in found["messages"]),
            found["lastInterationAt"],
            found["updatedAt"],
        ]
        assert times == sorted(times)
        assert found["closedAt"] in {None, found["updatedAt"]}


@given(st.integers(min_value=0, max_value=4_000_000_000_000))
def test_a_timestamp_is_iso_8601_with_milliseconds(milliseconds: int) -> None:
    """It is what datetime makes of the same time."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    expected = moment.replace(microsecond=milliseconds % 1000 * 1000)
    assert timestamp(milliseconds) == expected.isoformat(timespec="milliseconds").replace(
        "+00:00", "Z"
    )


def test_ids_are_distinct_and_of_version_4() -> None:
    """Every id is its own canonical form; so are those of the messages."""
    ids = list(conversation_ids(3000))
    assert len(set(ids)) == 3000
    message_ids = [message["id"] for message in every_message()]
    assert len(set(message_ids)) == len(message_ids)
    for each in itertools.chain(ids, message_ids):
        parsed = uuid.UUID(each)
        assert str(parsed) == each
        assert parsed.version == 4
        assert parsed.variant == uuid.RFC_4122


def test_the_sequence_of_ids_is_reproducible() -> None:
    """A seed settles it, and a shorter one is the beginning of a longer one."""
    assert list(conversation_ids(2000)) == list(conversation_ids(2001))[:2000]
    assert set(conversation_ids(50)).isdisjoint(conversation_ids(50, seed=1))
    assert list(conversation_ids(0)) == []


@given(st.uuids())
def test_any_uuid_is_a_valid_id(known: uuid.UUID) -> None:
    """Of any version, in either case; the lower case is its name."""
    assert valid_id(str(known).upper()) == str(known)
    assert conversation(str(known))["id"] == str(known)


@pytest.mark.parametrize("wrong", ["", "x", ID[:-1], ID + "0", f"{{{ID}}}", ID.replace("-", "")])
def test_other_forms_are_no_ids(wrong: str) -> None:
    """Braces, missing dashes and wrong lengths are refused."""
    with pytest.raises(ValueError, match="not a UUID"):
        valid_id(wrong)
