"""What the API tells of a conversation: frozen values that know neither JSON nor HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Literal, NoReturn

from attrs import field, frozen

# `| str`: a value that the API adds tomorrow is kept, and editors still offer today's.
ConversationStatus = Literal["open", "closed"] | str
Role = Literal["user", "assistant", "human_agent"] | str
MessageStatus = Literal["streaming", "complete", "error"] | str
Feedback = Literal["like", "dislike"] | str


# No weak references to models: the slot for them would keep the codec from filling an instance
# faster than a frozen class's own __init__ does.


class _Nothing(Mapping[str, object]):
    """The empty mapping that all values without unknown fields share; it cannot be changed."""

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
    """The person who answers in the assistant's place."""

    name: str | None = None
    image: str | None = None
    extra: Mapping[str, object] = NOTHING
    """Fields that this version does not know, by their wire names."""


@frozen(weakref_slot=False)
class TextPart:
    """A piece of a message's text."""

    text: str
    extra: Mapping[str, object] = NOTHING
    """Fields that this version does not know, by their wire names."""

    @property
    def type(self) -> str:
        """The part's tag on the wire."""
        return "text"


@frozen(weakref_slot=False)
class OtherPart:
    """A part of any other kind, kept whole: reasoning, a file, a source, a tool call, data.

    The contract names the kinds (those of the Vercel AI SDK) and not their fields.
    """

    type: str
    """The tag: `reasoning`, `file`, `source-url`, `tool-<name>`, `data-<name>`, or a new one.

    Empty where the part came without one.
    """
    fields: Mapping[str, object] = NOTHING
    """Every other field, by its wire name; a `type` that is no tag (null, say) is among them."""


Part = TextPart | OtherPart
"""A piece of a message."""


@frozen(weakref_slot=False)
class Message:
    """One message of a conversation."""

    id: str
    created_at: datetime
    chat_id: str
    """The conversation's id."""
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
        """The message's plain text: its text parts, a line break between two."""
        return "\n".join([part.text for part in self.parts if isinstance(part, TextPart)])

    def to_dict(self) -> dict[str, object]:
        """The message as the API's JSON object; see `Conversation.to_dict`."""
        return _to_dict(self)

    def to_json(self) -> bytes:
        """The message as the API's JSON; see `Conversation.to_json`."""
        return _to_json(self)


@frozen(weakref_slot=False)
class Conversation:
    """A conversation and its messages, oldest first. All times are aware."""

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
        """The conversation as the API's JSON object, with its names and its unknown fields.

        Times are strings, and a field that was absent has its default. Nothing in it is shared with
        the conversation.
        """
        return _to_dict(self)

    def to_json(self) -> bytes:
        """The conversation as the API's JSON, on one line without a line break; see `to_dict`."""
        return _to_json(self)

    @classmethod
    def from_json(cls, text: bytes | str) -> Conversation:
        """Read a conversation from the API's JSON: a response, a record of an export, `to_json`.

        Raises:
            UnusableResponseError: It is not the JSON of a conversation; `path` says where.
            ResponseTooLargeError: It has more values than objects are made of.
        """
        from siteassist_async.codec import decode_conversation  # noqa: PLC0415 - see `_to_dict`

        # A lone surrogate is no UTF-8, which the codec says with its own error.
        return decode_conversation(
            text.encode(errors="surrogatepass") if isinstance(text, str) else text
        )


def _to_dict(model: Conversation | Message) -> dict[str, object]:
    # Not at the top: the codec makes the models, and takes a while to import.
    from siteassist_async.codec import as_dict  # noqa: PLC0415 - as above

    return as_dict(model)


def _to_json(model: Conversation | Message) -> bytes:
    from siteassist_async.codec import encode  # noqa: PLC0415 - as above

    return encode(model)
