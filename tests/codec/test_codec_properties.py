"""What holds of the codec for any bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from contract_bodies import wire, wire_message
from fakes import ID
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    PROPERTY,
    bodies,
    damaged,
    json_values,
    mutants,
    wire_conversations,
)

from siteassist_async import codec
from siteassist_async.codec.convert import structure_body
from siteassist_async.codec.fast import MOST_LEARNED, ConversationShape, FastDecoder
from siteassist_async.codec.text import BOM
from siteassist_async.contract import documented_body
from siteassist_async.errors import UnusableResponseError
from siteassist_async.models import NOTHING, Conversation

if TYPE_CHECKING:
    from collections.abc import Callable

WHOLE = bodies(wire_conversations)
ANY_BODY = st.one_of(
    WHOLE,
    bodies(mutants(wire_conversations)),
    bodies(mutants(st.builds(wire, messages=st.builds(lambda: [wire_message()])))),
    bodies(json_values),
    damaged(WHOLE | st.just(documented_body(200))),
    st.binary(),
)
VALID = documented_body(200)
DEEP = b"[" * 100_000


def with_new(value: bytes) -> bytes:
    """The documented body with an unknown field."""
    return VALID.rstrip()[:-1] + b', "new": ' + value + b"}"


REFUSED = [
    *(b"", b" ", b"\x00", b"\xff\xfe", BOM, b"<html>", b"1" * 5_000, b"true", b"[]", b"{}"),
    *(DEEP, b'{"a":' * 100_000, DEEP + b"]" * 100_000),
    *(BOM + BOM + VALID, VALID + b"\x00", VALID * 2, VALID.rstrip()[:-1]),
    *(VALID.decode().encode(encoding) for encoding in ("utf-16", "utf-16-le", "utf-32")),
    VALID.replace(b'"closeReason": null', b'"closeReason": "\xff"'),
    VALID.replace(b'"messages": []', b'"messages": [{"object": "message", "metadata": %s' % DEEP),
    *(
        with_new(lone + value)
        # A lone surrogate sends the body to the other of the two parsers.
        for lone in (b"", rb'"\ud83d", "newer": ')
        for value in (
            *(
                DEEP,
                DEEP + b"]" * 100_000,
                b"1" * 5_000,
                b"-1e999",
                b"NaN",
                b"Infinity",
                b"-Infinity",
            ),
            *(b"01", b"1.", b"tru", b"'a'", b"[1,]", b"/**/1", rb'"\q"', rb'"\u12"', b'"a\nb"'),
            *(b'"\x00"', b'"\xff"', b'"\xed\xa0\x80"', b'"', b""),
        )
    ),
]
READ = [
    *(BOM + VALID, b"\r\n\t " + VALID, VALID.replace(b"\n", b"\r")),
    *(
        with_new(value)
        for value in (
            *(
                rb'"\ud83d"',
                rb'"\uD83D"',
                rb'"\\ud83d"',
                rb'{"\ud83d": "\udfff"}',
                b"1e-999",
                b"9" * 4_000,
            ),
            *(
                '"\x7f\x85\u2028é🎨"'.encode(),
                b'"%s"' % (b"a" * 10**6),
                b"{" + b'"a":1,' * 9_999 + b'"a":1}',
            ),
            *(
                b'1, "new": 2',
                b'1, "createdAt": "2024-03-01T12:00:00Z"',
                b'1, "id": "x", "id": "y"',
            ),
        )
    ),
    *(
        json.dumps(wire(**{name: 1})).encode()
        for name in ("", 'a"b', "a\\b", "a\nb", "\x00", "\ud83d")
    ),
]

Outcome = tuple[object, ...]


def outcome(function: Callable[..., object], *arguments: object) -> Outcome:
    """What a call gives: its value, or all of the one error that it may raise."""
    try:
        return ("value", function(*arguments))
    except UnusableResponseError as error:
        return (type(error), error.args, error.path, error.excerpt)


def decodes_strictly(body: bytes) -> Outcome:
    """Read a body as cattrs does, without the faster decoder above it."""
    return outcome(structure_body, body, Conversation)


@pytest.mark.parametrize("body", REFUSED, ids=lambda body: repr(body[-40:]))
def test_what_is_no_conversation_raises_nothing_but_our_error(body: bytes) -> None:
    """Nothing of JSON, Unicode, recursion, cattrs or msgspec escapes, on either path."""
    assert outcome(codec.decode_conversation, body) == decodes_strictly(body)
    assert decodes_strictly(body)[0] is UnusableResponseError
    outcome(codec.record_requested, body, ID)
    assert isinstance(codec.decode_error(body).message, str)


@pytest.mark.parametrize("body", READ, ids=lambda body: repr(body[-40:]))
def test_what_is_a_conversation_is_read(body: bytes) -> None:
    """However odd, the first time and the second."""
    for _ in range(2):
        assert outcome(codec.decode_conversation, body) == decodes_strictly(body)
    assert decodes_strictly(body)[0] == "value"


@PROPERTY
@given(ANY_BODY)
def test_no_bytes_raise_anything_but_our_error(body: bytes) -> None:
    """And the faster decoder gives what cattrs gives, the error's path included."""
    assert outcome(codec.decode_conversation, body) == decodes_strictly(body)
    outcome(codec.decode_requested, body, ID)
    outcome(codec.record_requested, body, ID)
    assert isinstance(codec.decode_error(body).message, str)


@PROPERTY
@given(WHOLE)
def test_every_body_that_keeps_the_contract_is_read(body: bytes) -> None:
    """In any layout, with a byte order mark, and with what is unknown."""
    assert decodes_strictly(body)[0] == "value"


@PROPERTY
@given(st.lists(ANY_BODY, max_size=4))
def test_what_was_learned_changes_no_outcome(bodies: list[bytes]) -> None:
    """The decoder declines a body, or makes the same of it as cattrs."""
    decoder = FastDecoder(ConversationShape())
    for body in bodies * 2:
        assert decoder.decode(body) in (None, decodes_strictly(body)[1])


def learned(decoder: FastDecoder[Conversation]) -> Any:  # noqa: ANN401 - its insides
    """The decoder below, which reads only what is documented and what was learned."""
    if vars(decoder)["_known"] is None:
        decoder.decode(VALID)
    return vars(decoder)["_known"]


@pytest.mark.parametrize("name", ["new", "x-trace", "neu é", "extra_0", ""])
def test_unknown_fields_are_learned(name: str) -> None:
    """From the second body on they cost next to nothing, null or not."""
    decoder = FastDecoder(ConversationShape())
    body = json.dumps(wire(**{name: 1}, newer=None, messages=[wire_message(**{name: [2]})]))
    strictly = structure_body(body.encode(), Conversation)
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        learned(decoder).decode(body)
    assert decoder.decode(body.encode()) == strictly
    assert learned(decoder).decode(body) == strictly
    plain = decoder.decode(documented_body(200))
    assert plain is not None
    assert plain.extra is NOTHING


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb"])
def test_a_name_that_json_escapes_is_not_learned(name: str) -> None:
    """It is read all the same, each time."""
    decoder = FastDecoder(ConversationShape())
    before = learned(decoder)
    for _ in range(2):
        conversation = decoder.decode(json.dumps(wire(**{name: 1})).encode())
        assert conversation is not None
        assert conversation.extra == {name: 1}
    assert learned(decoder) is before


def test_unknown_fields_of_parts_and_agents_need_no_learning() -> None:
    """They are kept by what reads any body."""
    decoder = FastDecoder(ConversationShape())
    part, agent = {"type": "text", "text": "Hi", "lang": "en"}, {"name": "Ada", "team": 7}
    body = json.dumps(wire(humanAgent=agent, messages=[wire_message(parts=[part])])).encode()
    assert learned(decoder).decode(body) == structure_body(body, Conversation)


def test_names_without_end_are_read_and_not_learned() -> None:
    """A server that makes up names fills no memory, and slows no other body."""
    decoder = FastDecoder(ConversationShape())
    for number in range(MOST_LEARNED + 2):
        body = json.dumps(wire(messages=[wire_message(**{f"n{number}": 0})])).encode()
        assert decoder.decode(body) == structure_body(body, Conversation)
    with pytest.raises(msgspec.ValidationError, match="unknown field `n0`"):
        learned(decoder).decode(json.dumps(wire(messages=[wire_message(n0=0)])))
    before = learned(decoder)
    assert decoder.decode(json.dumps(wire(new=1)).encode()) is not None
    assert learned(decoder) is before


@pytest.mark.parametrize(
    "changes",
    [
        {"humanAgent": 5},
        {"humanAgent": {"name": 5}},
        {"messages": [wire_message(parts=[5])]},
        {"messages": [wire_message(parts=[{"type": "text"}])]},
    ],
    ids=str,
)
def test_what_breaks_the_contract_is_not_for_the_fast_decoder(changes: dict[str, Any]) -> None:
    """With an unknown field or without: cattrs says where it is wrong."""
    for more in ({}, {"new": 1}):
        assert (
            FastDecoder(ConversationShape()).decode(json.dumps(wire(**changes, **more)).encode())
            is None
        )


def test_one_thread_may_learn_while_another_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event loop of a program may have its own thread, and all share what was learned."""
    decoder = FastDecoder(ConversationShape())
    known = learned(decoder)
    decode = known.decode
    other = json.dumps(wire(new=1)).encode()

    def decode_as_another_learns(body: bytes) -> object:
        conversation = decode(body)
        monkeypatch.undo()
        decoder.decode(other)
        return conversation

    monkeypatch.setattr(known, "decode", decode_as_another_learns)
    body = documented_body(200)
    assert decoder.decode(body) == structure_body(body, Conversation)
