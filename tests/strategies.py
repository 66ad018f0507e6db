"""What can be on the wire and in a model, made by hypothesis."""

from __future__ import annotations

import copy
import json
import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from siteassist_async.models import Conversation, HumanAgent, Message, OtherPart, TextPart

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

Json = dict[str, Any]

PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""The settings of every property: none depends on the machine's speed."""


def _one_character_a_pair(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


texts = st.text(st.characters(), max_size=12).map(_one_character_a_pair)
"""Any text that JSON can hold, lone surrogates included."""

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)

offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(timezones=offsets)
wire_times = st.builds(
    datetime.isoformat, times, timespec=st.sampled_from(["milliseconds", "auto"])
)

_KNOWN = {
    *(
        "object",
        "type",
        "text",
        "id",
        "createdAt",
        "updatedAt",
        "status",
        "closedAt",
        "closeReason",
    ),
    *("lastInterationAt", "lastInteractionAt", "isHumanHandled", "humanAgent", "title", "messages"),
    *("chatId", "role", "parts", "error", "feedback", "feedbackAt", "metadata", "pageUrl"),
    *("pageTitle", "textSelection", "name", "image"),
}
_awkward_names = st.sampled_from(["extra", "extra_0", "fields", "x-y", 'a"b', "a\\b", "", "\ud800"])
unknown_names = (_awkward_names | texts).filter(lambda name: name not in _KNOWN)
unknown_fields = st.dictionaries(unknown_names, json_values, max_size=2)


def _objects(
    required: dict[str, SearchStrategy[Any]], optional: dict[str, SearchStrategy[Any]]
) -> SearchStrategy[Json]:
    nullable = {key: st.none() | values for key, values in optional.items()}
    known = st.fixed_dictionaries(required, optional=nullable)
    return st.builds(_together, unknown_fields, known)


def _together(unknown: Json, known: Json) -> Json:
    return {**unknown, **known}


wire_agents = _objects({}, {"name": texts, "image": texts})
wire_text_parts = _objects({"type": st.just("text"), "text": texts}, {})
wire_other_parts = _objects({"type": texts.filter(lambda tag: tag != "text")}, {"text": texts})
wire_messages = _objects(
    {
        "object": st.just("message"),
        "id": texts,
        "createdAt": wire_times,
        "chatId": texts,
        "role": st.sampled_from(["user", "assistant", "human_agent"]) | texts,
    },
    {
        "parts": st.lists(wire_text_parts | wire_other_parts, max_size=2),
        "status": st.sampled_from(["streaming", "complete", "error"]) | texts,
        "error": texts,
        "feedback": st.sampled_from(["like", "dislike"]) | texts,
        "feedbackAt": wire_times,
        "metadata": json_values,
        "humanAgent": wire_agents,
        "pageUrl": texts,
        "pageTitle": texts,
        "textSelection": texts,
    },
)
wire_conversations = _objects(
    {
        "object": st.just("conversation"),
        "id": texts,
        "createdAt": wire_times,
        "updatedAt": wire_times,
        "status": st.sampled_from(["open", "closed"]) | texts,
        "lastInterationAt": wire_times,
    },
    {
        "lastInteractionAt": wire_times,
        "closedAt": wire_times,
        "closeReason": texts,
        "isHumanHandled": st.booleans(),
        "humanAgent": wire_agents,
        "title": texts,
        "messages": st.lists(wire_messages, max_size=2),
    },
)

_details = json_values | _objects({"retryAfter": json_values}, {})
wire_errors = _objects(
    {"error": _objects({"message": texts}, {"code": texts, "details": _details})}, {}
)

agents = st.builds(HumanAgent, st.none() | texts, st.none() | texts, unknown_fields)
text_parts = st.builds(TextPart, texts, unknown_fields)
other_parts = st.builds(OtherPart, texts.filter(lambda tag: tag != "text"), unknown_fields)
messages = st.builds(
    Message,
    id=texts,
    created_at=times,
    chat_id=texts,
    role=texts,
    parts=st.lists(text_parts | other_parts, max_size=3).map(tuple),
    status=st.none() | texts,
    error=st.none() | texts,
    feedback=st.none() | texts,
    feedback_at=st.none() | times,
    metadata=json_values,
    human_agent=st.none() | agents,
    page_url=st.none() | texts,
    page_title=st.none() | texts,
    text_selection=st.none() | texts,
    extra=unknown_fields,
)
conversations = st.builds(
    Conversation,
    id=texts,
    created_at=times,
    updated_at=times,
    status=texts,
    last_interaction_at=times,
    closed_at=st.none() | times,
    close_reason=st.none() | texts,
    is_human_handled=st.booleans(),
    human_agent=st.none() | agents,
    title=st.none() | texts,
    messages=st.lists(messages, max_size=2).map(tuple),
    extra=unknown_fields,
)


@st.composite
def bodies(draw: DrawFn, values: SearchStrategy[object]) -> bytes:
    """JSON texts of the values, in every layout."""
    text = json.dumps(
        draw(values),
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, 0, 2, "\t", "\r\n"])),
        separators=draw(st.sampled_from([None, (",", ":"), (" ,\n", "\t:\r")])),
    )
    text = re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)
    space = st.text(" \t\r\n", max_size=2)
    return (draw(st.sampled_from(["", "\ufeff"])) + draw(space) + text + draw(space)).encode()


@st.composite
def mutants(draw: DrawFn, values: SearchStrategy[object]) -> object:
    """The values with up to three places dropped, or swapped for any JSON."""
    value = copy.deepcopy(draw(values))
    for _ in range(draw(st.integers(1, 3))):
        places = _places(value)
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        if draw(st.booleans()):
            container[key] = draw(json_values)
        else:
            del container[key]
    return value


def _places(value: object) -> list[tuple[Any, Any]]:
    container: Any = value
    if isinstance(value, dict):
        keys: list[Any] = list(container)
    elif isinstance(value, list):
        keys = list(range(len(container)))
    else:
        return []
    here = [(container, key) for key in keys]
    return here + [place for key in keys for place in _places(container[key])]


@st.composite
def damaged(draw: DrawFn, whole: SearchStrategy[bytes]) -> bytes:
    """Bodies cut short, with a byte changed, or with bytes put in."""
    body = draw(whole)
    at = draw(st.integers(0, len(body)))
    skip = draw(st.sampled_from([0, 1, len(body)]))
    return body[:at] + draw(st.binary(max_size=3)) + body[at + skip :]
