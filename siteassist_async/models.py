"""The models of the API: frozen values, independent of JSON and HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NoReturn, cast

from attrs import field

from siteassist_async.immutable import frozen

if TYPE_CHECKING:
    from types import MemberDescriptorType

# `| str`: unknown values are kept, and editors still complete the known ones.
ConversationStatus = Literal["open", "closed"] | str
Role = Literal["user", "assistant", "human_agent"] | str
MessageStatus = Literal["streaming", "complete", "error"] | str
Feedback = Literal["like", "dislike"] | str


# Models have no slot for weak references: with it, the codec could not use its fast way to fill an
# instance (see `_open_twin` in codec/fast.py).


class _Nothing(Mapping[str, object]):
    """An immutable empty mapping, shared by all values without unknown fields."""

    __slots__ = ()

    def __getitem__(self, key: str) -> NoReturn:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "{}"

    def __reduce__(self) -> str:
        return "NOTHING"


NOTHING = _Nothing()


@frozen(weakref_slot=False)
class HumanAgent:
    """The person who replies in place of the assistant."""

    name: str | None = None
    image: str | None = None
    extra: Mapping[str, object] = NOTHING
    """Fields that this version does not know, by their wire names."""


@frozen(weakref_slot=False)
class TextPart:
    """A text part of a message."""

    text: str
    extra: Mapping[str, object] = NOTHING
    """Fields that this version does not know, by their wire names."""

    @property
    def type(self) -> str:
        """The part's tag on the wire."""
        return "text"


@frozen(weakref_slot=False)
class OtherPart:
    """A part of any other kind, kept as it is: reasoning, a file, a source, a tool call, data.

    The API documents the kinds (those of the Vercel AI SDK), but not their fields.
    """

    type: str
    """The tag: `reasoning`, `file`, `source-url`, `tool-<name>`, `data-<name>`, or a new one.

    Empty if the part has none.
    """
    fields: Mapping[str, object] = NOTHING
    """All other fields, by their wire names; includes a `type` that is not a non-empty string."""


Part = TextPart | OtherPart
"""A part of a message."""


@frozen(weakref_slot=False)
class Message:
    """One message of a conversation."""

    id: str
    created_at: datetime
    chat_id: str
    """The conversation's ID."""
    role: Role
    parts: tuple[Part, ...] = ()
    status: MessageStatus | None = None
    error: str | None = None
    feedback: Feedback | None = None
    feedback_at: datetime | None = None
    metadata: object = None
    """Any JSON value."""
    human_agent: HumanAgent | None = None
    page_url: str | None = None
    page_title: str | None = None
    text_selection: str | None = None
    extra: Mapping[str, object] = NOTHING
    """Fields that this version does not know, by their wire names."""

    @property
    def text(self) -> str:
        """The plain text of the message: its text parts, joined by line breaks."""
        return "\n".join([part.text for part in self.parts if isinstance(part, TextPart)])

    def to_dict(self) -> dict[str, object]:
        """Return the message as the API's JSON object; see `Conversation.to_dict`."""
        return _to_dict(self)

    def to_json(self) -> bytes:
        """Return the message as the API's JSON; see `Conversation.to_json`."""
        return _to_json(self)


@frozen(weakref_slot=False)
class Conversation:
    """A conversation and its messages, oldest first. All times are timezone-aware."""

    id: str
    created_at: datetime
    updated_at: datetime
    status: ConversationStatus
    last_interaction_at: datetime
    """Sent as `lastInterationAt`, its documented name, or as `lastInteractionAt`."""
    closed_at: datetime | None = None
    close_reason: str | None = None
    is_human_handled: bool = False
    human_agent: HumanAgent | None = None
    title: str | None = None
    messages: tuple[Message, ...] = field(default=(), repr=lambda m: f"<{len(m)} messages>")
    extra: Mapping[str, object] = NOTHING
    """Fields that this version does not know, by their wire names."""

    def to_dict(self) -> dict[str, object]:
        """Return the conversation as the API's JSON object: unknown fields included.

        Times are strings, and absent fields have their defaults. The result shares no mutable state
        with the conversation.
        """
        return _to_dict(self)

    def to_json(self) -> bytes:
        """Return the conversation as the API's JSON, without line breaks; see `to_dict`."""
        return _to_json(self)

    @classmethod
    def from_json(cls, text: bytes | str) -> Conversation:
        """Read a conversation from the API's JSON: a response, a record of an export, `to_json`.

        Raises:
            UnusableResponseError: It is not a valid conversation; `path` names the invalid place.
            ResponseTooLargeError: It has too many values to create objects for.
        """
        from siteassist_async.codec import decode_conversation  # noqa: PLC0415 - see `_to_dict`

        return decode_conversation(_encoded(text))


class _Listed:
    """Has a slot for what the codec builds the last message of, known to be valid."""

    __slots__ = ("_last",)
    _last: Any


@frozen(weakref_slot=False)
class ConversationSummary(_Listed):
    """A conversation as it is listed: with its last message instead of all of them."""

    id: str
    created_at: datetime
    updated_at: datetime
    status: ConversationStatus
    last_interaction_at: datetime
    """Sent as `lastInteractionAt`, or as `lastInterationAt`."""
    closed_at: datetime | None = None
    close_reason: str | None = None
    is_human_handled: bool = False
    human_agent: HumanAgent | None = None
    title: str | None = None
    last_message: Message | None = None
    extra: Mapping[str, object] = NOTHING
    """Fields that this version does not know, by their wire names."""

    def to_dict(self) -> dict[str, object]:
        """Return the summary as the API's JSON object; see `Conversation.to_dict`."""
        return _to_dict(self)

    def to_json(self) -> bytes:
        """Return the summary as the API's JSON; see `Conversation.to_json`."""
        return _to_json(self)

    @classmethod
    def from_json(cls, text: bytes | str) -> ConversationSummary:
        """Read a summary from the API's JSON, such as a line of `siteassist list --json`.

        Raises the errors of `Conversation.from_json`.
        """
        from siteassist_async.codec import decode_summary  # noqa: PLC0415 - see `_to_dict`

        return decode_summary(_encoded(text))


_LAST_MESSAGE = cast("MemberDescriptorType", ConversationSummary.last_message)


def _last_message(summary: ConversationSummary) -> Message | None:
    """Build the last message when it is first looked at.

    Few readers of a list look at it, and building it takes longer than all else of a summary.
    """
    try:
        message: Message | None = _LAST_MESSAGE.__get__(summary)
    except AttributeError:
        from siteassist_async.codec import build_message  # noqa: PLC0415 - see `_to_dict`

        message = build_message(getattr(summary, "_last"))  # noqa: B009 - of this module
        _LAST_MESSAGE.__set__(summary, message)
    return message


# Not `__getattr__`, which would slow the access to every attribute.
setattr(ConversationSummary, "last_message", property(_last_message, _LAST_MESSAGE.__set__))  # noqa: B010 - type checkers see the attribute


def _encoded(text: bytes | str) -> bytes:
    # A lone surrogate is not valid UTF-8, so the codec raises its own error for it.
    return text.encode(errors="surrogatepass") if isinstance(text, str) else text


def _to_dict(model: Conversation | ConversationSummary | Message) -> dict[str, object]:
    # Imported here, because the codec imports the models and is slow to import.
    from siteassist_async.codec import as_dict  # noqa: PLC0415 - as above

    return as_dict(model)


def _to_json(model: Conversation | ConversationSummary | Message) -> bytes:
    from siteassist_async.codec import encode  # noqa: PLC0415 - as above

    return encode(model)
