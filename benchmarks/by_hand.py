"""What a project writes for itself: dataclasses, filled by hand, nothing checked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_Json = dict[str, Any]


@dataclass(slots=True)
class HumanAgent:
    """A human agent."""

    name: str | None
    image: str | None


@dataclass(slots=True)
class TextPart:
    """A text part."""

    text: str


@dataclass(slots=True)
class OtherPart:
    """Any other part, with its fields."""

    type: str
    fields: _Json


@dataclass(slots=True)
class Message:
    """A message."""

    id: str
    created_at: datetime
    chat_id: str
    role: str
    parts: list[TextPart | OtherPart]
    status: str | None
    error: str | None
    feedback: str | None
    feedback_at: datetime | None
    metadata: object
    human_agent: HumanAgent | None
    page_url: str | None
    page_title: str | None
    text_selection: str | None


@dataclass(slots=True)
class Conversation:
    """A conversation."""

    id: str
    created_at: datetime
    updated_at: datetime
    status: str
    last_interaction_at: datetime
    closed_at: datetime | None
    close_reason: str | None
    is_human_handled: bool
    human_agent: HumanAgent | None
    title: str | None
    messages: list[Message]


def conversation(sent: Mapping[str, Any]) -> Conversation:
    """Fill a conversation."""
    return Conversation(
        id=sent["id"],
        created_at=datetime.fromisoformat(sent["createdAt"]),
        updated_at=datetime.fromisoformat(sent["updatedAt"]),
        status=sent["status"],
        last_interaction_at=datetime.fromisoformat(
            sent.get("lastInteractionAt") or sent["lastInterationAt"]
        ),
        closed_at=_time(sent["closedAt"]),
        close_reason=sent["closeReason"],
        is_human_handled=sent.get("isHumanHandled", False),
        human_agent=_human_agent(sent.get("humanAgent")),
        title=sent.get("title"),
        messages=[_message(message) for message in sent.get("messages") or ()],
    )


def _message(sent: _Json) -> Message:
    return Message(
        id=sent["id"],
        created_at=datetime.fromisoformat(sent["createdAt"]),
        chat_id=sent["chatId"],
        role=sent["role"],
        parts=[_part(part) for part in sent["parts"]],
        status=sent["status"],
        error=sent["error"],
        feedback=sent["feedback"],
        feedback_at=_time(sent["feedbackAt"]),
        metadata=sent["metadata"],
        human_agent=_human_agent(sent["humanAgent"]),
        page_url=sent["pageUrl"],
        page_title=sent["pageTitle"],
        text_selection=sent["textSelection"],
    )


def _part(sent: _Json) -> TextPart | OtherPart:
    tag = sent.pop("type")
    return TextPart(sent["text"]) if tag == "text" else OtherPart(tag, sent)


def _human_agent(sent: _Json | None) -> HumanAgent | None:
    return None if sent is None else HumanAgent(sent.get("name"), sent.get("image"))


def _time(sent: str | None) -> datetime | None:
    return None if sent is None else datetime.fromisoformat(sent)
