"""Models are values: frozen, slotted, comparable, and whole after a pickle or a copy."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Mapping
from datetime import UTC, datetime

import attrs
import pytest
from contract_bodies import wire, wire_message
from hypothesis import given
from strategies import PROPERTY, conversations

from siteassist_async import Response
from siteassist_async.codec import decode_conversation
from siteassist_async.contract import documented_body
from siteassist_async.immutable import define, frozen
from siteassist_async.models import (
    NOTHING,
    Conversation,
    HumanAgent,
    Message,
    OtherPart,
    Part,
    TextPart,
)

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
DECODED = decode_conversation(
    json.dumps(
        wire(
            humanAgent={"name": "Ada"},
            messages=[wire_message(parts=[{"type": "text", "text": "Hi"}, {"type": "file"}])],
        )
    ).encode()
)
MODELS = [
    HumanAgent("Ada", "https://example.org/ada.png"),
    TextPart("Hi"),
    OtherPart("file", {"url": "https://example.org/a.png"}),
    Message("a", NOON, "b", "user", (TextPart("Hi"),), extra={"new": [1]}),
    Conversation("b", NOON, NOON, "open", NOON, extra={"new": {"a": None}}),
    # Made by the codec, which fills an instance in a way of its own.
    DECODED,
    DECODED.human_agent,
    *DECODED.messages,
    *DECODED.messages[0].parts,
]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)


@each_model
def test_a_model_is_frozen_and_slotted(model: attrs.AttrsInstance) -> None:
    """Nothing can be set, known or not, and no dictionary is kept for it."""
    known: str = attrs.fields(type(model))[0].name
    for name in (known, "unheard_of"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(model, name, "x")
    with pytest.raises(AttributeError):
        delattr(model, known)
    assert not hasattr(model, "__dict__")


@each_model
def test_a_model_is_whole_after_a_pickle_or_a_copy(model: object) -> None:
    """By every protocol; it is equal, of the same class, and shows the same."""
    copies = [copy.copy(model), copy.deepcopy(model)]
    copies += [
        pickle.loads(pickle.dumps(model, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ]
    for other in copies:
        assert type(other) is type(model)
        assert other == model
        assert repr(other) == repr(model)


@PROPERTY
@given(conversations)
def test_any_conversation_is_whole_after_a_pickle_or_a_copy(conversation: Conversation) -> None:
    """Unknown fields, lone surrogates and odd offsets included."""
    assert pickle.loads(pickle.dumps(conversation)) == conversation
    assert copy.deepcopy(conversation) == conversation


def test_models_are_compared_by_value() -> None:
    """Each field counts, the unknown ones too; models of two classes are never equal."""
    assert TextPart("a") == TextPart("a") == TextPart("a", {})
    assert TextPart("a") != TextPart("b")
    assert TextPart("a") != TextPart("a", {"lang": "en"})
    assert OtherPart("file").__eq__(TextPart("a")) is NotImplemented
    assert attrs.evolve(DECODED, title="Refund") != DECODED


def test_models_without_unknown_fields_can_be_in_sets() -> None:
    """Like any frozen value whose parts are."""
    one, other = (decode_conversation(documented_body(200)) for _ in range(2))
    assert one is not other
    assert len({one, other, TextPart("a"), TextPart("a"), HumanAgent()}) == 3


def test_a_conversations_repr_counts_its_messages() -> None:
    """A thousand messages are no line of a log."""
    assert "messages=<1 messages>" in repr(DECODED)
    assert len(repr(DECODED)) < 600


def test_a_models_repr_is_printable() -> None:
    """Whatever is in it."""
    part = OtherPart("\x1b[2J", {"\u202e": "a\nb\ud83d"})
    assert repr(TextPart("\x1b[2J\u202e\n\ud83d")).isprintable()
    assert repr(part).isprintable()


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ((), ""),
        ((TextPart("Hi"),), "Hi"),
        ((TextPart("a"), TextPart("b")), "a\nb"),
        ((TextPart("a\n"), OtherPart("step-start"), TextPart("")), "a\n\n"),
        ((OtherPart("reasoning", {"text": "hmm"}), TextPart("Hi")), "Hi"),
        ((OtherPart("file", {"url": "a.png"}),), ""),
    ],
)
def test_a_messages_text_is_that_of_its_text_parts(parts: tuple[Part, ...], text: str) -> None:
    """A line break between two; what the assistant thought or attached is no text."""
    assert Message("a", NOON, "b", "assistant", parts).text == text


def test_a_parts_type_is_its_tag_on_the_wire() -> None:
    """Of a known kind as of any other."""
    assert [part.type for part in (TextPart("a"), OtherPart("data-chart"))] == [
        "text",
        "data-chart",
    ]


def test_nothing_is_an_empty_mapping_that_stays_empty() -> None:
    """So that all models can share it."""
    assert isinstance(NOTHING, Mapping)
    assert (len(NOTHING), list(NOTHING), repr(NOTHING)) == (0, [], "{}")
    assert NOTHING.get("a") is None
    assert dict(NOTHING) == {}
    with pytest.raises(KeyError, match="a"):
        NOTHING["a"]
    with pytest.raises(TypeError):
        NOTHING["a"] = 1  # type: ignore[index] # pyright: ignore[reportIndexIssue] # the point
    with pytest.raises(AttributeError):
        NOTHING.a = 1  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue] # the point


def test_nothing_stays_one_object() -> None:
    """A million unpickled messages share it as well."""
    message = Message("a", NOON, "b", "user")
    assert message.extra is NOTHING
    assert DECODED.extra is NOTHING
    assert DECODED.messages[0].extra is NOTHING
    assert DECODED.messages[0].parts[0] == TextPart("Hi")
    assert getattr(DECODED.messages[0].parts[0], "extra", None) is NOTHING
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(message, protocol)).extra is NOTHING
    assert copy.copy(NOTHING) is copy.deepcopy(NOTHING) is copy.deepcopy(message).extra is NOTHING


def test_models_are_shown_as_attrs_shows_them() -> None:
    """With the number of messages in place of the messages, and without what is hidden."""
    part = TextPart("Hi")
    assert repr(part) == "TextPart(text='Hi', extra={})"
    message = Message("m", NOON, "c", "user", parts=(part,))
    assert repr(message) == (
        f"Message(id='m', created_at={NOON!r}, chat_id='c', role='user', parts=({part!r},), "
        "status=None, error=None, feedback=None, feedback_at=None, metadata=None, "
        "human_agent=None, page_url=None, page_title=None, text_selection=None, extra={})"
    )
    conversation = Conversation("c", NOON, NOON, "open", NOON, messages=(message, message))
    assert "title=None, messages=<2 messages>, extra={})" in repr(conversation)
    response = Response(200, {"Set-Cookie": "secret"}, b"{}")
    assert repr(response) == "Response(status=200)"


def test_a_class_keeps_a_repr_of_its_own() -> None:
    """The quick decorators give one to the others only."""

    @frozen
    class Own:
        value: int

        def __repr__(self) -> str:
            return "own"

    @frozen
    class Given:
        value: int

    assert (repr(Own(1)), repr(Given(1)).rpartition(".")[2]) == ("own", "Given(value=1)")


def test_a_class_is_compared_and_hashed_as_attrs_would() -> None:
    """Without the fields that do not count; one that can change has no hash, unless by identity."""

    @frozen
    class Given:
        value: int
        note: str = attrs.field(default="", eq=False)

    @frozen
    class Same:
        value: int

    @define
    class Open:
        value: int

    @define(eq=False)
    class Alone:
        value: int

    assert Given(1, "a") == Given(1, "b") != Given(2, "a")
    assert hash(Given(1, "a")) == hash(Given(1, "b"))
    assert Given(1).__eq__(Same(1)) is NotImplemented
    assert Open(1) == Open(1)
    assert Open.__hash__ is None
    alone = Alone(1)
    assert {alone} == {alone}
    assert alone != Alone(1)
