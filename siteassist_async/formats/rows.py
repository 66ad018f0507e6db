"""The two tables that every format has: from records of a log to rows.

Most records have documented fields only and are decoded by msgspec at once. Any other record is
read field by field: a field that is unknown, or whose value does not fit its column, ends up in
`extra`, as JSON. So no record that an export writes is refused, and nothing of it is lost.
"""

from __future__ import annotations

import gc
import re
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from attrs import frozen

from siteassist_async.errors import SiteAssistError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

Kind = Literal["text", "category", "time", "boolean", "integer", "json"]
"""What a column holds. Times are ISO 8601 text as sent; JSON is text as sent."""

Row = tuple[Any, ...]
"""The values of a row, in the order of its table's columns: `str`, `int`, `bool` or None."""


Time = Annotated[datetime, msgspec.Meta(tz=True)]
OptionalTime = Time | None
"""What the text of a time is converted to with msgspec."""


@frozen
class Column:
    """A column of a table.

    Attributes:
        kind: What its values mean; each format has its own type for it.
    """

    name: str
    kind: Kind = "text"


CONVERSATIONS = (
    Column("id"),
    Column("created_at", "time"),
    Column("updated_at", "time"),
    Column("status", "category"),
    Column("closed_at", "time"),
    Column("close_reason", "category"),
    Column("last_interaction_at", "time"),
    Column("is_human_handled", "boolean"),
    Column("human_agent_name"),
    Column("human_agent_image"),
    Column("title"),
    Column("message_count", "integer"),
    Column("extra", "json"),
)
"""The columns of the table `conversations`; its key is `id`."""

MESSAGES = (
    Column("conversation_id"),
    Column("position", "integer"),
    Column("id"),
    Column("created_at", "time"),
    Column("role", "category"),
    Column("status", "category"),
    Column("text"),
    Column("parts", "json"),
    Column("error"),
    Column("feedback", "category"),
    Column("feedback_at", "time"),
    Column("metadata", "json"),
    Column("human_agent_name"),
    Column("human_agent_image"),
    Column("page_url"),
    Column("page_title"),
    Column("text_selection"),
    Column("extra", "json"),
)
"""The columns of the table `messages`; its key is `conversation_id` and `position`, from 0."""


@frozen
class Rows:
    """The rows of some records; a conversation's messages are in the order of `conversations`."""

    conversations: list[Row]
    messages: list[Row]

    def newest(self) -> Rows:
        """Keep the last record of each conversation only; cheap if there is one of each."""
        last = {row[0]: number for number, row in enumerate(self.conversations)}
        if len(last) == len(self.conversations):
            return self
        kept = Rows([], [])
        start = 0
        for number, row in enumerate(self.conversations):
            end = start + row[_COUNT]
            if last[row[0]] == number:
                kept.conversations.append(row)
                kept.messages.extend(self.messages[start:end])
            start = end
        return kept


class NotAConversationError(SiteAssistError):
    """A line is not the record of a conversation.

    Attributes:
        index: Which of the lines.
    """

    def __init__(self, message: str = "", *, index: int = 0) -> None:
        super().__init__(message)
        self.index = index


@contextmanager
def no_collections() -> Generator[None]:
    """Keep the garbage collector from visiting the rows of a batch: a tenth of the time.

    They hold no cycles, and are gone before the next batch.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def decode(lines: Iterable[bytes]) -> Rows:
    """Decode records to rows.

    Raises:
        NotAConversationError: A line is not JSON, has no ID, or is another object.
    """
    rows = Rows([], [])
    for index, line in enumerate(lines):
        try:
            try:
                conversation, messages = _record(line)
            except _MISFITS:
                conversation, messages = _odd_record(line)
        except _MISFITS as error:
            raise NotAConversationError(_why(error), index=index) from None
        rows.conversations.append(conversation)
        rows.messages.extend(messages)
    return rows


def encode(conversation: Row, messages: Iterable[Row]) -> bytes:
    """Encode rows as the record of a conversation, with the values that were decoded.

    All documented fields are written, absent ones as null.
    """
    (
        conversation_id,
        created_at,
        updated_at,
        status,
        closed_at,
        close_reason,
        last_interaction_at,
        is_human_handled,
        agent_name,
        agent_image,
        title,
        _,
        extra,
    ) = conversation
    both = extra is not None and '"lastInterationAt"' in extra  # and they differ
    make: Any = _Conversation  # of values that need not fit: they are written as they are
    sent = make(
        "conversation",
        conversation_id,
        created_at,
        updated_at,
        status,
        closed_at,
        close_reason,
        msgspec.UNSET if both else last_interaction_at,
        last_interaction_at if both else msgspec.UNSET,
        None if is_human_handled is None else bool(is_human_handled),
        _agent_of(agent_name, agent_image),
        title,
        [_message_of(row) for row in messages],
    )
    return _JSON.encode(_with_extra(sent, extra))


def _message_of(row: Row) -> object:
    (
        chat_id,
        _,
        message_id,
        created_at,
        role,
        status,
        text,
        parts,
        error,
        feedback,
        feedback_at,
        metadata,
        agent_name,
        agent_image,
        page_url,
        page_title,
        text_selection,
        extra,
    ) = row
    make: Any = _Message  # as above
    sent = make(
        object="message",
        id=message_id,
        created_at=created_at,
        parts=_parts_of(text, parts),
        chat_id=chat_id,
        role=role,
        feedback=feedback,
        feedback_at=feedback_at,
        status=status,
        error=error,
        metadata=_raw(metadata),
        human_agent=_agent_of(agent_name, agent_image),
        page_url=page_url,
        page_title=page_title,
        text_selection=text_selection,
    )
    return _with_extra(sent, extra)


def _agent_of(name: str | None, image: str | None) -> _Agent | None:
    return None if name is None and image is None else _Agent(name, image)


def _parts_of(text: str | None, parts: str | None) -> object:
    if parts is None and text is not None:
        return [_TextPart("text", text)]
    return _raw(parts)


def _raw(text: str | None) -> msgspec.Raw:
    return _NULL if text is None else msgspec.Raw(text)


def _with_extra(sent: msgspec.Struct, extra: str | None) -> object:
    if extra is None:
        return sent
    fields: _Object = _OBJECT.decode(_JSON.encode(sent))
    more: _Object = _OBJECT.decode(extra)
    if "humanAgent" in more and _json(fields["humanAgent"]) is not None:
        both = _OBJECT.decode(fields["humanAgent"]) | _OBJECT.decode(more["humanAgent"])
        more["humanAgent"] = msgspec.Raw(_JSON.encode(both))
    return fields | more


_COUNT = [column.name for column in CONVERSATIONS].index("message_count")

_NOTHING = msgspec.Raw()
_NULL = msgspec.Raw(b"null")


class _Agent(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    name: str | None = None
    image: str | None = None


# Fields in the order of the wire, in which msgspec finds each at once.


class _Message(msgspec.Struct, rename="camel", gc=False, forbid_unknown_fields=True, kw_only=True):
    object: Literal["message"]
    id: str
    created_at: str
    parts: msgspec.Raw = _NOTHING
    chat_id: str
    role: str
    feedback: str | None = None
    feedback_at: str | None = None
    status: str | None = None
    error: str | None = None
    metadata: msgspec.Raw = _NOTHING
    human_agent: _Agent | None = None
    page_url: str | None = None
    page_title: str | None = None
    text_selection: str | None = None


class _Conversation(msgspec.Struct, rename="camel", gc=False, forbid_unknown_fields=True):
    object: Literal["conversation"]
    id: str
    created_at: str
    updated_at: str
    status: str
    closed_at: str | None = None
    close_reason: str | None = None
    last_interation_at: str | None = None
    last_interaction_at: str | None = None
    is_human_handled: bool | None = None
    human_agent: _Agent | None = None
    title: str | None = None
    messages: list[_Message] | None = None


class _Part(msgspec.Struct, gc=False):
    type: Any = None
    text: Any = None


class _TextPart(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    type: Literal["text"]
    text: str


_MISFITS = (msgspec.MsgspecError, ValueError, RecursionError)
"""The exceptions of msgspec and of the functions below for a record that they do not accept."""

_TIMES = list[OptionalTime]
_JSON = msgspec.json.Encoder()
_CONVERSATION = msgspec.json.Decoder(_Conversation)
_PARTS = msgspec.json.Decoder(list[_Part])
_TEXT_PARTS = msgspec.json.Decoder(list[_TextPart])
_TIME = msgspec.json.Decoder(Time)
_TEXT = msgspec.json.Decoder(str | None)
_BOOLEAN = msgspec.json.Decoder(bool | None)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OPTIONAL_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_OBJECTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]] | None)
_NO_AGENT = _Agent()
_NAMELESS = '{"humanAgent":{}}'  # for `extra`: there is an agent, but without a name and an image

_Object = dict[str, msgspec.Raw]


def _record(line: bytes) -> tuple[Row, list[Row]]:
    """Decode a record with documented fields only."""
    sent = _CONVERSATION.decode(line)
    last_interaction_at = sent.last_interaction_at or sent.last_interation_at
    if sent.last_interation_at not in {None, last_interaction_at}:
        raise ValueError("has two times of the last interaction")
    conversation_id = sent.id
    messages = sent.messages or ()
    times = [sent.created_at, sent.updated_at, last_interaction_at, sent.closed_at]
    rows: list[Row] = []
    for position, message in enumerate(messages):
        if message.chat_id != conversation_id:
            raise ValueError("has a message of another conversation")
        times.append(message.created_at)
        if message.feedback_at is not None:
            times.append(message.feedback_at)
        text, parts = _text_and_parts(message.parts)
        agent = message.human_agent or _NO_AGENT
        rows.append(
            (
                conversation_id,
                position,
                message.id,
                message.created_at,
                message.role,
                message.status,
                text,
                parts,
                message.error,
                message.feedback,
                message.feedback_at,
                _json(message.metadata),
                agent.name,
                agent.image,
                message.page_url,
                message.page_title,
                message.text_selection,
                _NAMELESS if agent is not _NO_AGENT and agent == _NO_AGENT else None,
            )
        )
    msgspec.convert(times, _TIMES)  # raises if one is not a time
    agent = sent.human_agent or _NO_AGENT
    conversation = (
        conversation_id,
        sent.created_at,
        sent.updated_at,
        sent.status,
        sent.closed_at,
        sent.close_reason,
        last_interaction_at,
        sent.is_human_handled,
        agent.name,
        agent.image,
        sent.title,
        len(messages),
        _NAMELESS if agent is not _NO_AGENT and agent == _NO_AGENT else None,
    )
    return conversation, rows


def _text_and_parts(raw: msgspec.Raw) -> tuple[str | None, str | None]:
    """Return the text of a message, and its parts as JSON where they are more than that text."""
    try:
        parts = _TEXT_PARTS.decode(raw)
        if len(parts) == 1:
            return parts[0].text, None
    except (msgspec.MsgspecError, ValueError):
        pass
    try:
        texts = [part.text for part in _PARTS.decode(raw) if part.type == "text"]
        text = "\n".join(texts) if texts else None
    except (msgspec.MsgspecError, TypeError):
        text = _text_of(raw)
    return text, _json(raw)


def _text_of(parts: msgspec.Raw) -> str | None:
    """Return the text of parts that have more, or something else, than is documented."""
    try:
        found: list[_Object] = _OBJECTS.decode(parts) or []
    except msgspec.MsgspecError:
        return None  # absent, or no list of objects
    texts = [_take(part, "text", _text) for part in found if _take(part, "type", _text) == "text"]
    texts = [text for text in texts if text is not None]
    return "\n".join(texts) if texts else None


def _json(raw: msgspec.Raw | None) -> str | None:
    if raw is None or raw == _NULL:  # most often
        return None
    return str(raw, "utf-8") or None


def _odd_record(line: bytes) -> tuple[Row, list[Row]]:
    """Decode a record of which only the ID is certain."""
    if b"\\u" in line:
        line = _LONE_SURROGATE.sub(_mended, line)
        try:
            return _record(line)
        except _MISFITS:
            pass
    sent = _OBJECT.decode(line)
    conversation_id = _take(sent, "id", _text)
    if _take(sent, "object", _text) != "conversation" or conversation_id is None:
        raise ValueError("it has no ID, or is another object")
    try:
        messages: list[_Object] = _OBJECTS.decode(sent.get("messages", b"null")) or []
        sent.pop("messages", None)
    except msgspec.MsgspecError:
        messages = []  # they stay, and end up in `extra`
    return (
        (
            conversation_id,
            _take(sent, "createdAt", _time),
            _take(sent, "updatedAt", _time),
            _take(sent, "status", _text),
            _take(sent, "closedAt", _time),
            _take(sent, "closeReason", _text),
            _last_interaction_at(sent),
            _take(sent, "isHumanHandled", _BOOLEAN.decode),
            *_take_agent(sent),
            _take(sent, "title", _text),
            len(messages),
            _rest(sent),
        ),
        [_odd_message(m, conversation_id, position) for position, m in enumerate(messages)],
    )


def _odd_message(sent: _Object, conversation_id: str, position: int) -> Row:
    for name, implied in (("object", "message"), ("chatId", conversation_id)):
        if (value := _take(sent, name, _text)) not in {None, implied}:
            sent[name] = msgspec.Raw(_JSON.encode(value))
    parts = sent.pop("parts", _NOTHING)
    text, more = _text_and_parts(parts)
    return (
        conversation_id,
        position,
        _take(sent, "id", _text),
        _take(sent, "createdAt", _time),
        _take(sent, "role", _text),
        _take(sent, "status", _text),
        text,
        more,
        _take(sent, "error", _text),
        _take(sent, "feedback", _text),
        _take(sent, "feedbackAt", _time),
        _json(sent.pop("metadata", None)),
        *_take_agent(sent),
        _take(sent, "pageUrl", _text),
        _take(sent, "pageTitle", _text),
        _take(sent, "textSelection", _text),
        _rest(sent),
    )


def _take(sent: _Object, name: str, read: Callable[[msgspec.Raw], Any]) -> Any:  # noqa: ANN401 - what `read` returns
    """Remove a field and return its value; one that does not fit stays."""
    raw = sent.get(name)
    if raw is None:
        return None
    try:
        value = read(raw)
    except msgspec.MsgspecError:
        return None
    del sent[name]
    return value


def _text(raw: msgspec.Raw) -> str | None:
    text: str | None = _TEXT.decode(raw)
    return text


def _time(raw: msgspec.Raw) -> str | None:
    text = _text(raw)
    if text is not None:
        _TIME.decode(raw)
    return text


def _last_interaction_at(sent: _Object) -> str | None:
    documented = sent.get("lastInterationAt")
    time: str | None = _take(sent, "lastInteractionAt", _time)
    if time is None:
        time = _take(sent, "lastInterationAt", _time)
    elif documented is not None and _json(documented) in {None, f'"{time}"'}:
        del sent["lastInterationAt"]
    return time


def _take_agent(sent: _Object) -> tuple[str | None, str | None]:
    """Take the name and the image of an agent; what else there is stays, and that there is one."""
    agent: _Object | None = _take(sent, "humanAgent", _OPTIONAL_OBJECT.decode)
    if agent is None:
        return None, None
    name, image = _take(agent, "name", _text), _take(agent, "image", _text)
    if agent or name is image is None:
        sent["humanAgent"] = msgspec.Raw(_JSON.encode(agent))
    return name, image


def _rest(sent: _Object) -> str | None:
    return _JSON.encode(sent).decode() if sent else None


# Escapes in pairs, so that the second half of one is not taken for the start of another.
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def _mended(found: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if found[1] else found[0]


def _why(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
