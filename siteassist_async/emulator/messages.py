"""The messages of a conversation, made from bytes of its hash."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

from siteassist_async.emulator import parts, phrases
from siteassist_async.emulator.ids import uuid4

__all__ = ["MESSAGE_BYTES", "messages_from", "timestamp"]

MESSAGE_BYTES = 24

_UNIX_EPOCH = date(1970, 1, 1).toordinal()
_TIMES = tuple(f"T{minutes // 60:02d}:{minutes % 60:02d}:" for minutes in range(24 * 60))
_HOURS_LATER = 120_000


def messages_from(
    data: bytes,
    conversation_id: str,
    created: int,
    handover: int,
    agent: dict[str, object] | None,
) -> tuple[list[dict[str, object]], int]:
    """Make one message of each 24 bytes of `data`; give them and the time of the last one.

    Times are milliseconds since 1970. Visitor and assistant take turns; from the message number
    `handover` on the human agent answers.
    """
    sent: list[dict[str, object]] = []
    at = created
    for index, start in enumerate(range(0, len(data), MESSAGE_BYTES)):
        bits = data[start : start + MESSAGE_BYTES]
        # 1 to 65 s; now and then the visitor is away for hours.
        at += 1_000 + bits[16] * 250 + (bits[17] * _HOURS_LATER if bits[17] > 245 else 0)
        message = _message(bits, conversation_id, at)
        if index % 2 == 0:
            _from_user(message, bits)
        elif index < handover:
            _from_assistant(message, bits, at)
        else:
            _from_human_agent(message, bits, agent)
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


def _message(bits: bytes, conversation_id: str, at: int) -> dict[str, object]:
    return {
        "object": "message",
        "id": uuid4(bits[:16].hex()),
        "createdAt": timestamp(at),
        "parts": [],
        "chatId": conversation_id,
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


def _from_user(message: dict[str, object], bits: bytes) -> None:
    message["role"] = "user"
    message["parts"] = parts.of_user(bits[18], bits[19])
    if bits[20] < 96:
        message["pageUrl"], message["pageTitle"] = phrases.PAGES[bits[20] & 7]
    if bits[21] < 8:
        message["textSelection"] = phrases.ANSWERS[bits[22] & 31]


def _from_assistant(message: dict[str, object], bits: bytes, at: int) -> None:
    message["parts"] = parts.of_assistant(bits[18], bits[19], bits[20])
    if bits[21] < 24:
        message["feedback"] = "dislike" if bits[21] < 8 else "like"
        message["feedbackAt"] = timestamp(at + 5_000)
    elif bits[21] == 255:
        message["status"] = "error"
        message["error"] = "The model is overloaded, please try again."
    if bits[22] < 32:
        message["metadata"] = _metadata(bits[23])


def _from_human_agent(
    message: dict[str, object], bits: bytes, agent: dict[str, object] | None
) -> None:
    message["role"] = "human_agent"
    message["parts"] = [{"type": "text", "text": phrases.AGENT_LINES[bits[18] & 7]}]
    message["status"] = None
    message["humanAgent"] = agent


def _metadata(bits: int) -> dict[str, object]:
    # Beyond 2**53, and a fraction that no float of 32 bits holds: a record must keep both.
    return {
        "traceId": 9_007_199_254_740_993 + bits,
        "cost": bits / 100_000,
        "usage": {"inputTokens": 400 + bits, "outputTokens": bits, "cachedInputTokens": None},
        "tags": ["emulated"],
    }
