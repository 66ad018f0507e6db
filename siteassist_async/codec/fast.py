"""The fast decoder: msgspec validates and parses, and plain functions build the models.

A body that it does not accept is decoded by `convert.py`, which decides and reports errors.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import attrs
import msgspec

from siteassist_async.codec.text import Json, parse
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
    from collections.abc import Iterable, Mapping

MOST_LEARNED = 64
"""Maximum number of unknown fields to learn; if there are more, none are.

Each costs a little for every object, and a server with random field names would add ever more.
"""

_Time = Annotated[datetime, msgspec.Meta(tz=True)]


@attrs.frozen
class Head:
    """The part of a conversation that is decoded if only its id matters."""

    id: str
    object: str = ""


decode_head = msgspec.json.Decoder(Head).decode
"""Decode a head. It checks neither the object type nor the strings that it skips."""


class _Message(msgspec.Struct, rename="camel", gc=False):
    object: Literal["message"]
    id: str
    created_at: _Time
    chat_id: str
    role: str
    parts: list[Json] | None = None
    status: str | None = None
    error: str | None = None
    feedback: str | None = None
    feedback_at: _Time | None = None
    metadata: Any = None
    human_agent: Json | None = None
    page_url: str | None = None
    page_title: str | None = None
    text_selection: str | None = None


class _Conversation(msgspec.Struct, rename="camel", gc=False):
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
    human_agent: Json | None = None
    title: str | None = None
    messages: list[_Message] | None = None


_CONVERSATION = _Conversation.__struct_encode_fields__
_MESSAGE = _Message.__struct_encode_fields__


class _NotForThisError(ValueError):
    """The body has to be decoded by cattrs."""


_FAULTS = (msgspec.MsgspecError, ValueError, RecursionError)
"""The exceptions of msgspec, `parse` and the functions below for such a body."""


class FastDecoder:
    """Decodes valid bodies, with the same results as cattrs.

    Bodies with only documented fields, and unknown fields that it has learned, are fastest. Bodies
    with other fields are decoded by way of plain dicts, which takes half as long again, and their
    fields are learned.
    """

    def __init__(self) -> None:
        self._known: _Known | None = None

    def decode(self, body: bytes) -> Conversation | None:
        """Decode a body; None if cattrs has to decode it."""
        known = self._known  # read once: another thread may replace it meanwhile
        if known is None:  # not at import, which it would slow by 1 ms
            known = self._known = _Known({}, {})
        try:
            return known.decode(body)
        except _FAULTS:  # contextlib.suppress would take a fifth of the time of a small body
            pass
        try:
            conversation = _from_dicts(parse(body))
        except _FAULTS:
            return None
        if known.learns:
            self._known = known.with_fields_of(conversation)
        return conversation


_Slots = dict[str, str]
"""Maps the name of an unknown field to the attribute that holds its value."""


class _Known:
    """A decoder for bodies with the documented fields and the unknown ones learned so far."""

    def __init__(self, of_conversation: _Slots, of_message: _Slots, *, learns: bool = True) -> None:
        self.learns = learns
        self._of_conversation = of_conversation
        self._of_message = of_message
        message = _with_slots(_Message, of_message)
        messages = ("messages", list[message] | None, None)  # type: ignore[valid-type] # made here
        conversation = _with_slots(_Conversation, of_conversation, messages)
        self._decode = msgspec.json.Decoder(conversation).decode

    def decode(self, body: bytes) -> Conversation:
        sent = self._decode(body)
        slots = self._of_message
        messages = [
            _message(m, _learned(m, slots) if slots else NOTHING) for m in sent.messages or ()
        ]
        slots = self._of_conversation
        return _conversation(sent, messages, _learned(sent, slots) if slots else NOTHING)

    def with_fields_of(self, conversation: Conversation) -> _Known:
        of_conversation = _grown(self._of_conversation, conversation.extra)
        of_message = _grown(
            self._of_message, [name for message in conversation.messages for name in message.extra]
        )
        if len(of_conversation) + len(of_message) > MOST_LEARNED:
            return _Known({}, {}, learns=False)
        if (of_conversation, of_message) == (self._of_conversation, self._of_message):
            return self
        return _Known(of_conversation, of_message)


def _with_slots(
    cls: type[msgspec.Struct], slots: _Slots, *fields: tuple[str, Any, Any]
) -> type[Any]:
    more = [
        (attribute, Any, msgspec.field(name=name, default=msgspec.UNSET))
        for name, attribute in slots.items()
    ]
    return msgspec.defstruct(
        "Sent", [*fields, *more], bases=(cls,), gc=False, forbid_unknown_fields=True
    )


def _grown(slots: _Slots, names: Iterable[str]) -> _Slots:
    grown = dict(slots)
    for name in names:
        # msgspec does not support names that JSON has to escape.
        if name.isprintable() and not {'"', "\\"} & {*name}:
            grown.setdefault(name, f"extra_{len(grown)}")
    return grown


def _learned(sent: msgspec.Struct, slots: _Slots) -> Mapping[str, object]:
    rest: Json = {}
    for name, attribute in slots.items():
        value = getattr(sent, attribute)
        if value is not msgspec.UNSET:
            rest[name] = value
    return rest or NOTHING


def _from_dicts(raw: Any) -> Conversation:  # noqa: ANN401 - whatever `parse` has read
    sent = msgspec.convert(raw, _Conversation)
    messages = [
        _message(message, _others(of, _MESSAGE))
        for message, of in zip(sent.messages or (), raw.get("messages") or (), strict=True)
    ]
    return _conversation(sent, messages, _others(raw, _CONVERSATION))


def _others(raw: Json, known: tuple[str, ...]) -> Mapping[str, object]:
    """Remove the documented fields from a JSON object, and return the rest."""
    pop = raw.pop
    for name in known:
        pop(name, None)
    return raw or NOTHING


def _open_twin(cls: type[Any]) -> type[Any]:
    """Return a class with the same slots that is not frozen.

    The `__init__` of a frozen class sets each attribute with a function call, which takes half of
    the decoding time. So instances are created of this class and filled, and then their `__class__`
    is set to the frozen class, which has the same memory layout.
    """
    return type(cls.__name__, (), {"__slots__": [a.name for a in attrs.fields(cls)]})


_OpenConversation = _open_twin(Conversation)
_OpenMessage = _open_twin(Message)
_OpenHumanAgent = _open_twin(HumanAgent)
_OpenTextPart = _open_twin(TextPart)
_OpenOtherPart = _open_twin(OtherPart)


def _conversation(
    sent: _Conversation, messages: list[Message], extra: Mapping[str, object]
) -> Conversation:
    last_interaction_at = sent.last_interaction_at or sent.last_interation_at
    if last_interaction_at is None:
        raise _NotForThisError
    made = _OpenConversation()
    made.id = sent.id
    made.created_at = sent.created_at
    made.updated_at = sent.updated_at
    made.status = sent.status
    made.last_interaction_at = last_interaction_at
    made.closed_at = sent.closed_at
    made.close_reason = sent.close_reason
    made.is_human_handled = sent.is_human_handled or False
    made.human_agent = None if sent.human_agent is None else _human_agent(sent.human_agent)
    made.title = sent.title
    made.messages = tuple(messages)
    made.extra = extra
    made.__class__ = Conversation
    model: Conversation = made
    return model


def _message(sent: _Message, extra: Mapping[str, object]) -> Message:
    made = _OpenMessage()
    made.id = sent.id
    made.created_at = sent.created_at
    made.chat_id = sent.chat_id
    made.role = sent.role
    made.parts = tuple(map(_part, sent.parts)) if sent.parts else ()
    made.status = sent.status
    made.error = sent.error
    made.feedback = sent.feedback
    made.feedback_at = sent.feedback_at
    made.metadata = sent.metadata
    made.human_agent = None if sent.human_agent is None else _human_agent(sent.human_agent)
    made.page_url = sent.page_url
    made.page_title = sent.page_title
    made.text_selection = sent.text_selection
    made.extra = extra
    made.__class__ = Message
    model: Message = made
    return model


def _human_agent(sent: Json) -> HumanAgent:
    made = _OpenHumanAgent()
    made.name = _optional(sent.pop("name", None))
    made.image = _optional(sent.pop("image", None))
    made.extra = sent or NOTHING
    made.__class__ = HumanAgent
    model: HumanAgent = made
    return model


def _optional(value: object) -> str | None:
    if value is None or type(value) is str:
        return value
    raise _NotForThisError


def _part(sent: Json) -> Part:
    tag = sent.get("type")
    if tag != "text":
        if not has_tag(sent):
            return OtherPart("", sent)
        del sent["type"]
        made = _OpenOtherPart()
        made.type = tag
        made.fields = sent
        made.__class__ = OtherPart
        other: OtherPart = made
        return other
    del sent["type"]
    text = sent.pop("text", None)
    if type(text) is not str:
        raise _NotForThisError
    made = _OpenTextPart()
    made.text = text
    made.extra = sent or NOTHING
    made.__class__ = TextPart
    part: TextPart = made
    return part


def has_tag(part: Json) -> bool:
    """Whether a part has a `type`; one without is kept as it is, like an unknown part."""
    tag = part.get("type")
    return isinstance(tag, str) and tag != ""
