"""A body as one line of an export, as it came."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from contract_bodies import wire, wire_message, without
from fakes import ID, OTHER_ID
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import PROPERTY, bodies, damaged, json_values, mutants, wire_conversations

from siteassist_async.codec import check_requested, decode_requested, record_requested
from siteassist_async.codec.text import BOM
from siteassist_async.contract import documented_body
from siteassist_async.errors import SiteAssistError, UnusableResponseError, WrongConversationError

# str.splitlines' (its documentation lists them) and JavaScript's, which are among them.
LINE_BREAKS = re.compile("[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")

asked = wire_conversations.map(lambda sent: {**sent, "id": ID})
ANY_BODY = st.one_of(
    bodies(asked),
    bodies(wire_conversations),
    bodies(mutants(asked)),
    bodies(mutants(st.builds(wire, messages=st.builds(lambda: [wire_message()])))),
    bodies(json_values),
    damaged(bodies(asked)),
    st.binary(),
)


def value(text: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Read a JSON text without the limits that Python has for numbers."""
    return json.loads(text, parse_int=str, parse_float=str)


def refusal(function: Any, body: bytes) -> SiteAssistError | None:  # noqa: ANN401 - any of the three
    """The error that a body is refused with."""
    try:
        function(body, ID)
    except UnusableResponseError as error:
        return error
    return None


@PROPERTY
@given(bodies(asked))
@example(documented_body(200))
def test_a_record_is_the_body_on_one_line(body: bytes) -> None:
    """No line break of any kind is left, and the JSON value is the server's."""
    record = record_requested(body, ID)
    assert not LINE_BREAKS.search(record.decode())
    assert len(record.decode().splitlines()) == len(record.splitlines()) == 1
    assert value(record) == value(body)


@PROPERTY
@given(bodies(asked))
def test_a_body_on_one_line_is_recorded_byte_for_byte(body: bytes) -> None:
    """So is a record: making a record of it again changes nothing."""
    record = record_requested(body, ID)
    assert record_requested(record, ID) == record
    if not LINE_BREAKS.search(body.decode().strip()):
        assert record == body.removeprefix(BOM).strip(b" \t\r\n")


@PROPERTY
@given(ANY_BODY)
def test_what_is_recorded_is_json(body: bytes) -> None:
    """No bytes raise anything but our error, and a record is whole."""
    if refusal(record_requested, body) is None:
        record = record_requested(body, ID)
        assert value(record) == value(body)
        assert value(record)["id"].lower() == ID
        assert not LINE_BREAKS.search(record.decode())


@PROPERTY
@given(ANY_BODY)
def test_the_check_refuses_nothing_that_can_be_decoded(body: bytes) -> None:
    """And it says what the decoder says."""
    error = refusal(check_requested, body)
    if error is not None:
        decoded = refusal(decode_requested, body)
        assert decoded is not None
        if not isinstance(error, WrongConversationError):
            assert str(decoded) == str(error)
    assert str(refusal(record_requested, body)) == str(error)


def test_the_checked_body_is_returned_as_it_came() -> None:
    """Byte order mark, white space and all."""
    body = BOM + documented_body(200) + b"\r\n"
    assert check_requested(body, ID) is body


@pytest.mark.parametrize(
    ("inside", "recorded"),
    [
        (b'"a\xc2\x85b"', rb'"a\u0085b"'),
        (b'"a\xe2\x80\xa8b\xe2\x80\xa9c"', rb'"a\u2028b\u2029c"'),
        (b'{"\xe2\x80\xa8": 1}', rb'{"\u2028": 1}'),
        (b'"\\\\\xe2\x80\xa8"', rb'"\\\u2028"'),
        (rb'"\n\r\u2028\u0085"', rb'"\n\r\u2028\u0085"'),
        (b"[1,\r\n\t2,\n3]", b"[1,  \t2, 3]"),
        (rb'"\ud83d\u0000\/"', rb'"\ud83d\u0000\/"'),
        ('"é🎨\x7f"'.encode(), '"é🎨\x7f"'.encode()),
        (b"1e999", b"1e999"),
        (b"1" * 5_000, b"1" * 5_000),
        (b"1.10", b"1.10"),
    ],
)
def test_what_is_done_to_a_body(inside: bytes, recorded: bytes) -> None:
    """Line breaks between tokens become spaces, those within strings escapes; nothing else."""
    frame = b'{"object":"conversation","id":"%s","new":%%s}' % ID.encode()
    assert record_requested(frame % inside, ID) == frame % recorded
    assert record_requested(BOM + b" \r\n" + frame % inside + b"\n", ID) == frame % recorded


@pytest.mark.parametrize(
    "inside",
    [
        *(
            b'"a\nb"',
            b'"a\rb"',
            b'"\v"',
            b'"\x1c"',
            b'"\x00"',
            b'"\\\xe2\x80\xa8"',
            b"\xe2\x80\xa8",
        ),
        *(b'"\xff"', b'"\xed\xa0\x80"', b'"\xc2"', b"NaN", b"01", b"", b"1}", b"{1:2}", b"'a'"),
    ],
)
def test_what_is_no_json_is_no_record(inside: bytes) -> None:
    """Also where it stands in a field that is not looked at."""
    with pytest.raises(UnusableResponseError):
        record_requested(
            b'{"object":"conversation","id":"%s","new":%s}' % (ID.encode(), inside), ID
        )


@pytest.mark.parametrize(
    ("sent", "path", "reason"),
    [
        ([], "", "expected an object, not an array"),
        (None, "", "expected an object, not null"),
        ({}, "", 'expected an object with "object": "conversation"'),
        (wire(object="message"), "", 'expected an object with "object": "conversation"'),
        (wire(object=None), "", 'expected an object with "object": "conversation"'),
        (without(wire(), "id"), "id", "missing"),
        (wire(id=None), "id", "expected a string, not null"),
        (wire(id=5), "id", "expected a string, not a number"),
    ],
)
def test_a_body_that_is_no_conversation_is_refused(sent: object, path: str, reason: str) -> None:
    """The error says where and why."""
    with pytest.raises(UnusableResponseError) as caught:
        check_requested(json.dumps(sent).encode(), ID)
    assert caught.value.path == path
    assert reason in str(caught.value)


@pytest.mark.parametrize("function", [check_requested, record_requested, decode_requested])
def test_another_conversation_is_refused(function: Any) -> None:  # noqa: ANN401 - any of the three
    """However the id is written, it is compared in lower case."""
    assert refusal(function, json.dumps(wire(id=ID.upper())).encode()) is None
    error = refusal(function, json.dumps(wire(id=OTHER_ID)).encode())
    assert type(error) is WrongConversationError
    assert str(error) == f"unusable response at id: requested {ID}, got {OTHER_ID}"
