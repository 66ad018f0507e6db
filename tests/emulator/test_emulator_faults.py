"""The emulator's faults, as values: the answer that goes in and the one that comes out."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from siteassist_async.contract import DOCUMENTED_STATUSES, documented_body
from siteassist_async.emulator import (
    Charset,
    Chunked,
    Combined,
    Delay,
    Disconnect,
    Drip,
    Gzip,
    GzipBomb,
    Headers,
    Oversized,
    Pretty,
    Raw,
    Redirect,
    Stall,
    Status,
    StubResponse,
    Truncate,
    UnknownFields,
    Unsolicited,
    WrongId,
    conversation,
    error_response,
)
from siteassist_async.emulator.responses import JSON, pieces

if TYPE_CHECKING:
    from siteassist_async.emulator import Fault

ID = "123e4567-e89b-12d3-a456-426614174000"
OTHER = "223e4567-e89b-12d3-a456-426614174000"
BODY = json.dumps(conversation(ID, messages=3)).encode()
GOOD = StubResponse(200, BODY, conversation_id=ID)
ERRORS = [status for status in DOCUMENTED_STATUSES if status != 200]


def error(answer: StubResponse) -> dict[str, Any]:
    """The error object of an answer's body."""
    found: dict[str, Any] = json.loads(answer.body)["error"]
    return found


@pytest.mark.parametrize("status", ERRORS)
def test_a_status_has_its_documented_body(status: int) -> None:
    """Status and error body are those of the specification, with the asked id in a 404."""
    answer = Status(status)(GOOD)
    expected = json.loads(documented_body(status).replace(ID.encode(), OTHER.encode()))
    asked = StubResponse(200, conversation_id=OTHER)
    assert answer.status == status
    assert answer.headers == JSON
    assert json.loads(Status(status)(asked).body) == expected


def test_a_status_that_is_not_documented_has_its_name_as_the_message() -> None:
    """No code is made up; a number that has no name is the message itself."""
    assert error(Status(504)(GOOD)) == {"message": "Gateway Timeout"}
    assert error(error_response(599)) == {"message": "Status 599"}


def test_the_wait_and_the_details_of_a_status_can_be_set() -> None:
    """`details` replaces all of them, `retry_after` only the wait."""
    assert error(Status(503, retry_after=1.5)(GOOD))["details"] == {"retryAfter": 1.5}
    assert error(Status(429, details={})(GOOD))["details"] == {}
    odd = Status(429, retry_after=2, details={"retryAfter": "soon", "scope": "project"})
    assert error(odd(GOOD))["details"] == {"retryAfter": 2, "scope": "project"}


def test_a_status_may_bring_its_body_and_headers() -> None:
    """A gateway's HTML page, say; a good status keeps the conversation."""
    page = Status(502, body=b"<html>", headers={"Content-Type": "text/html"})(GOOD)
    assert (page.body, page.headers) == (b"<html>", (("Content-Type", "text/html"),))
    assert Status(203)(GOOD).body == BODY


def test_headers_replace_those_of_the_same_name() -> None:
    """Case does not matter, and a pair of pairs may repeat a name."""
    answer = Headers({"content-type": "text/plain", "X-Request-Id": "r1"})(GOOD)
    assert answer.headers == (("content-type", "text/plain"), ("X-Request-Id", "r1"))
    cookies = (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))
    assert Headers(cookies)(GOOD).headers == JSON + cookies


def test_a_redirect_has_a_location_and_no_body() -> None:
    """Its status may be chosen."""
    answer = Redirect("http://127.0.0.1:1/", status=308)(GOOD)
    assert (answer.status, answer.body) == (308, b"")
    assert ("Location", "http://127.0.0.1:1/") in answer.headers


def test_a_wrong_id_is_wrong_everywhere() -> None:
    """The conversation's id and its messages' `chatId` are another's."""
    found = json.loads(WrongId(OTHER)(GOOD).body)
    assert found["id"] == OTHER
    assert {message["chatId"] for message in found["messages"]} == {OTHER}


def test_pretty_json_is_the_same_json() -> None:
    """Only the white space differs."""
    answer = Pretty(indent=4)(GOOD)
    assert b'\n    "id"' in answer.body
    assert json.loads(answer.body) == json.loads(BODY)


def test_unknown_fields_are_added_everywhere() -> None:
    """A status, a role and a part that no client knows, and fields at both levels."""
    found = json.loads(UnknownFields()(GOOD).body)
    assert found["status"] == "snoozed"
    assert found["snoozedUntil"]
    assert found["messages"][0]["role"] == "robot"
    assert found["messages"][0]["parts"][-1]["type"] == "hologram"
    assert json.loads(UnknownFields()(StubResponse(500, b"{}")).body)["status"] == "snoozed"


def test_a_charset_recodes_the_body_and_says_so() -> None:
    """`utf-8-sig` is a byte order mark."""
    assert Charset("utf-8-sig")(GOOD).body == b"\xef\xbb\xbf" + BODY
    answer = Charset("utf-16")(GOOD)
    assert answer.body.decode("utf-16").encode() == BODY
    assert answer.headers == (("Content-Type", "application/json; charset=utf-16"),)


def test_gzip_is_right_short_or_only_declared() -> None:
    """The header is the same in all three."""
    assert gzip.decompress(Gzip()(GOOD).body) == BODY
    assert Gzip(missing=9)(GOOD).body == Gzip()(GOOD).body[:-9]
    assert Gzip(declared_only=True)(GOOD).body == BODY
    for fault in (Gzip(), Gzip(missing=9), Gzip(declared_only=True)):
        assert ("Content-Encoding", "gzip") in fault(GOOD).headers


def test_a_gzip_bomb_is_small_and_valid() -> None:
    """It unpacks to the conversation and so many mebibytes of spaces, checksum included."""
    answer = GzipBomb(mebibytes=3)(GOOD)
    assert len(answer.body) < 10_000
    unpacked = zlib.decompress(answer.body, wbits=31)
    assert unpacked == BODY + b" " * (3 * 2**20)


def test_an_oversized_body_is_padded_to_its_size() -> None:
    """The padding is not held in memory; a size below the body's adds none."""
    answer = Oversized(300_000_000, chunked=True)(GOOD)
    assert (answer.length, answer.chunked, answer.body) == (300_000_000, True, BODY)
    assert Oversized(1)(GOOD).length == len(BODY)


@pytest.mark.parametrize(
    ("fault", "field", "value"),
    [
        (Delay(2.5), "delay", 2.5),
        (Chunked(7), "piece", 7),
        (Drip(every=0.5), "every", 0.5),
        (Stall(after=3, seconds=9), "hold", 9),
        (Stall(after=3), "cut", 3),
        (Truncate(), "cut", len(BODY) // 2),
        (Truncate(5, reset=True), "reset", True),
        (Truncate(chunked=True), "chunked", True),
        (Disconnect(), "dropped", True),
        (Disconnect(reset=True), "reset", True),
        (Raw(b"SSH-2.0"), "raw", b"SSH-2.0"),
        (Unsolicited(b"HTTP", late=1.0), "late", 1.0),
    ],
)
def test_a_delivery_fault_changes_how_an_answer_is_sent(
    fault: Fault, field: str, value: object
) -> None:
    """Status and body stay; a fault is a value, equal to another of its kind."""
    answer = fault(GOOD)
    assert getattr(answer, field) == value
    assert (answer.status, answer.body) == (200, BODY)


def test_faults_combine_in_their_order() -> None:
    """Delays add up; a later status replaces an earlier one."""
    fault = Combined(Delay(1), Status(500), Delay(2), Status(503))
    answer = fault(GOOD)
    assert (answer.status, answer.delay) == (503, 3)
    assert fault == Combined(Delay(1), Status(500), Delay(2), Status(503))


def test_pieces_are_the_body_its_padding_and_no_more() -> None:
    """All of it by default, in pieces of the size asked for, up to the cut."""
    assert list(pieces(StubResponse(200, b"abcde"))) == [b"abcde"]
    assert list(pieces(StubResponse(200, b"abcde", piece=2))) == [b"ab", b"cd", b"e"]
    assert list(pieces(StubResponse(200, b"abc", padding=3, piece=2, cut=5))) == [
        b"ab",
        b"c",
        b"  ",
    ]
    assert list(pieces(StubResponse(200, b"abc", cut=0))) == []
    assert list(pieces(StubResponse(200, b"abc", cut=9))) == [b"abc"]
    assert sum(map(len, pieces(StubResponse(200, b"{}", padding=200_000)))) == 200_002
