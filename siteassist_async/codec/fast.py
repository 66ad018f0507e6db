"""The good path below cattrs: msgspec checks and reads, two functions make the models of it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import attrs
import msgspec

from siteassist_async.codec.convert import has_tag
from siteassist_async.models import (
    NOTHING,
    Conversation,
    HumanAgent,
    Message,
    OtherPart,
    Part,
    TextPart,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MOST_LEARNED = 32
"""Unknown fields that are learned; a server that makes them up gets no more of our memory."""

_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _HumanAgent(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str | None = None
    image: str | None = None


class _Message(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    object: Literal["message"]
    id: str
    created_at: _Time
    chat_id: str
    role: str
    parts: list[dict[str, Any]] | None = None
    status: str | None = None
    error: str | None = None
    feedback: str | None = None
    feedback_at: _Time | None = None
    metadata: Any = None
    human_agent: _HumanAgent | None = None
    page_url: str | None = None
    page_title: str | None = None
    text_selection: str | None = None


class _Conversation(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    object: Literal["conversation"]
    id: str
    created_at: _Time
    updated_at: _Time
    status: str
    last_interation_at: _Time | None = None
    last_interaction_at: _Time | None = None
    closed_at: _Time | None = None
    close_reason: str | None = None
    is_human_handled: bool | None = None
    human_agent: _HumanAgent | None = None
    title: str | None = None
    messages: list[_Message] | None = None


def _open_twin(cls: type[Any]) -> type[Any]:
    """A class of the same slots, not frozen.

    A frozen class sets each attribute by a call, which is half the time of decoding. So an
    instance is filled as its open twin's, and then becomes one of the frozen class.
    """
    attributes = {a.name: attrs.field(default=a.default) for a in attrs.fields(cls)}
    return attrs.make_class(
        cls.__name__, attributes, slots=True, weakref_slot=False, eq=False, repr=False, init=True
    )


_OpenConversation = _open_twin(Conversation)
_OpenMessage = _open_twin(Message)
_OpenTextPart = _open_twin(TextPart)


class FastDecoder:
    """Reads bodies with the documented fields, and with those unknown ones it has learned.

    A body with other fields, with what only the standard library's JSON reads, or with a fault
    is not for it. What it makes is equal to what cattrs makes.
    """

    def __init__(self) -> None:
        self._known = _Known({}, {})

    def decode(self, body: bytes) -> Conversation | None:
        """Read a body; None where it is not for this decoder."""
        known = self._known  # one value throughout: another thread's decoding may learn meanwhile
        try:
            return _conversation(known.decode(body), known)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, _NotForThisError):
            return None

    def learn(self, conversation: Conversation) -> None:
        """Take the unknown fields of a body that cattrs has read for known from now on."""
        known = self._known
        of_conversation = _numbered(known.of_conversation, conversation.extra)
        of_message = _numbered(
            known.of_message, [name for message in conversation.messages for name in message.extra]
        )
        if (of_conversation, of_message) != (known.of_conversation, known.of_message):
            self._known = _Known(of_conversation, of_message)


class _Known:
    """Unknown fields by name, each with the attribute that holds it, and a decoder for them."""

    def __init__(self, of_conversation: dict[str, str], of_message: dict[str, str]) -> None:
        self.of_conversation = of_conversation
        self.of_message = of_message
        message = msgspec.defstruct("Sent", _fields(of_message), bases=(_Message,), gc=False)
        messages = ("messages", list[message] | None, None)  # type: ignore[valid-type] # made here
        conversation = msgspec.defstruct(
            "Sent", [messages, *_fields(of_conversation)], bases=(_Conversation,), gc=False
        )
        self.decode = cast(
            "Callable[[bytes], _Conversation]", msgspec.json.Decoder(conversation).decode
        )


class _NotForThisError(ValueError):
    """What cattrs has to judge."""


def _conversation(sent: _Conversation, known: _Known) -> Conversation:
    last_interaction_at = sent.last_interaction_at or sent.last_interation_at
    if last_interaction_at is None:
        raise _NotForThisError
    messages: Iterable[Message] = ()
    if sent.messages and known.of_message:
        messages = [_message(m, _rest(m, known.of_message)) for m in sent.messages]
    elif sent.messages:
        messages = [_message(m, NOTHING) for m in sent.messages]
    made: Conversation = _OpenConversation(
        sent.id,
        sent.created_at,
        sent.updated_at,
        sent.status,
        last_interaction_at,
        sent.closed_at,
        sent.close_reason,
        sent.is_human_handled or False,
        sent.human_agent and _human_agent(sent.human_agent),
        sent.title,
        tuple(messages),
        _rest(sent, known.of_conversation) if known.of_conversation else NOTHING,
    )
    made.__class__ = Conversation
    return made


def _message(sent: _Message, rest: Mapping[str, object]) -> Message:
    made: Message = _OpenMessage(
        sent.id,
        sent.created_at,
        sent.chat_id,
        sent.role,
        tuple([_part(part) for part in sent.parts or ()]),
        sent.status,
        sent.error,
        sent.feedback,
        sent.feedback_at,
        sent.metadata,
        sent.human_agent and _human_agent(sent.human_agent),
        sent.page_url,
        sent.page_title,
        sent.text_selection,
        rest,
    )
    made.__class__ = Message
    return made


def _human_agent(sent: _HumanAgent) -> HumanAgent:
    return HumanAgent(sent.name, sent.image)


def _part(sent: dict[str, Any]) -> Part:
    tag = sent.get("type")
    if tag != "text":
        if not has_tag(sent):
            return OtherPart("", sent)
        del sent["type"]
        return OtherPart(_string(tag), sent)
    del sent["type"]
    made: TextPart = _OpenTextPart(_string(sent.pop("text", None)), sent or NOTHING)
    made.__class__ = TextPart
    return made


def _string(value: object) -> str:
    if type(value) is str:
        return value
    raise _NotForThisError


def _numbered(known: dict[str, str], names: Iterable[str]) -> dict[str, str]:
    numbered = dict(known)
    for name in names:
        # Some names msgspec refuses (quotes, controls, lone surrogates): none is an identifier.
        if len(numbered) < MOST_LEARNED and name.isidentifier():
            numbered.setdefault(name, f"extra_{len(numbered)}")
    return numbered


def _fields(known: dict[str, str]) -> list[tuple[str, Any, Any]]:
    return [
        (attribute, Any, msgspec.field(name=name, default=msgspec.UNSET))
        for name, attribute in known.items()
    ]


def _rest(sent: msgspec.Struct, known: dict[str, str]) -> Mapping[str, object]:
    values = [(name, getattr(sent, attribute)) for name, attribute in known.items()]
    return {name: value for name, value in values if value is not msgspec.UNSET} or NOTHING
