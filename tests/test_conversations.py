"""One conversation by id: as an object, as it came, as a record."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from fakes import (
    ID,
    OTHER_ID,
    TOKEN,
    FakeClock,
    FakePacer,
    get_all,
)

from siteassist_async import (
    Failed,
    Fetched,
    InvalidIdError,
    NotFoundError,
    RateLimitError,
    SiteAssist,
    UnusableResponseError,
    WrongConversationError,
)
from siteassist_async.contract import documented_body
from siteassist_async.emulator import Emulator, Pretty, Status, WrongId

NO_IDS: list[object] = [
    "",
    "x",
    "123e4567-e89b-12d3-a456-42661417400",
    "123e4567-e89b-12d3-a456-4266141740000",
    "123e4567e89b12d3a456426614174000",
    "{123e4567-e89b-12d3-a456-426614174000}",
    "urn:uuid:123e4567-e89b-12d3-a456-426614174000",
    " 123e4567-e89b-12d3-a456-426614174000",
    "123e4567-e89b-12d3-a456-426614174000\n",
    "123e4567-e89b-12d3-a456-42661417400g",
    "\uff1123e4567-e89b-12d3-a456-426614174000",
    "../../admin",
    "%2e%2e/admin",
    "123e4567-e89b-12d3-a456-426614174000/close",
    "a" * 100_000,
    "\x1b[2J",
    "\ud800",
    None,
    7,
    b"123e4567-e89b-12d3-a456-426614174000",
    ["123e4567-e89b-12d3-a456-426614174000"],
]


@pytest.mark.parametrize("given", [ID, ID.upper(), UUID(ID)], ids=repr)
async def test_an_id_is_a_uuid_or_its_text_in_any_case(
    client: SiteAssist, emulator: Emulator, given: str | UUID
) -> None:
    """On the wire it is in its canonical form."""
    conversation = await client.conversations.get(given)
    assert conversation.id == ID
    assert emulator.counters.recent[-1].target == f"/v2/conversations/{ID}"


@pytest.mark.parametrize("given", NO_IDS, ids=lambda given: repr(given)[:40])
async def test_what_is_no_uuid_is_never_sent(
    client: SiteAssist, emulator: Emulator, given: str
) -> None:
    """By none of the calls; and to get_many it is an outcome."""
    for call in (
        client.conversations.get,
        client.conversations.get_raw,
        client.conversations.get_record,
    ):
        with pytest.raises(InvalidIdError) as caught:
            await call(given)
        assert str(caught.value).isprintable()
        assert caught.value.attempts == 0
    (outcome,) = await get_all(client, [given])
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, InvalidIdError)
    assert outcome.id == str(given)
    assert emulator.counters.connections == 0


async def test_get_gives_the_conversation_that_was_asked_for(
    client: SiteAssist, emulator: Emulator
) -> None:
    """An answer about another is an error, is tried again, and its connection is closed."""
    emulator.script(ID, WrongId(OTHER_ID))
    assert (await client.conversations.get(ID)).id == ID
    assert emulator.counters.connections == 2
    emulator.script(ID, *[WrongId(OTHER_ID)] * 5)
    with pytest.raises(WrongConversationError, match=f"requested {ID}, got {OTHER_ID}"):
        await client.conversations.get(ID)


async def test_a_body_that_breaks_the_contract_is_not_tried_again(
    client: SiteAssist, emulator: Emulator
) -> None:
    """The next answer would be the same."""
    emulator.script(ID, Status(200, body=b'{"object":"conversation"}'))
    with pytest.raises(UnusableResponseError) as caught:
        await client.conversations.get(ID)
    assert caught.value.attempts == emulator.counters.requests == 1


async def test_get_raw_gives_what_came(client: SiteAssist, emulator: Emulator) -> None:
    """Status, headers in any case, and the very bytes."""
    body = documented_body(200).replace(b'"open"', b"[]") + b"\r\n"
    emulator.script(ID, Status(200, body=body, headers={"X-Extra": "1"}))
    response = await client.conversations.get_raw(ID)
    assert (response.status, response.headers["x-extra"]) == (200, "1")
    assert response.body == body


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", documented_body(404)])
async def test_get_raw_looks_at_the_body_no_further_than_its_id(
    client: SiteAssist, emulator: Emulator, body: bytes
) -> None:
    """It is JSON and the conversation that was asked for."""
    emulator.script(ID, Status(200, body=body))
    with pytest.raises(UnusableResponseError):
        await client.conversations.get_raw(ID)
    emulator.missing(ID)
    with pytest.raises(NotFoundError):
        await client.conversations.get_raw(ID)


async def test_get_record_gives_one_line(client: SiteAssist, emulator: Emulator) -> None:
    """The server's JSON without its line breaks."""
    emulator.script(ID, Pretty())
    record = await client.conversations.get_record(ID)
    assert b"\n" not in record
    assert json.loads(record) == json.loads((await client.conversations.get_raw(ID)).body)


async def test_a_call_is_as_patient_as_its_policy_and_a_job_endlessly(
    emulator: Emulator, clock: FakeClock
) -> None:
    """`get` gives up where `get_record` and `get_many` wait for an hour."""
    client = SiteAssist(TOKEN, base_url=emulator.url, clock=clock, pacer=FakePacer())
    async with client:
        emulator.script(ID, *[Status(429, retry_after=3600)] * 3)
        with pytest.raises(RateLimitError) as caught:
            await client.conversations.get(ID)
        assert caught.value.retry_after == 3600
        assert clock.slept == []
        await client.conversations.get_record(ID)
        refusals = [Status(429, retry_after=3600)] * 7 + [Status(503, retry_after=3600)] * 2
        emulator.script(ID, *refusals)
        assert [type(outcome) for outcome in await get_all(client, [ID])] == [Fetched]
    assert clock.time >= 1000 + 11 * 3600
