"""The emulator's project: what it lists, in which order, and while it changes."""

from __future__ import annotations

import json
from itertools import chain
from typing import Any

import pytest

from siteassist_async.emulator import Disconnect, Service, Status, conversation, conversation_ids
from siteassist_async.emulator.ids import valid_id

ID = "123e4567-e89b-12d3-a456-426614174000"
NOON = "2030-01-01T12:00:00.000Z"

SUMMARY = {
    *("object", "id", "createdAt", "updatedAt", "status", "closedAt", "closeReason"),
    *("lastInteractionAt", "isHumanHandled", "humanAgent", "title", "lastMessage"),
}


def ask(service: Service, target: str) -> tuple[int, dict[str, Any]]:
    """The status and body of an authorized GET."""
    response = service.respond("GET", f"/v2/conversations{target}", authorized=True)
    return response.status, json.loads(response.body)


def ids_of(service: Service, query: str = "") -> list[str]:
    """The ids of a page."""
    status, body = ask(service, f"?{query}")
    assert status == 200
    return [summary["id"] for summary in body["data"]]


def test_a_project_lists_its_conversations() -> None:
    """In the documented form, newest interaction first, ten at once; none without a number."""
    service = Service(conversations=25, seed=3, spelling="current")
    status, body = ask(service, "")
    assert status == 200
    assert (body["object"], body["total"], body["limit"], body["offset"]) == ("list", 25, 10, 0)
    assert len(body["data"]) == 10
    known = set(conversation_ids(25, seed=3))
    for summary in body["data"]:
        assert set(summary) == SUMMARY
        whole = conversation(summary["id"], 3, spelling="current")
        messages: Any = whole.pop("messages")
        assert summary == {**whole, "lastMessage": messages[-1] if messages else None}
        assert summary["id"] in known
    times = [summary["lastInteractionAt"] for summary in body["data"]]
    assert times == sorted(times, reverse=True)
    empty = b'{"object":"list","total":0,"limit":10,"offset":0,"data":[]}'
    assert ask(Service(), "") == (200, json.loads(empty))


def test_pages_make_up_the_list() -> None:
    """Whatever their size; past the end there is nothing."""
    service = Service(conversations=25)
    order = "orderBy=createdAt&orderDir=asc"
    pages = [ids_of(service, f"{order}&limit=7&offset={offset}") for offset in range(0, 35, 7)]
    assert [len(page) for page in pages] == [7, 7, 7, 4, 0]
    listed = list(chain.from_iterable(pages))
    assert listed == ids_of(service, f"{order}&limit=100")
    assert set(listed) == set(conversation_ids(25))


@pytest.mark.parametrize(
    "by",
    [
        *("id", "createdAt", "updatedAt", "lastInteractionAt", "lastInterationAt"),
        *("status", "closedAt", "isHumanHandled", "title"),
    ],
)
def test_a_list_has_the_order_asked_for(by: str) -> None:
    """Null is the least; equal values are in the order of their ids."""
    service = Service(conversations=25, spelling="current")
    body = ask(service, f"?orderBy={by}&orderDir=asc&limit=100")[1]
    name = "lastInteractionAt" if by == "lastInterationAt" else by
    keys = [(s[name] is not None, str(s[name]), s["id"]) for s in body["data"]]
    assert keys == sorted(keys)
    assert ids_of(service, f"orderBy={by}&limit=100") == [key[2] for key in reversed(keys)]


def test_a_list_may_have_one_status() -> None:
    """Both together are all."""
    service = Service(conversations=25)
    opened, closed = (ask(service, f"?limit=100&status={s}")[1] for s in ("open", "closed"))
    assert {summary["status"] for summary in opened["data"]} == {"open"}
    assert opened["total"] + closed["total"] == 25
    assert opened["total"] == len(opened["data"]) > 0


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e1", "limit"),
        ("limit=", "limit"),
        ("limit=%D9%A3", "limit"),
        ("offset=-1", "offset"),
        ("offset=99999999999999999999999", "offset"),
        ("status=ajar", "status"),
        ("orderBy=mood", "orderBy"),
        ("orderDir=up", "orderDir"),
    ],
)
def test_a_parameter_out_of_bounds_is_refused(query: str, name: str) -> None:
    """By its name, in either list."""
    refused = ask(Service(), f"?{query}")
    assert (refused[0], refused[1]["error"]["details"]) == (400, {"field": name})
    if name in {"limit", "offset", "status"}:
        query = query.replace("limit=101", "limit=1001")
        assert ask(Service(), f"/{ID}/messages?{query}") == refused


def test_messages_are_listed() -> None:
    """All of them, or by role, status and page."""
    service = Service(messages=9)
    messages: Any = conversation(ID, messages=9)["messages"]
    assert ask(service, f"/{ID.upper()}/messages") == (200, {"object": "list", "data": messages})
    assert ask(service, f"/{ID}/messages?limit=2&offset=3")[1]["data"] == messages[3:5]
    users = [message for message in messages if message["role"] == "user"]
    assert ask(service, f"/{ID}/messages?role=user&x=1")[1]["data"] == users
    done = [message for message in messages if message["status"] == "complete"]
    assert ask(service, f"/{ID}/messages?status=complete")[1]["data"] == done


def test_content_of_ones_own() -> None:
    """It is listed, it replaces what is generated, and what was put before."""
    service = Service(conversations=3)
    message = {"object": "message", "id": "m", "createdAt": NOON, "chatId": ID, "role": "user"}
    content: dict[str, Any] = {"title": "Mine", "createdAt": NOON, "messages": [message]}
    service.put(ID.upper(), content)
    content["messages"].clear()  # what was put is a copy
    found = ask(service, f"/{ID}")[1]
    assert found == {
        **conversation(ID),
        "title": "Mine",
        "createdAt": NOON,
        "messages": [message],
    }
    assert ids_of(service, "orderBy=createdAt")[0] == ID
    assert ask(service, "?orderBy=createdAt")[1]["data"][0]["lastMessage"] == message
    assert ask(service, f"/{ID}/messages?role=user")[1]["data"] == [message]
    assert ask(service, f"/{ID}/messages?status=error")[1]["data"] == []
    service.put(ID, {"lastInteractionAt": NOON, "createdAt": "2020-01-01T12:00:00.000Z"})
    found = ask(service, f"/{ID}")[1]
    assert found["title"] == "Mine"
    assert found["lastInteractionAt"] == NOON
    assert "lastInterationAt" not in found
    assert ids_of(service, "orderBy=createdAt")[-1] == ID
    assert ids_of(service)[0] == ID


def test_what_a_message_needs_is_generated() -> None:
    """What was put stays, whatever it is."""
    service = Service()
    parts = [{"type": "text", "text": "Hi"}]
    own = {"id": "own", "role": "assistant", "parts": None}
    service.put(ID, {"createdAt": NOON, "messages": [{"parts": parts}, own, "none"]})
    _, body = ask(service, f"/{ID}")
    first, second, third = body["messages"]
    generated = {"object": "message", "createdAt": NOON, "chatId": ID}
    assert first == {**generated, "id": first["id"], "role": "user", "parts": parts}
    assert valid_id(first["id"]) == first["id"]
    assert second == {**generated, **own}
    assert third == "none"


def test_what_cannot_be_put() -> None:
    """An id that is none, and what JSON has not."""
    with pytest.raises(ValueError, match="not a UUID"):
        Service().put("x", {})
    with pytest.raises(TypeError):
        Service().put(ID, {"x": object()})


def test_a_missing_conversation_is_not_listed() -> None:
    """Until it is put again."""
    service = Service(conversations=3)
    first, *rest = conversation_ids(3)
    service.missing(first, ID)
    assert set(ids_of(service)) == set(rest)
    assert ask(service, f"/{first}/messages")[0] == 404
    service.put(first, {})
    assert set(ids_of(service)) == {first, *rest}
    assert ask(service, f"/{first}")[0] == 200


def test_a_project_may_change_after_each_page() -> None:
    """One is new and comes last, one is lifted to the top, one is closed; the same each time."""
    service, twin = (Service(conversations=20, changing=True, seed=5) for _ in range(2))
    order = "?orderBy=createdAt&orderDir=asc&limit=100"
    before = ask(service, order)[1]
    after = ask(service, order)[1]
    assert (before["total"], after["total"]) == (20, 21)
    old = {summary["id"]: summary for summary in before["data"]}
    assert [summary["id"] for summary in after["data"][:20]] == list(old)
    new = after["data"][20]["lastInterationAt"]
    changed = [s for s in after["data"][:20] if s != old[s["id"]]]
    assert sorted(s["lastInterationAt"] == new for s in changed) == [False, True]
    assert "closed" in {s["status"] for s in changed}
    assert [ask(twin, order)[1] for _ in range(2)] == [before, after]
    empty = Service(changing=True, messages=0, spelling="current")
    assert [ask(empty, "")[1]["total"] for _ in range(3)] == [0, 1, 2]


def test_pages_meet_faults() -> None:
    """Those that are scripted for them, and an outage, which uses none up."""
    service = Service(conversations=3, latency=0.5)
    service.script_pages(Status(503), Disconnect())
    service.outage = Status(502)
    assert ask(service, "")[0] == 502
    service.outage = None
    assert ask(service, "")[0] == 503
    assert service.respond("GET", "/v2/conversations", authorized=True).dropped
    last = service.respond("GET", "/v2/conversations", authorized=True)
    assert (last.status, last.delay) == (200, 0.5)
    assert service.counters.faults == 3
    service.script(ID, Status(500))
    assert ask(service, f"/{ID}/messages")[0] == 500
