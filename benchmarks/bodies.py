"""The API's answers as the emulator writes them, in the sizes that the benchmarks use."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from siteassist_async.emulator import conversation, conversation_ids

SIZES = (0, 10, 100)

ids = conversation_ids


def body(conversation_id: str, messages: int) -> bytes:
    """One conversation of so many messages."""
    return msgspec.json.encode(conversation(conversation_id, messages=messages))


def list_body(total: int, offset: str, page: str) -> bytes:
    """A page of 100 conversations, the oldest first.

    In it, `offset` stands for the offset, and `page` for the four digits of the page's number.
    """
    data: list[dict[str, Any]] = []
    for number, conversation_id in enumerate(conversation_ids(100)):
        listed: dict[str, Any] = conversation(conversation_id, spelling="current")
        messages = listed.pop("messages")
        listed["lastMessage"] = messages[-1] if messages else None
        listed["id"] = f"00000000-0000-4000-8000-000000{page}{number:02}"
        listed["createdAt"] = f"2024-01-01T00:00:00.{page}{number:02}Z"
        data.append(listed)
    whole = {"object": "list", "total": total, "limit": 100, "offset": 0, "data": data}
    return msgspec.json.encode(whole).replace(b'"offset":0', f'"offset":{offset}'.encode())


def bodies(messages: int) -> list[bytes]:
    """Some conversations of one size: fewer of the large, so that all sizes fit the same cache."""
    some = conversation_ids(max(1, min(16, 400 // (messages + 1))))
    return [body(conversation_id, messages) for conversation_id in some]


def with_unknown_fields(text: bytes, count: int = 1) -> bytes:
    """The same conversation with so many more fields in it and in each of its messages."""
    sent, messages = _read(text)
    for value in (sent, *messages):
        value.update({f"x-field-{number}": {"of": "tomorrow"} for number in range(count)})
    return msgspec.json.encode(sent)


def with_made_up_fields(text: bytes) -> bytes:
    """The same conversation with a field in it and in each of its messages, no two of one name."""
    sent, messages = _read(text)
    for number, value in enumerate((sent, *messages)):
        value[f"field{number}"] = "of tomorrow"
    return msgspec.json.encode(sent)


def with_unknown_fields_within(text: bytes) -> bytes:
    """The same conversation with a field more in each part, and in each `humanAgent`."""
    sent, messages = _read(text)
    for value in (sent, *messages):
        for inner in (value["humanAgent"], *value.get("parts", [])):
            if inner is not None:
                inner["of"] = "tomorrow"
    return msgspec.json.encode(sent)


def broken(text: bytes) -> bytes:
    """The same conversation, its last time a number."""
    sent, messages = _read(text)
    (messages[-1] if messages else sent)["createdAt"] = 1_755_595_781
    return msgspec.json.encode(sent)


def _read(text: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    sent = cast("dict[str, Any]", msgspec.json.decode(text))
    return sent, sent["messages"]
