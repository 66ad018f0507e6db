"""msgspec into structs of its own, which is as fast as Python objects come."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads annotations when the program runs
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


class HumanAgent(msgspec.Struct):
    """A human agent."""

    name: str | None = None
    image: str | None = None


class Part(msgspec.Struct):
    """A part of any kind; what is not text loses its fields, for msgspec has no open unions."""

    type: str
    text: str | None = None


class Message(msgspec.Struct, rename="camel"):
    """A message."""

    object: Literal["message"]
    id: str
    created_at: datetime
    chat_id: str
    role: str
    parts: list[Part] = []
    status: str | None = None
    error: str | None = None
    feedback: str | None = None
    feedback_at: datetime | None = None
    metadata: Any = None
    human_agent: HumanAgent | None = None
    page_url: str | None = None
    page_title: str | None = None
    text_selection: str | None = None


class Conversation(msgspec.Struct, rename="camel"):
    """A conversation."""

    object: Literal["conversation"]
    id: str
    created_at: datetime
    updated_at: datetime
    status: str
    last_interation_at: datetime
    closed_at: datetime | None = None
    close_reason: str | None = None
    is_human_handled: bool = False
    human_agent: HumanAgent | None = None
    title: str | None = None
    messages: list[Message] = []


def own_structs() -> Callable[[bytes], object]:
    """Types checked, unknown fields lost."""
    return msgspec.json.Decoder(Conversation).decode
