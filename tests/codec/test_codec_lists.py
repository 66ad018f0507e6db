"""Lists of conversations and messages, and summaries of conversations."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import msgspec
import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError
from contract_bodies import AT_NOON, NOON, wire, wire_message, without
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import PROPERTY, wire_conversations, wire_messages

from siteassist_async import ConversationSummary, HumanAgent, TextPart
from siteassist_async.codec import decode_messages, decode_summaries, order_name
from siteassist_async.codec.convert import structure_body
from siteassist_async.codec.fast import (
    MOST_LEARNED,
    MOST_OF_PARTS,
    FastDecoder,
    MessageList,
    MessageListShape,
    SummaryList,
    SummaryListShape,
    build_message,
)
from siteassist_async.codec.text import MOST_VALUES
from siteassist_async.errors import (
    ResponseTooLargeError,
    UnusableResponseError,
    WrongConversationError,
)

CHAT = wire_message()["chatId"]


def summary(**changes: object) -> dict[str, Any]:
    """A conversation as it is listed."""
    return {**without(wire(), "messages"), "title": None, "lastMessage": None, **changes}


def page(*data: object, **changes: object) -> bytes:
    """A page of conversations."""
    whole = {"object": "list", "total": 7, "limit": 10, "offset": 3, "data": data, **changes}
    return json.dumps(whole).encode()


def test_a_page_of_conversations() -> None:
    """As the vendor documents it, in either spelling."""
    listed = summary(
        lastInteractionAt=NOON,
        lastMessage=wire_message(role="human_agent", humanAgent={"name": "Rina", "image": None}),
        isHumanHandled=True,
        title="Refund time",
    )
    older = without(without(summary(lastInterationAt=NOON), "title"), "lastMessage")
    found = decode_summaries(page(without(listed, "lastInterationAt"), older))
    assert (found.total, found.offset) == (7, 3)
    first, second = found.data
    assert isinstance(first, ConversationSummary)
    assert first.last_interaction_at == second.last_interaction_at == AT_NOON
    assert (first.title, first.is_human_handled) == ("Refund time", True)
    assert first.last_message is not None
    assert first.last_message.parts == (TextPart("Absolutely! 🎨"),)
    assert first.last_message.human_agent == HumanAgent("Rina")
    assert (second.title, second.last_message) == (None, None)


def test_a_list_of_messages() -> None:
    """Those of one conversation; its id may be in upper case."""
    body = json.dumps({"data": [wire_message(), wire_message(chatId=CHAT.upper())]}).encode()
    assert [message.chat_id for message in decode_messages(body, CHAT)] == [CHAT, CHAT.upper()]
    assert decode_messages(b'{"object":"list","data":[]}', CHAT) == ()
    other = json.dumps({"data": [wire_message(), wire_message(chatId="x")]}).encode()
    with pytest.raises(WrongConversationError, match=f"requested {CHAT}, got x") as caught:
        decode_messages(other, CHAT)
    assert caught.value.path == "data[1].chatId"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", ""),
        (b"[]", ""),
        (page(object="conversation"), ""),
        (page(data=None), "data"),
        (page(data={}), "data"),
        (page(total=None), "total"),
        (page(total="7"), "total"),
        (page(total=-1), "total"),
        (page(total=True), "total"),
        (page(total=1.5), "total"),
        (page(offset=None), "offset"),
        (page(summary(), 5), "data[1]"),
        (page(summary(), summary(id=5)), "data[1].id"),
        (page(summary(object="message")), "data[0]"),
        (page(without(summary(), "lastInterationAt")), "data[0].lastInterationAt"),
        (page(summary(lastMessage=5)), "data[0].lastMessage"),
        (page(summary(lastMessage=wire_message(parts=[5]))), "data[0].lastMessage.parts[0]"),
        (page(summary(humanAgent={"name": 5})), "data[0].humanAgent.name"),
    ],
)
def test_what_is_no_page_is_a_typed_error(body: bytes, path: str) -> None:
    """Which says where it is wrong."""
    with pytest.raises(UnusableResponseError) as caught:
        decode_summaries(body)
    assert caught.value.path == path


def test_a_list_may_have_no_kind() -> None:
    """`object` is not required; other fields of a list are ignored."""
    body = json.loads(page(summary(), newer=[1]))
    for sent in (without(body, "object"), {**body, "object": None}, {**body, "limit": "x"}):
        assert len(decode_summaries(json.dumps(sent).encode()).data) == 1
        lone = {**sent, "data": [summary(title="\ud83d")]}
        assert decode_summaries(json.dumps(lone).encode()).data[0].title == "\ud83d"


def wire_summaries(conversation: dict[str, Any], message: dict[str, Any] | None) -> dict[str, Any]:
    """A conversation as it is listed."""
    return {**without(conversation, "messages"), "lastMessage": message}


FEW = settings(PROPERTY, max_examples=20)

PAGES = st.lists(
    st.builds(wire_summaries, wire_conversations, st.none() | wire_messages), max_size=3
)


@FEW
@given(st.lists(PAGES, max_size=3))
def test_pages_are_read_as_cattrs_reads_them(pages: list[list[dict[str, Any]]]) -> None:
    """Whatever was learned before; and what a summary writes is read as the same summary."""
    decoder = FastDecoder(SummaryListShape())
    for data in pages * 2:
        strictly = structure_body(page(*data), SummaryList)
        assert decoder.decode(page(*data)) in (None, strictly)
        for found in strictly.data:
            assert ConversationSummary.from_json(found.to_json()) == found
            assert ConversationSummary.from_json(found.to_json().decode()) == found
            assert json.loads(found.to_json()) == found.to_dict()


@FEW
@given(st.lists(st.lists(wire_messages, max_size=3), max_size=3))
def test_messages_are_read_as_cattrs_reads_them(lists: list[list[dict[str, Any]]]) -> None:
    """Whatever was learned before."""
    decoder = FastDecoder(MessageListShape())
    for data in lists * 2:
        body = json.dumps({"data": data}).encode()
        assert decoder.decode(body) in (None, structure_body(body, MessageList))


def test_unknown_fields_of_a_page_are_learned() -> None:
    """Of conversations and of messages; from the second page on they cost next to nothing."""
    message = wire_message(mood=1)
    body = page(summary(tags=[1], lastMessage=message), summary(tags=[2]), summary(other=3))
    summaries = FastDecoder(SummaryListShape())
    assert summaries.decode(body) == structure_body(body, SummaryList)
    assert vars(summaries)["_known"].decode(body) == structure_body(body, SummaryList)
    body = json.dumps({"data": [message]}).encode()
    messages = FastDecoder(MessageListShape())
    assert messages.decode(body) == structure_body(body, MessageList)
    assert vars(messages)["_known"].decode(body) == structure_body(body, MessageList)
    found = decode_summaries(page(summary(tags=[1]), summary(tags=[2]), summary(other=3))).data
    assert [dict(one.extra) for one in found] == [
        {"tags": [1]},
        {"tags": [2]},
        {"other": 3},
    ]


def page_with_parts(*parts: str) -> bytes:
    """A page with a last message that has these parts, each as it is on the wire."""
    body = page(summary(lastMessage=wire_message(parts="PARTS")))
    return body.replace(b'"PARTS"', f"[{','.join(parts)}]".encode())


IS_FAST = {
    '{"text":"a","type":"text"}': True,
    '{"type":"te\\u0078t","text":"a"}': True,
    '{"type":"text","text":"a","":1,"learned":2}': True,
    '{"type":"text","text":5,"text":"a"}': False,
    '{"type":"text","text":"\\ud800"}': False,
    '{"type":"text","type":"x","text":1}': False,
    '{"type":"step-start"}': True,
    '{"type":"x","text":5,"extra_0":1}': True,
    '{"a":{"b":[1]},"type":"x"}': True,
    '{"type":"\\ud83d\\ude00","a":1}': True,
    '{"type":"a\\"b","a":1}': True,
    '{"type":"\\ud800","a":1}': False,
    '{"type":"x","\\ud800":1}': False,
    '{"type":"x","a\\nb":1}': True,
    '{"type":5,"a":1}': True,
    '{"type":"","a":1}': True,
    '{"text":"a"}': True,
    '{"a":1}': True,
    "{}": True,
}
"""Parts, and whether they are decoded fast from the second time on."""


@pytest.mark.parametrize("part", IS_FAST)
def test_a_part_of_any_kind_is_read_as_cattrs_reads_it(part: str) -> None:
    """The types and their fields are learned; if they cannot be, parts are decoded to dicts."""
    decoder = FastDecoder(SummaryListShape())
    body = page_with_parts('{"type":"text","text":"Hi"}', part)
    strictly = structure_body(body, SummaryList)
    assert decoder.decode(body) == strictly
    again = decoder.decode(body)
    assert again is not None
    assert again == strictly
    assert again.data[0].to_json() == strictly.data[0].to_json()
    try:
        assert vars(decoder)["_known"].decode(body) == strictly
    except msgspec.MsgspecError:
        assert not IS_FAST[part]
    else:
        assert IS_FAST[part]
    again = decoder.decode(page_with_parts('{"type":"text","text":"Hi"}'))
    assert again is not None
    last = again.data[0].last_message
    assert last is not None
    assert last.parts == (TextPart("Hi"),)
    assert decoder.decode(page_with_parts('{"type":"text"}')) is None


@pytest.mark.parametrize("part", ['{"type":"n%d"}', '{"type":"n","n%d":1}'])
def test_types_of_parts_without_end_are_not_learned(part: str) -> None:
    """Nor are fields of one type without end: then parts are decoded to dicts, as before."""
    decoder = FastDecoder(SummaryListShape())
    for number in range(MOST_OF_PARTS):
        body = page_with_parts(part % number)
        assert decoder.decode(body) == structure_body(body, SummaryList)
    body = page_with_parts(part % -1)
    assert vars(decoder)["_known"].decode(body) == structure_body(body, SummaryList)


def test_where_fields_are_not_learned_parts_are_decoded_to_dicts() -> None:
    """So that those of any type stay fast, and a wrong one is still noticed."""
    decoder = FastDecoder(SummaryListShape())
    fields = {f"n{number}": 0 for number in range(MOST_LEARNED + 1)}
    assert decoder.decode(page(summary(**fields))) is not None
    body = page_with_parts('{"type":"text","text":"Hi"}', '{"type":"x","y":1}')
    assert vars(decoder)["_known"].decode(body) == structure_body(body, SummaryList)
    assert decoder.decode(page_with_parts('{"type":"text","text":5}')) is None


def test_a_page_with_too_many_values_is_refused() -> None:
    """Creating them would block the event loop; smaller pages have fewer."""
    body = page(summary(x=[0] * (MOST_VALUES + 1)))
    with pytest.raises(ResponseTooLargeError, match="page_size"):
        decode_summaries(body)


def test_an_order_has_the_current_name() -> None:
    """The last interaction's is not the misspelt one of the field."""
    assert order_name("last_interaction_at") == "lastInteractionAt"
    assert order_name("created_at") == "createdAt"


def test_a_last_message_is_built_when_it_is_looked_at() -> None:
    """Whoever looks first: a comparison, a copy, a pickle, the repr."""
    message = wire_message(
        mood=1,
        humanAgent={"name": "Rina", "team": 2},
        parts=[{"type": "text", "text": "Hi", "lang": "en"}, {"type": "x", "y": [1]}],
    )
    body = page(summary(lastMessage=message))
    decode_summaries(body)  # its fields are learned
    strictly = structure_body(body, SummaryList).data[0]

    def fresh() -> ConversationSummary:
        return decode_summaries(body).data[0]

    assert fresh() == strictly
    assert strictly == fresh()
    assert hash(decode_summaries(page(summary())).data[0])
    assert repr(fresh()) == repr(strictly)
    assert fresh().to_json() == strictly.to_json()
    for twin in (copy.copy(fresh()), copy.deepcopy(fresh()), pickle.loads(pickle.dumps(fresh()))):
        assert twin == strictly
    assert evolve(fresh(), title="x") == evolve(strictly, title="x")
    found = fresh()
    assert found.last_message is found.last_message
    again = build_message(getattr(found, "_last"))  # noqa: B009 - it is private
    assert again == found.last_message == strictly.last_message
    with pytest.raises(AttributeError, match="no attribute 'last'"):
        _ = found.last  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue] # the point
    with pytest.raises(FrozenInstanceError):
        found.last_message = None  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue] # the point


@pytest.mark.parametrize(
    "changes",
    [
        {"parts": [{"type": "text"}]},
        {"parts": [{"type": "text", "text": 5}]},
        {"humanAgent": {"name": 5}},
        {"humanAgent": {"image": []}},
    ],
    ids=str,
)
def test_a_last_message_is_checked_before_it_is_built(changes: dict[str, Any]) -> None:
    """What is wrong in it is wrong in the page."""
    with pytest.raises(UnusableResponseError) as caught:
        decode_summaries(page(summary(lastMessage=wire_message(**changes))))
    assert caught.value.path.startswith(f"data[0].lastMessage.{next(iter(changes))}")
