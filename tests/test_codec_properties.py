"""What holds of the codec for any bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

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
from siteassist_async.codec.body import structure_body
from siteassist_async.codec.fast import MOST_LEARNED, FastDecoder
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
    outcome(codec.record_asked, body, ID)
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
    outcome(codec.decode_asked, body, ID)
    outcome(codec.record_asked, body, ID)
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
    decoder = FastDecoder()
    for body in bodies * 2:
        strictly = decodes_strictly(body)
        assert decoder.decode(body) in (None, strictly[1])
        if isinstance(strictly[1], Conversation):
            decoder.learn(strictly[1])


def test_unknown_fields_are_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second body on they cost nothing, null or not."""
    decoder = FastDecoder()
    monkeypatch.setattr(codec, "_fast", decoder)
    body = json.dumps(wire(new=1, newer=None, messages=[wire_message(newest=[2])])).encode()
    assert decoder.decode(body) is None
    assert codec.decode_conversation(body) == decoder.decode(body)
    assert decoder.decode(body) == structure_body(body, Conversation)
    plain = decoder.decode(documented_body(200))
    assert plain is not None
    assert plain.extra is NOTHING


def test_no_more_is_learned_than_is_bounded() -> None:
    """A server that makes up names fills no memory."""
    body = json.dumps(wire(**{f"n{i}": i for i in range(MOST_LEARNED + 1)})).encode()
    decoder = FastDecoder()
    decoder.learn(structure_body(body, Conversation))
    assert decoder.decode(body) is None
    assert decoder.decode(documented_body(200)) is not None


def test_one_thread_may_learn_while_another_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event loop of a program may have its own thread, and all share what was learned."""
    decoder = FastDecoder()
    known: Any = vars(decoder)["_known"]
    decode = known.decode
    other = structure_body(json.dumps(wire(new=1)).encode(), Conversation)

    def decode_as_another_learns(body: bytes) -> object:
        sent = decode(body)
        decoder.learn(other)
        return sent

    monkeypatch.setattr(known, "decode", decode_as_another_learns)
    body = documented_body(200)
    assert decoder.decode(body) == structure_body(body, Conversation)
