"""A conversation for every id: the same one each time, of a plausible size and content."""

from __future__ import annotations

import math
from hashlib import shake_128
from typing import Literal, TypeAlias

from siteassist_async.emulator import phrases
from siteassist_async.emulator.messages import MESSAGE_BYTES, messages_from, timestamp

__all__ = ["Spelling", "conversation"]

Spelling: TypeAlias = Literal["documented", "current"]
"""The specification's `lastInterationAt`, or what the service sends today: `lastInteractionAt`
and a `title`."""

_HEAD_BYTES = 16
_DAY = 86_400_000  # milliseconds, as all times here
_FIRST_DAY = 1_704_067_200_000  # 2024-01-01T00:00:00.000Z
_TWO_YEARS = 730 * _DAY


def _geometric_sizes(share: float, longest: int) -> tuple[int, ...]:
    odds = ((index + 0.5) / 256 for index in range(256))
    return tuple(min(longest, int(math.log(1 - chance) / math.log(1 - share))) for chance in odds)


# The number of messages by the hash's first byte: 0 to 40, about 10 on average.
_SIZES = _geometric_sizes(share=0.088, longest=40)


def conversation(
    conversation_id: str,
    seed: int = 0,
    *,
    messages: int | None = None,
    spelling: Spelling = "documented",
) -> dict[str, object]:
    """Build the conversation of an id (a UUID in lower case), in the wire's form and key order.

    A pure function: the same id and seed give the same conversation in every process.
    `messages` asks for that many instead of the natural 0 to 40.
    """
    source = shake_128(f"{seed}:{conversation_id}".encode())
    size = _SIZES[source.digest(1)[0]] if messages is None else messages
    data = source.digest(_HEAD_BYTES + MESSAGE_BYTES * size)
    head, rest = data[:_HEAD_BYTES], data[_HEAD_BYTES:]
    created = _FIRST_DAY + int.from_bytes(head[1:7], "big") % _TWO_YEARS
    handover = 2 + head[8] % 8 if head[7] < 32 else size
    agent = _human_agent(head[9]) if handover < size else None
    sent, last = messages_from(rest, conversation_id, created, handover, agent)
    closed = last + _DAY if head[10] < 160 else None
    documented: dict[str, object] = {
        "object": "conversation",
        "id": conversation_id,
        "createdAt": timestamp(created),
        "updatedAt": timestamp(closed or last),
        "status": "closed" if closed else "open",
        "closedAt": timestamp(closed) if closed else None,
        "closeReason": phrases.CLOSE_REASONS[head[11] & 3] if closed else None,
        "lastInterationAt": timestamp(last),
        "isHumanHandled": agent is not None,
        "humanAgent": agent,
        "messages": sent,
    }
    return documented if spelling == "documented" else _as_sent_today(documented, head[12])


def _human_agent(choice: int) -> dict[str, object]:
    name, image = phrases.AGENTS[choice & 3]
    return {"name": name, "image": image}


def _as_sent_today(documented: dict[str, object], choice: int) -> dict[str, object]:
    today = {
        "lastInteractionAt" if key == "lastInterationAt" else key: value
        for key, value in documented.items()
    }
    sent = today.pop("messages")
    return {**today, "title": phrases.TITLES[choice & 7], "messages": sent}
