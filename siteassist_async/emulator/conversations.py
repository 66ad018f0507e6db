"""Generated conversations: one for every ID, the same each time, of plausible size and content."""

from __future__ import annotations

import math
from datetime import date
from functools import lru_cache
from hashlib import shake_128
from typing import Literal, TypeAlias

from siteassist_async.emulator import phrases
from siteassist_async.emulator.ids import uuid4

__all__ = ["Spelling", "conversation", "timestamp"]


Spelling: TypeAlias = Literal["documented", "current"]
"""The specification's `lastInterationAt`, or what the service sends today: `lastInteractionAt`
and a `title`."""

_HEAD_BYTES, _MESSAGE_BYTES = 16, 24
_DAY = 86_400_000  # milliseconds, as all times here
_FIRST_DAY = 1_704_067_200_000  # 2024-01-01T00:00:00.000Z
_TWO_YEARS = 730 * _DAY
_HOURS_LATER = 120_000
_UNIX_EPOCH = date(1970, 1, 1).toordinal()
_TIMES = tuple(f"T{minutes // 60:02d}:{minutes % 60:02d}:" for minutes in range(24 * 60))

_STEP_START: dict[str, object] = {"type": "step-start"}

# In the order of the wire; each message has its own in place of the empty ones.
_MESSAGE: dict[str, object] = {
    "object": "message",
    "id": "",
    "createdAt": "",
    "parts": (),
    "chatId": "",
    "role": "assistant",
    "feedback": None,
    "feedbackAt": None,
    "status": "complete",
    "error": None,
    "metadata": None,
    "humanAgent": None,
    "pageUrl": None,
    "pageTitle": None,
    "textSelection": None,
}


# The number of messages by the hash's first byte: geometric, 0 to 40, about 10 on average.
_SIZES = tuple(
    min(40, int(math.log(1 - (byte + 0.5) / 256) / math.log(1 - 0.088))) for byte in range(256)
)


def conversation(
    conversation_id: str,
    seed: int = 0,
    *,
    messages: int | None = None,
    spelling: Spelling = "documented",
) -> dict[str, object]:
    """Build the conversation of an ID (a UUID in lower case), in the wire's form and key order.

    A pure function: the same ID and seed give the same conversation in every process.
    `messages` asks for that many instead of the natural 0 to 40.
    """
    source = shake_128(f"{seed}:{conversation_id}".encode())
    size = _SIZES[source.digest(1)[0]] if messages is None else messages
    data = source.digest(_HEAD_BYTES + _MESSAGE_BYTES * size)
    head, rest = data[:_HEAD_BYTES], data[_HEAD_BYTES:]
    created = _FIRST_DAY + int.from_bytes(head[1:7], "big") % _TWO_YEARS
    handover = 2 + head[8] % 8 if head[7] < 32 else size
    agent: dict[str, object] | None = None
    if handover < size:
        name, image = phrases.AGENTS[head[9] & 3]
        agent = {"name": name, "image": image}
    sent, last = messages_from(rest, conversation_id, created, handover, agent)
    closed = last + _DAY if head[10] < 160 else None
    interaction = "lastInterationAt" if spelling == "documented" else "lastInteractionAt"
    found: dict[str, object] = {
        "object": "conversation",
        "id": conversation_id,
        "createdAt": timestamp(created),
        "updatedAt": timestamp(closed or last),
        "status": "closed" if closed else "open",
        "closedAt": timestamp(closed) if closed else None,
        "closeReason": phrases.CLOSE_REASONS[head[11] & 3] if closed else None,
        interaction: timestamp(last),
        "isHumanHandled": agent is not None,
        "humanAgent": agent,
    }
    if spelling == "current":
        found["title"] = phrases.TITLES[head[12] & 7]
    found["messages"] = sent
    return found


def messages_from(
    data: bytes,
    conversation_id: str,
    created: int,
    handover: int,
    agent: dict[str, object] | None,
) -> tuple[list[dict[str, object]], int]:
    """Make one message of each 24 bytes of `data`; return them and the time of the last one.

    Times are milliseconds since 1970. Visitor and assistant take turns; from the message number
    `handover` on the human agent answers.
    """
    sent: list[dict[str, object]] = []
    at = created
    for index, start in enumerate(range(0, len(data), _MESSAGE_BYTES)):
        bits = data[start : start + _MESSAGE_BYTES]
        # 1 to 65 s; now and then the visitor is away for hours.
        at += 1_000 + bits[16] * 250 + (bits[17] * _HOURS_LATER if bits[17] > 245 else 0)
        message = _MESSAGE | {
            "id": uuid4(bits[:16].hex()),
            "createdAt": timestamp(at),
            "chatId": conversation_id,
        }
        if index % 2 == 0:
            message["role"] = "user"
            message["parts"] = of_user(bits[18], bits[19])
            if bits[20] < 96:
                message["pageUrl"], message["pageTitle"] = phrases.PAGES[bits[20] & 7]
            if bits[21] < 8:
                message["textSelection"] = phrases.ANSWERS[bits[22] & 31]
        elif index < handover:
            _from_assistant(message, bits, at)
        else:
            message["role"] = "human_agent"
            message["parts"] = [{"type": "text", "text": phrases.AGENT_LINES[bits[18] & 7]}]
            message["status"] = None
            message["humanAgent"] = agent
        sent.append(message)
    return sent, at


def timestamp(milliseconds: int) -> str:
    """Format a time since 1970 as the wire does: ISO 8601, milliseconds, `Z`."""
    days, rest = divmod(milliseconds, 86_400_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{_date(days)}{_TIMES[minutes]}{rest // 1_000:02d}.{rest % 1_000:03d}Z"


@lru_cache(maxsize=1024)
def _date(days: int) -> str:
    return date.fromordinal(_UNIX_EPOCH + days).isoformat()


def _from_assistant(message: dict[str, object], bits: bytes, at: int) -> None:
    message["parts"] = of_assistant(bits[18], bits[19], bits[20])
    if bits[21] < 24:
        message["feedback"] = "dislike" if bits[21] < 8 else "like"
        message["feedbackAt"] = timestamp(at + 5_000)
    elif bits[21] == 255:
        message["status"] = "error"
        message["error"] = "The model is overloaded, please try again."
    if bits[22] < 32:
        # Beyond 2**53, and a fraction that no 32-bit float holds: a record must keep both.
        message["metadata"] = {
            "traceId": 9_007_199_254_740_993 + bits[23],
            "cost": bits[23] / 100_000,
            "usage": {
                "inputTokens": 400 + bits[23],
                "outputTokens": bits[23],
                "cachedInputTokens": None,
            },
            "tags": ["emulated"],
        }


def of_user(choice: int, kind: int) -> list[dict[str, object]]:
    """The parts of a visitor's message: a question, and one time in 32 a picture.

    All parts have the forms of the Vercel AI SDK, which the service's widget renders.
    """
    text: dict[str, object] = {"type": "text", "text": phrases.QUESTIONS[choice & 31]}
    if kind >= 8:
        return [text]
    name = f"screenshot-{choice}.png"
    url = f"https://example.com/uploads/{name}"
    return [text, {"type": "file", "mediaType": "image/png", "filename": name, "url": url}]


def of_assistant(choice: int, detail: int, kind: int) -> list[dict[str, object]]:
    """The parts of an assistant's message: an answer, one time in five with reasoning and so on."""
    answer = phrases.ANSWERS[choice & 31] + phrases.DETAILS[detail & 15]
    text: dict[str, object] = {"type": "text", "text": answer}
    if kind >= 52:
        return [text]
    if kind < 16:
        thought = f"The visitor asks: {phrases.QUESTIONS[choice & 31]!r}"
        return [_STEP_START, {"type": "reasoning", "text": thought, "state": "done"}, text]
    if kind < 34:
        return [text, _source_url(choice), _source_url(choice + 1)]
    if kind < 46:
        url, title = phrases.SOURCES[choice & 3]
        call: dict[str, object] = {
            "type": "tool-searchDocs",
            "toolCallId": f"call_{choice:03d}",
            "state": "output-available",
            "input": {"query": phrases.QUESTIONS[choice & 31], "limit": 3},
            "output": {"results": [{"score": 0.5 + choice / 512, "title": title, "url": url}]},
        }
        return [_STEP_START, call, _STEP_START, text]
    order = {"number": 10_482 + detail, "total": 19.9, "shipped": detail % 2 == 0, "note": None}
    return [text, {"type": "data-order", "id": f"order-{detail}", "data": order}]


def _source_url(choice: int) -> dict[str, object]:
    url, title = phrases.SOURCES[choice & 3]
    return {"type": "source-url", "sourceId": f"src_{choice}", "url": url, "title": title}
