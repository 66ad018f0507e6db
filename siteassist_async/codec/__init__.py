"""The codec: JSON to models and back. Only this package knows the field names of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import msgspec
from attrs import fields, resolve_types

from siteassist_async.codec.fast import (
    ConversationShape,
    FastDecoder,
    Head,
    MessageList,
    MessageListShape,
    SummaryList,
    SummaryListShape,
    build_message,
    decode_head,
)
from siteassist_async.codec.text import (
    BOM,
    MOST_VALUES,
    NotJsonError,
    check_density,
    dump,
    excerpt,
    parse,
    wire_name,
)
from siteassist_async.errors import ConfigurationError, Seconds, WrongConversationError, printable
from siteassist_async.models import Conversation, ConversationSummary, Message
from siteassist_async.retry_after import seconds_from_body

if TYPE_CHECKING:
    from attrs import AttrsInstance

    from siteassist_async.errors import Details


__all__ = [
    "ErrorBody",
    "as_dict",
    "build_message",
    "check_requested",
    "decode_conversation",
    "decode_details",
    "decode_error",
    "decode_messages",
    "decode_requested",
    "decode_summaries",
    "decode_summary",
    "encode",
    "encode_body",
    "order_name",
    "record_requested",
]

V = TypeVar("V", bound="AttrsInstance")

_conversation = FastDecoder(ConversationShape())
_summary_list = FastDecoder(SummaryListShape())
_message_list = FastDecoder(MessageListShape())

_SMALLER = "ask for smaller pages (page_size)"


def decode_requested(body: bytes, conversation_id: str) -> Conversation:
    """Decode a body, and check that it is the requested conversation.

    Raises:
        UnusableResponseError: As for `decode_conversation`.
        WrongConversationError: It is another conversation.
    """
    conversation = decode_conversation(body)
    if conversation.id.lower() != conversation_id:
        raise wrong_conversation(conversation.id, conversation_id)
    return conversation


def decode_conversation(body: bytes) -> Conversation:
    """Decode a conversation.

    Raises:
        UnusableResponseError: The body does not match the documented schema. No bytes cause any
            other exception.
        ResponseTooLargeError: The body has too many values to create objects for.
    """
    return _decode(body, _conversation, Conversation, "use get_raw for its bytes")


def decode_summaries(body: bytes) -> SummaryList:
    """Decode a page of conversations; raises the errors of `decode_conversation`."""
    return _decode(body, _summary_list, SummaryList, _SMALLER)


def decode_messages(body: bytes, conversation_id: str) -> tuple[Message, ...]:
    """Decode a list of messages, and check that all are of the requested conversation.

    Raises:
        UnusableResponseError: As for `decode_conversation`.
        WrongConversationError: One is of another conversation.
    """
    messages = _decode(body, _message_list, MessageList, _SMALLER).data
    for index, message in enumerate(messages):
        if message.chat_id.lower() != conversation_id:
            raise wrong_conversation(message.chat_id, conversation_id, f"data[{index}].chatId")
    return messages


def decode_summary(text: bytes) -> ConversationSummary:
    """Decode a single summary; raises the errors of `decode_conversation`."""
    from siteassist_async.codec.convert import structure_body  # noqa: PLC0415 - see there

    check_density(text, "read it with the json module")
    return structure_body(text, ConversationSummary)


def _decode(body: bytes, fast: FastDecoder[V], cls: type[V], advice: str) -> V:
    if len(body) > MOST_VALUES:  # a shorter one cannot have more values
        check_density(body, advice)
    value = fast.decode(body)
    if value is None:
        from siteassist_async.codec.convert import structure_body  # noqa: PLC0415 - see there

        value = structure_body(body, cls)
    return value


def order_name(attribute: str) -> str:
    """Name an attribute of a conversation as the parameter `orderBy` does."""
    return "lastInteractionAt" if attribute == "last_interaction_at" else wire_name(attribute)


def encode(model: Conversation | ConversationSummary | Message) -> bytes:
    """Encode a model as the API would send it, on one line.

    Unknown fields, values and parts are preserved. Absent fields are written with their defaults,
    and `last_interaction_at` under its documented (misspelt) name.
    """
    from siteassist_async.codec.convert import converter  # noqa: PLC0415 - see there

    return dump(converter.unstructure(model))


def as_dict(model: Conversation | ConversationSummary | Message) -> dict[str, object]:
    """Return what `encode` writes as plain values, which share nothing with the model."""
    return cast("dict[str, object]", parse(encode(model)))


def encode_body(value: object) -> bytes:
    """Encode the JSON body of a request: plain values, datetimes, UUIDs, attrs instances and such.

    NaN and infinity become null.

    Raises:
        ConfigurationError: A value cannot be represented in JSON.
    """
    try:
        return dump(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"json cannot be serialized: {error}") from error


class ErrorBody(NamedTuple):
    """The parts of an error body, as far as it could be decoded."""

    message: str
    code: str | None = None
    details: object = None
    retry_after: object = None


def decode_error(body: bytes) -> ErrorBody:
    """Decode an error body; never raises: an excerpt is the message if it is not as documented."""
    try:
        error = _member(parse(body), "error")
    except NotJsonError:
        return ErrorBody(excerpt(body))
    message, code, details = (_member(error, key) for key in ("message", "code", "details"))
    return ErrorBody(
        message=message if isinstance(message, str) else excerpt(body),
        code=code if isinstance(code, str) else None,
        details=details,
        retry_after=_member(details, "retryAfter"),
    )


def decode_details(raw: object, details_class: type[Details] | None) -> Details | None:
    """Convert an error's `details` to the class documented for it; None if they do not fit."""
    if details_class is None:
        return None
    values: dict[str, Any] = {}
    for field in fields(resolve_types(details_class)):
        sent = _member(raw, wire_name(field.name))
        if field.type == Seconds:
            sent = seconds_from_body(sent)
        elif not isinstance(sent, str):
            sent = None
        values[field.name] = sent
    return None if None in values.values() else details_class(**values)


def _member(value: object, key: str) -> object:
    return cast("dict[str, object]", value).get(key) if isinstance(value, dict) else None


# str.splitlines and JavaScript treat these as line breaks. Escaped, the JSON string is the same.
_LINE_ENDS = (("\u0085", rb"\u0085"), ("\u2028", rb"\u2028"), ("\u2029", rb"\u2029"))


def check_requested(body: bytes, conversation_id: str) -> bytes:
    """Return the body unchanged, after checking that it is the requested conversation.

    Raises:
        UnusableResponseError: It is not JSON in UTF-8, or not a conversation.
        WrongConversationError: It is another conversation.
    """
    _text_of_requested(body, conversation_id)
    return body


def record_requested(body: bytes, conversation_id: str) -> bytes:
    """Return the body as a single line without a line break; the JSON value is unchanged.

    Raises the errors of `check_requested`.
    """
    text = _text_of_requested(body, conversation_id)
    # Unescaped line breaks only occur between tokens, where they are white space.
    line = body.removeprefix(BOM).strip(b" \t\r\n").replace(b"\n", b" ").replace(b"\r", b" ")
    for character, escape in _LINE_ENDS:
        if character in text:  # searching the str is 20 times as fast
            line = line.replace(character.encode(), escape)
    return line


def wrong_conversation(got: str, requested: str, path: str = "id") -> WrongConversationError:
    """Return the error for a response with another conversation."""
    return WrongConversationError(f"requested {requested}, got {printable(got)}", path=path)


def _text_of_requested(body: bytes, conversation_id: str) -> str:
    try:
        text = body.decode()  # msgspec does not validate strings that it skips
        head = decode_head(body.removeprefix(BOM))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text, head = "", Head("")
    if head.object != "conversation":
        from siteassist_async.codec.convert import structure_body  # noqa: PLC0415 - see there

        # Either a lone surrogate in a name, or not a conversation.
        head = structure_body(body, Head)
        text = body.decode()
    got = head.id
    if got.lower() != conversation_id:
        raise wrong_conversation(got, conversation_id)
    return text
