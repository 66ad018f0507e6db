"""The fast decoder: msgspec validates and parses, and plain functions build the models.

A body that it does not accept is decoded by `convert.py`, which decides and reports errors.
"""

from __future__ import annotations

import os
from datetime import datetime
from functools import reduce
from threading import RLock
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    Protocol,
    TypeVar,
)

import attrs
import msgspec

from siteassist_async.codec.text import Json, parse
from siteassist_async.immutable import frozen
from siteassist_async.models import (
    NOTHING,
    Conversation,
    ConversationSummary,
    HumanAgent,
    Message,
    OtherPart,
    Part,
    TextPart,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

V = TypeVar("V")

MOST_LEARNED = 64
"""Maximum number of unknown fields to learn, of conversations and messages; if more, none are.

Each costs a little for every object, and a server with random field names would add ever more.
"""

MOST_OF_PARTS = 128
"""Maximum number of types of parts to learn, and of their fields."""

_Slots = dict[str, str]
"""Maps the name of an unknown field to the attribute that holds its value."""


class Learned(NamedTuple):
    """The slots for unknown fields, of each kind of object; of the parts of last messages, by type.

    Those parts are decoded to structs, as few readers look at them, and to decode JSON objects to
    dicts takes twice as long. `parts` is None if there are some that cannot be learned, such as
    one without a type. Then they are decoded to dicts.
    """

    conversation: _Slots
    message: _Slots
    parts: dict[str, _Slots] | None


# With a single type, msgspec would accept parts without one.
NOTHING_LEARNED = Learned({}, {}, {"text": {}, "step-start": {}})

_LOCK = RLock()
"""Held while msgspec gets to know a type: two threads that use a new type at once crash it."""

os.register_at_fork(
    before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release
)

_Time = Annotated[datetime, msgspec.Meta(tz=True)]


@frozen
class Head:
    """The part of a conversation that is decoded if only its ID matters."""

    id: str
    object: str = ""


decode_head = msgspec.json.Decoder(Head).decode
"""Decode a head. It checks neither the object type nor the strings that it skips."""


# Fields in the order of the wire, in which msgspec finds each at once.


class _Message(msgspec.Struct, rename="camel", gc=False, kw_only=True):
    learned: ClassVar[_Slots]
    """The slots for unknown fields, of a class by `_with_slots`."""

    object: Literal["message"]
    id: str
    created_at: _Time
    parts: list[Json] | None = None
    chat_id: str
    role: str
    feedback: str | None = None
    feedback_at: _Time | None = None
    status: str | None = None
    error: str | None = None
    metadata: Any = None
    human_agent: Json | None = None
    page_url: str | None = None
    page_title: str | None = None
    text_selection: str | None = None


class _Part(msgspec.Struct, gc=False):
    """A part of a last message; which type it has is a tag of its class by `_with_slots`."""

    learned: ClassVar[_Slots]


class _TextPart(_Part, gc=False, kw_only=True):
    text: str


class _Head(msgspec.Struct, rename="camel", gc=False):
    """What a conversation and its summary share."""

    object: Literal["conversation"]
    id: str
    created_at: _Time
    updated_at: _Time
    status: str
    closed_at: _Time | None = None
    close_reason: str | None = None
    last_interation_at: _Time | None = None
    last_interaction_at: _Time | None = None
    is_human_handled: bool | None = None
    human_agent: Json | None = None
    title: str | None = None


class _Conversation(_Head, rename="camel", gc=False):
    messages: list[_Message] | None = None


class _Summary(_Head, rename="camel", gc=False):
    last_message: _Message | None = None


class _List(msgspec.Struct, gc=False):
    """A list as it is sent; other fields of it are ignored."""

    object: Literal["list"] | None = None


class _Messages(_List, gc=False, kw_only=True):
    data: list[_Message]


_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Summaries(_List, gc=False, kw_only=True):
    data: list[_Summary]
    total: _Count
    offset: _Count


_CONVERSATION = _Conversation.__struct_encode_fields__
_SUMMARY = _Summary.__struct_encode_fields__
_MESSAGE = _Message.__struct_encode_fields__


@frozen
class MessageList:
    """A decoded list of messages."""

    data: tuple[Message, ...]


@frozen
class SummaryList:
    """A decoded page of conversations: how many there are in all, and the offset of the first."""

    data: tuple[ConversationSummary, ...]
    total: int
    offset: int


class _NotForThisError(ValueError):
    """The body has to be decoded by cattrs."""


_FAULTS = (msgspec.MsgspecError, ValueError, RecursionError)
"""The exceptions of msgspec, `parse` and the functions below for such a body."""


class FastDecoder(Generic[V]):
    """Decodes valid bodies of one shape, with the same results as cattrs.

    Bodies with only documented fields, and unknown fields that it has learned, are fastest. Bodies
    with other fields are decoded by way of plain dicts, which takes half as long again, and their
    fields are learned.
    """

    def __init__(self, shape: Shape[V]) -> None:
        self._shape = shape
        self._known: _Known[V] | None = None

    def decode(self, body: bytes) -> V | None:
        """Decode a body; None if cattrs has to decode it."""
        known = self._known  # read once: another thread may replace it meanwhile
        if known is None:  # not at import, which it would slow by 1 ms
            with _LOCK:
                known = self._known = self._known or _Known(self._shape, NOTHING_LEARNED)
        try:
            return known.decode(body)
        except _FAULTS:  # contextlib.suppress would take a fifth of the time of a small body
            pass
        with _LOCK:
            msgspec.json.Decoder(self._shape.documented)  # as `from_dicts` uses the type
        try:
            value = self._shape.from_dicts(parse(body))
        except _FAULTS:
            return None
        if known.learns:
            with _LOCK:
                self._known = (self._known or known).with_fields_of(value)
        return value


class Shape(Protocol[V]):
    """What a body consists of."""

    @property
    def documented(self) -> type[msgspec.Struct]:
        """The struct without slots for unknown fields."""
        ...

    def type(self, learned: Learned) -> type[Any]:
        """Return the struct to decode to, with slots for the unknown fields learned so far."""
        ...

    def build(self, sent: Any, learned: Learned) -> V:  # noqa: ANN401 - of that type
        """Make the models of a struct."""
        ...

    def from_dicts(self, raw: Any) -> V:  # noqa: ANN401 - whatever `parse` has read
        """Make the models of plain values."""
        ...

    def learn(self, value: V, learned: Learned) -> Learned:
        """Add the unknown fields of a value."""
        ...


class _Known(Generic[V]):
    """A decoder for bodies with the documented fields and the unknown ones learned so far."""

    def __init__(self, shape: Shape[V], learned: Learned, *, learns: bool = True) -> None:
        self.learns = learns
        self._shape = shape
        self._learned = learned
        self._decode = msgspec.json.Decoder(shape.type(learned)).decode

    def decode(self, body: bytes) -> V:
        return self._shape.build(self._decode(body), self._learned)

    def with_fields_of(self, value: V) -> _Known[V]:
        learned = self._shape.learn(value, self._learned)
        if len(learned.conversation) + len(learned.message) > MOST_LEARNED:
            return _Known(self._shape, Learned({}, {}, None), learns=False)
        return self if learned == self._learned else _Known(self._shape, learned)


class ConversationShape:
    """A conversation with its messages."""

    documented = _Conversation

    def type(self, learned: Learned) -> type[Any]:
        """As `Shape.type`."""
        message = _with_slots(_Message, learned.message)
        messages = ("messages", list[message] | None, None)  # type: ignore[valid-type] # made here
        return _with_slots(_Conversation, learned.conversation, messages)

    def build(self, sent: _Conversation, learned: Learned) -> Conversation:
        """As `Shape.build`."""
        of_conversation, of_message, _ = learned
        messages = [
            _message(m, _learned(m, of_message) if of_message else NOTHING)
            for m in sent.messages or ()
        ]
        extra = _learned(sent, of_conversation) if of_conversation else NOTHING
        return _conversation(sent, messages, extra)

    def from_dicts(self, raw: Any) -> Conversation:  # noqa: ANN401 - as `Shape.from_dicts`
        """As `Shape.from_dicts`."""
        sent = msgspec.convert(raw, self.documented)
        messages = _messages_from_dicts(sent.messages or (), raw.get("messages") or ())
        return _conversation(sent, messages, _others(raw, _CONVERSATION))

    def learn(self, value: Conversation, learned: Learned) -> Learned:
        """As `Shape.learn`."""
        return learned._replace(
            conversation=_grown(learned.conversation, value.extra),
            message=_grown(learned.message, _unknown_of(value.messages)),
        )


class SummaryListShape:
    """A page of conversations, each with its last message."""

    documented = _Summaries

    def type(self, learned: Learned) -> type[Any]:
        """As `Shape.type`."""
        parts: list[tuple[str, Any, Any]] = []
        if learned.parts is not None:
            kinds: list[Any] = [
                _with_slots(_TextPart if tag == "text" else _Part, slots, tag=tag)
                for tag, slots in learned.parts.items()
            ]
            kind: Any = reduce(lambda one, other: one | other, kinds)
            parts = [("parts", list[kind] | None, None)]
        message = _with_slots(_Message, learned.message, *parts)
        last = ("last_message", message | None, None)
        summary = _with_slots(_Summary, learned.conversation, last)
        return _list_of(summary, _Summaries)

    def build(self, sent: _Summaries, learned: Learned) -> SummaryList:
        """As `Shape.build`."""
        of_conversation, are_dicts = learned.conversation, learned.parts is None
        summaries: list[ConversationSummary] = []
        extra: Mapping[str, object] = NOTHING
        for summary in sent.data:  # as `_fill_head`, whose call would take a tenth of the time
            last_interaction_at = summary.last_interaction_at or summary.last_interation_at
            if last_interaction_at is None:
                raise _NotForThisError
            if of_conversation:
                extra = _learned(summary, of_conversation)
            agent, last = summary.human_agent, summary.last_message
            made = _OpenSummary()
            made.id = summary.id
            made.created_at = summary.created_at
            made.updated_at = summary.updated_at
            made.status = summary.status
            made.last_interaction_at = last_interaction_at
            made.closed_at = summary.closed_at
            made.close_reason = summary.close_reason
            made.is_human_handled = summary.is_human_handled or False
            made.human_agent = None if agent is None else _human_agent(agent)
            made.title = summary.title
            made.extra = extra
            if last is None:
                made.last_message = None
            else:  # built when it is looked at: here, what `_message` refuses is refused
                if are_dicts and not all(map(_is_valid, last.parts or ())):
                    raise _NotForThisError
                if last.human_agent is not None:
                    _human_agent({**last.human_agent})
                made._last = last  # noqa: SLF001 - of this package
            made.__class__ = ConversationSummary
            summaries.append(made)
        return SummaryList(tuple(summaries), sent.total, sent.offset)

    def from_dicts(self, raw: Any) -> SummaryList:  # noqa: ANN401 - as `Shape.from_dicts`
        """As `Shape.from_dicts`."""
        sent = msgspec.convert(raw, self.documented)
        summaries: list[ConversationSummary] = []
        for summary, of in zip(sent.data, raw["data"], strict=True):
            made, last = _OpenSummary(), summary.last_message
            made.last_message = last and _message(last, _others(of["lastMessage"], _MESSAGE))
            _fill_head(made, summary, _others(of, _SUMMARY))
            made.__class__ = ConversationSummary
            summaries.append(made)
        return SummaryList(tuple(summaries), sent.total, sent.offset)

    def learn(self, value: SummaryList, learned: Learned) -> Learned:
        """As `Shape.learn`."""
        last = [summary.last_message for summary in value.data if summary.last_message]
        return Learned(
            _grown(learned.conversation, [n for summary in value.data for n in summary.extra]),
            _grown(learned.message, _unknown_of(last)),
            learned.parts and _with_kinds(learned.parts, last),
        )


class MessageListShape:
    """A list of messages."""

    documented = _Messages

    def type(self, learned: Learned) -> type[Any]:
        """As `Shape.type`."""
        return _list_of(_with_slots(_Message, learned.message), _Messages)

    def build(self, sent: _Messages, learned: Learned) -> MessageList:
        """As `Shape.build`."""
        return MessageList(tuple([_message(m, _learned(m, learned.message)) for m in sent.data]))

    def from_dicts(self, raw: Any) -> MessageList:  # noqa: ANN401 - as `Shape.from_dicts`
        """As `Shape.from_dicts`."""
        sent = msgspec.convert(raw, self.documented)
        return MessageList(tuple(_messages_from_dicts(sent.data, raw["data"])))

    def learn(self, value: MessageList, learned: Learned) -> Learned:
        """As `Shape.learn`."""
        return learned._replace(message=_grown(learned.message, _unknown_of(value.data)))


def _with_slots(
    cls: type[msgspec.Struct], slots: _Slots, *fields: tuple[str, Any, Any], tag: str | None = None
) -> type[Any]:
    more = [
        (attribute, Any, msgspec.field(name=name, default=msgspec.UNSET))
        for name, attribute in slots.items()
    ]
    return msgspec.defstruct(
        "Sent",
        [*fields, *more],
        bases=(cls,),
        namespace={"learned": slots},
        gc=False,
        kw_only=True,  # otherwise a field that is declared again would come first
        forbid_unknown_fields=True,
        tag=tag,
        tag_field=tag and "type",
    )


def _list_of(item: type[Any], cls: type[msgspec.Struct]) -> type[Any]:
    data = [("data", list[item])]  # type: ignore[valid-type] # made here
    return msgspec.defstruct("Sent", data, bases=(cls,), gc=False, kw_only=True)


def _grown(slots: _Slots, names: Iterable[str]) -> _Slots:
    grown = dict(slots)
    for name in names:
        if _can_be_learned(name):
            grown.setdefault(name, f"extra_{len(grown)}")
    return grown


def _with_kinds(
    kinds: Mapping[str, _Slots], messages: Iterable[Message]
) -> dict[str, _Slots] | None:
    """Add the types of the messages' parts and their fields; None if one cannot be learned."""
    grown = dict(kinds)
    for part in [part for message in messages for part in message.parts]:
        fields = part.extra if isinstance(part, TextPart) else part.fields
        if part.type == "" or not all(map(_can_be_learned, (part.type, *fields))):
            return None
        grown[part.type] = _grown(grown.get(part.type, {}), fields)
    return grown if len(grown) + sum(map(len, grown.values())) <= MOST_OF_PARTS else None


def _can_be_learned(name: str) -> bool:
    # msgspec does not support names that JSON has to escape.
    return name.isprintable() and not {'"', "\\"} & {*name}


def _learned(sent: msgspec.Struct, slots: _Slots) -> Mapping[str, object]:
    rest: Json = {}
    for name, attribute in slots.items():
        value = getattr(sent, attribute)
        if value is not msgspec.UNSET:
            rest[name] = value
    return rest or NOTHING


def _messages_from_dicts(sent: Iterable[_Message], raw: Iterable[Json]) -> list[Message]:
    return [_message(message, _others(of, _MESSAGE)) for message, of in zip(sent, raw, strict=True)]


def _unknown_of(messages: Iterable[Message]) -> list[str]:
    return [name for message in messages for name in message.extra]


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
    return type(cls.__name__, cls.__bases__, {"__slots__": [a.name for a in attrs.fields(cls)]})


_OpenConversation = _open_twin(Conversation)
_OpenSummary = _open_twin(ConversationSummary)
_OpenMessage = _open_twin(Message)
_OpenHumanAgent = _open_twin(HumanAgent)
_OpenTextPart = _open_twin(TextPart)
_OpenOtherPart = _open_twin(OtherPart)


def _conversation(
    sent: _Conversation, messages: list[Message], extra: Mapping[str, object]
) -> Conversation:
    made = _OpenConversation()
    _fill_head(made, sent, extra)
    made.messages = tuple(messages)
    made.__class__ = Conversation
    model: Conversation = made
    return model


def build_message(sent: _Message) -> Message:
    """Build a last message that was found to be valid; any number of times, in any thread."""
    # Building takes the JSON objects to pieces.
    parts = [_as_sent(part) for part in sent.parts or ()]
    agent = sent.human_agent and {**sent.human_agent}
    whole = msgspec.structs.replace(sent, parts=parts, human_agent=agent)
    return _message(whole, _learned(sent, sent.learned))


def _as_sent(part: Json | _Part) -> Json:
    if not isinstance(part, _Part):
        return {**part}
    text = {"text": part.text} if isinstance(part, _TextPart) else {}
    return {"type": part.__struct_config__.tag, **text, **_learned(part, part.learned)}


def _fill_head(made: Any, sent: _Head, extra: Mapping[str, object]) -> None:  # noqa: ANN401 - an open twin
    last_interaction_at = sent.last_interaction_at or sent.last_interation_at
    if last_interaction_at is None:
        raise _NotForThisError
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
    made.extra = extra


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
    text = sent.get("text")
    if type(text) is not str:
        raise _NotForThisError
    made = _OpenTextPart()
    made.text = text
    if len(sent) == 2:
        made.extra = NOTHING
    else:
        del sent["type"], sent["text"]
        made.extra = sent
    made.__class__ = TextPart
    part: TextPart = made
    return part


def _is_valid(part: Json) -> bool:
    return type(part.get("text")) is str or part.get("type") != "text"


def has_tag(part: Json) -> bool:
    """Whether a part has a `type`; one without is kept as it is, like an unknown part."""
    tag = part.get("type")
    return isinstance(tag, str) and tag != ""
