"""The emulator's decisions, without a socket."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from siteassist_async.emulator import (
    Delay,
    Disconnect,
    FixedWindow,
    Raw,
    Service,
    Share,
    Status,
    StubResponse,
    TokenBucket,
    conversation,
    conversation_ids,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from siteassist_async.emulator import QuotaHeaders, RetryAfter

ID = "123e4567-e89b-12d3-a456-426614174000"


def get(service: Service, conversation_id: str = ID) -> StubResponse:
    """The answer to an authorized request for a conversation."""
    return service.respond("GET", f"/v2/conversations/{conversation_id}", authorized=True)


def error(answer: StubResponse) -> dict[str, Any]:
    """The error object of an answer's body."""
    found: dict[str, Any] = json.loads(answer.body)["error"]
    return found


def test_any_uuid_has_its_conversation() -> None:
    """As compact JSON; an id in upper case names the same one, a query changes nothing."""
    service = Service(seed=3)
    answer = get(service)
    assert answer.status == 200
    assert json.loads(answer.body) == conversation(ID, seed=3)
    assert b'","' in answer.body
    assert get(service, ID.upper() + "?x=/").body == answer.body


def test_conversations_follow_the_options() -> None:
    """Size and spelling, also while in use."""
    service = Service(messages=2, spelling="current")
    assert len(json.loads(get(service).body)["messages"]) == 2
    service.messages = 0
    assert json.loads(get(service).body)["messages"] == []
    assert "lastInteractionAt" in json.loads(get(service).body)


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        ("Bearer sk_emulator", True),
        ("bearer  sk_emulator ", True),
        ("Bearer sk_emulato", False),
        ("Bearer sk_emulator2", False),
        ("Basic sk_emulator", False),
        ("Bearer", False),
        ("", False),
        ("Bearer \udce9", False),
    ],
)
def test_only_the_bearer_of_the_token_is_authorized(authorization: str, expected: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """The scheme's case does not matter, the token's does."""
    assert Service().authorizes(authorization) is expected


def test_an_unauthorized_request_is_told_nothing_else() -> None:
    """401 with the documented body comes before everything, the limit included."""
    service = Service(limit=TokenBucket(1, 1), refusal_latency=0.2)
    for target in (f"/v2/conversations/{ID}", "/v2/nowhere"):
        answer = service.respond("GET", target, authorized=False)
        assert (answer.status, error(answer)["code"]) == (401, "UNAUTHORIZED")
        assert answer.delay == 0.2
    assert service.counters.unauthorized == 2
    assert get(service).status == 200


def test_a_token_can_be_replaced() -> None:
    """What was right before is wrong then."""
    service = Service()
    service.token = "sk_test_new"
    assert not service.authorizes("Bearer sk_emulator")
    assert service.authorizes("Bearer sk_test_new")


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/v2/conversations/not-a-uuid", 422),
        ("GET", "/v2/conversations/", 422),
        ("GET", f"/v2/conversations/{{{ID}}}", 422),
        ("GET", f"/v2/conversations/{ID}/close", 404),
        ("GET", f"/v2/conversations/{ID}/x/messages", 404),
        ("POST", "/v2/conversations", 405),
        ("POST", f"/v2/conversations/{ID}/messages", 405),
        ("GET", "/v2/conversations/../../admin", 404),
        ("GET", "/", 404),
        ("POST", f"/v2/conversations/{ID}", 405),
        ("HEAD", f"/v2/conversations/{ID}", 405),
    ],
)
def test_other_requests_are_refused(method: str, target: str, status: int) -> None:
    """An id that is no UUID is a validation error; the rest is not there."""
    assert Service().respond(method, target, authorized=True).status == status


def test_a_missing_conversation_is_not_found() -> None:
    """The 404 carries the id that was asked for."""
    service = Service(latency=0.25)
    service.missing(ID.upper())
    answer = get(service)
    assert answer.status == 404
    assert error(answer)["details"] == {"conversationId": ID}
    assert answer.delay == 0.25


def test_latency_is_a_constant_or_asked_for_each_request() -> None:
    """A delay fault adds to it."""
    service = Service(latency=iter([0.1, 0.5]).__next__)
    assert [get(service).delay, get(service).delay] == [0.1, 0.5]
    service.latency = 1.0
    service.script(ID, Delay(2))
    assert get(service).delay == 3.0


def test_a_script_is_met_in_its_order_and_then_over() -> None:
    """One fault a request, for that id alone; more may be appended."""
    service = Service()
    service.script(ID.upper(), Status(503), Disconnect())
    service.script(ID, Status(500))
    assert get(service, "00000000-0000-4000-8000-000000000000").status == 200
    answers = [get(service) for _ in range(4)]
    assert [answer.status for answer in answers] == [503, 200, 500, 200]
    assert [answer.dropped for answer in answers] == [False, True, False, False]
    assert service.counters.faults == 3


@pytest.mark.parametrize("call", [Service().missing, Service().script])
def test_a_script_for_no_uuid_is_a_mistake(call: Callable[[str], None]) -> None:
    """It could never be met."""
    with pytest.raises(ValueError, match="not a UUID"):
        call("conversation-1")


def test_an_outage_is_met_by_every_conversation() -> None:
    """Until it is over; scripts wait."""
    service = Service()
    service.script(ID, Status(500))
    service.outage = Status(503, retry_after=5)
    assert [get(service).status for _ in range(3)] == [503, 503, 503]
    service.outage = None
    assert [get(service).status, get(service).status] == [500, 200]


def test_a_share_of_the_ids_meets_a_fault_and_is_then_served() -> None:
    """About that share, each with its first requests only."""
    service = Service(seed=5, faults=[Share(0.02, Status(503), times=2), Share(0.01, Disconnect())])
    ids = list(conversation_ids(5000))
    rounds = [[get(service, each) for each in ids] for _ in range(3)]
    unavailable = [sum(answer.status == 503 for answer in answers) for answers in rounds]
    dropped = [sum(answer.dropped for answer in answers) for answers in rounds]
    assert 70 < unavailable[0] < 130
    assert 30 < dropped[0] < 75
    assert unavailable == [unavailable[0], unavailable[0], 0]
    assert dropped == [dropped[0], 0, 0]


def test_the_share_is_settled_by_the_seed_and_not_by_the_order() -> None:
    """The same ids meet the fault whoever comes first."""
    ids = list(conversation_ids(500))

    def unlucky(seed: int, order: list[str]) -> set[str]:
        service = Service(seed=seed, faults=[Share(0.1, Status(500))])
        return {each for each in order if get(service, each).status == 500}

    assert unlucky(1, ids) == unlucky(1, ids[::-1])
    assert unlucky(1, ids) != unlucky(2, ids)


def test_shares_of_all_ids_are_the_most() -> None:
    """A share is from 0 to 1, and so is the sum."""
    assert get(Service(faults=[Share(1, Status(500))])).status == 500
    assert get(Service(faults=[Share(0, Status(500))])).status == 200
    with pytest.raises(ValueError, match="add up to more than 1"):
        Service(faults=[Share(0.6, Status(500)), Share(0.6, Status(503))])
    with pytest.raises(ValueError, match="share"):
        Share(1.1, Status(500))


@pytest.mark.parametrize(
    ("told", "details"),
    [
        ("exact", {"retryAfter": 2.5}),
        ("ceil", {"retryAfter": 3}),
        (60, {"retryAfter": 60}),
        (None, {}),
    ],
)
def test_a_refusal_tells_its_wait_as_asked(told: RetryAfter, details: dict[str, float]) -> None:
    """Exact, rounded up, a constant, or not at all; never as a header unless asked."""
    service = Service(limit=TokenBucket(0.4, 1), retry_after=told, clock=lambda: 100.0)
    assert get(service).status == 200
    answer = get(service)
    assert (answer.status, error(answer)["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    assert error(answer)["details"] == details
    assert "Retry-After" not in dict(answer.headers)
    assert service.counters.refused == 1


def test_a_refusal_tells_its_wait_in_a_header_if_asked() -> None:
    """In whole seconds, rounded up; none where no wait is told."""
    service = Service(limit=TokenBucket(0.4, 1), retry_after="exact", clock=lambda: 0.0)
    service.retry_after_header = True
    get(service)
    assert dict(get(service).headers)["Retry-After"] == "3"
    service.retry_after = None
    assert "Retry-After" not in dict(get(service).headers)


def test_a_refused_request_does_not_spend_its_fault() -> None:
    """The limit comes before the script, and refuses fast."""
    service = Service(
        limit=TokenBucket(1, 1), clock=iter([0.0, 0.5, 1.0]).__next__, latency=1, count_ids=True
    )
    service.script(ID, Status(500), Status(502))
    answers = [get(service) for _ in range(3)]
    assert [answer.status for answer in answers] == [500, 429, 502]
    assert [answer.delay for answer in answers] == [1, 0.0, 1]
    assert service.counters.ids[ID] == 2


def test_a_limit_can_be_set_changed_and_lifted() -> None:
    """While the emulator is in use."""
    service = Service(clock=lambda: 0.0)
    service.limit = FixedWindow(2, 60)
    assert [get(service).status for _ in range(3)] == [200, 200, 429]
    service.limit = None
    assert get(service).status == 200


def test_rate_limit_headers_are_sent_if_asked_for() -> None:
    """In the draft's form, or as X-RateLimit with the reset in Unix time or in seconds."""
    service = Service(limit=FixedWindow(2, 60), clock=lambda: 15.0, wall_clock=lambda: 1000.0)
    assert not any("limit" in name.lower() for name, _ in get(service).headers)
    service.quota_headers = "ratelimit"
    headers = dict(get(service).headers)
    assert headers["RateLimit-Policy"] == '"default";q=2;w=60'
    assert headers["RateLimit"] == '"default";r=0;t=45'
    styles: dict[QuotaHeaders, str] = {"x-ratelimit": "1045", "x-ratelimit-delta": "45"}
    for style, reset in styles.items():
        service.quota_headers = style
        headers = dict(get(service).headers)
        assert headers["X-RateLimit-Limit"] == "2"
        assert headers["X-RateLimit-Remaining"] == "0"
        assert headers["X-RateLimit-Reset"] == reset


def test_the_counters_add_up() -> None:
    """Every request has one status; ids are counted only when asked for."""
    service = Service(clock=itertools.count().__next__)
    service.script(ID, Status(503), Disconnect(), Raw(b"x"))
    answers = [get(service) for _ in range(5)]
    answers.append(service.respond("GET", "/", authorized=True))
    counters = service.counters
    assert counters.requests == len(answers) == counters.statuses.total()
    assert counters.statuses == {503: 1, 0: 2, 200: 2, 404: 1}
    assert not counters.ids
    service.reset_counters()
    assert service.counters.requests == 0


def test_another_endpoint_has_a_stub() -> None:
    """Its faults, then its body; an outage concerns it too."""
    service = Service(latency=0.5)

    def rate(path: str = "/v2/messages/7/rate") -> StubResponse:
        return service.respond("POST", path, authorized=True)

    assert rate().status == 404
    service.stub("POST", "/messages/7/rate", {"rating": "like"}, Status(503), Status(500))
    assert (rate().status, service.unmet_faults()) == (503, {"POST /v2/messages/7/rate": 1})
    assert (rate().status, service.unmet_faults()) == (500, {})
    answer = rate("/v2/messages/7/rate?x=1")
    assert (answer.status, answer.body, answer.delay) == (200, b'{"rating":"like"}', 0.5)
    assert service.respond("GET", "/v2/messages/7/rate", authorized=True).status == 404
    service.outage = Status(502)
    assert rate().status == 502
    service.outage = None
    service.stub("POST", "/messages/7/rate", StubResponse(204))
    assert rate().status == 204
    with pytest.raises(TypeError):
        service.stub("GET", "/health", object())
