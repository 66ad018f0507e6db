"""Bulk work in trouble: whose failure it is, and what is done until that is known."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import sys
from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from fakes import FakeClock, settle
from many import MISSING, Input

from siteassist_async import (
    AuthenticationError,
    BadRequestError,
    CertificateError,
    ClientClosedError,
    ConflictError,
    ConnectionFailedError,
    DeadlineExceededError,
    InternalServerError,
    InvalidIdError,
    NotFoundError,
    OutageError,
    PaymentRequiredError,
    PermissionDeniedError,
    ProxyError,
    RateLimitError,
    ServerError,
    ServiceUnavailableError,
    SiteAssistError,
    ThrottledError,
    TimedOutError,
    TokenError,
    UnexpectedStatusError,
    UnusableResponseError,
    ValidationError,
    bulk,
)
from siteassist_async.bulk import MOST_PARKED, UNPROVEN, Options, each
from siteassist_async.outage import WINDOW, is_final, is_specific_to_id, needs_a_person
from siteassist_async.parking import parking

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator

Outcomes = list[tuple[int, "int | SiteAssistError"]]

OWN_WORD = [
    BadRequestError(code="INVALID_REQUEST_BODY"),
    PermissionDeniedError(code="FORBIDDEN"),
    ValidationError(code="VALIDATION_ERROR"),
]

ANYONES = [
    NotFoundError("<h1>Not found</h1>"),
    PermissionDeniedError("<h1>Blocked</h1>"),
    BadRequestError("<h1>Bad request</h1>", code="BAD"),
    UnexpectedStatusError(status=302),
    UnusableResponseError("not JSON"),
    InternalServerError(code="INTERNAL_SERVER_ERROR"),
    ServerError(status=522),
    ServiceUnavailableError(code="SERVICE_UNAVAILABLE"),
    RateLimitError(code="RATE_LIMIT_EXCEEDED"),
    TimedOutError("silent"),
    ConnectionFailedError("Too many open files"),
    ConnectionFailedError("Name or service not known"),
    TokenError("the token callable raised OSError"),
    DeadlineExceededError("too late"),
    ThrottledError(),
    CertificateError("expired"),
]
"""What a proxy, a network, a token service or this machine may say of every id for a while."""


class Api:
    """Answers each key, but for those in trouble, and counts; `down` is trouble for all."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.down: SiteAssistError | None = None
        self.errors: dict[int, SiteAssistError] = {}
        self.asked: list[int] = []
        self.each: Callable[[int], object] = lambda _: None

    async def __call__(self, key: int) -> int:
        """As a fetch."""
        self.asked.append(key)
        self.each(key)
        await asyncio.sleep(0)
        error = self.down or self.errors.get(key)
        if error is not None:
            raise error
        return key

    async def collect(
        self,
        keys: Iterable[int] | AsyncIterable[int],
        *,
        limit: int = 4,
        ordered: bool = False,
        wait: float = 300.0,
        strict: bool = False,
    ) -> Outcomes:
        """All outcomes; no task is left behind."""
        options = Options[int](wait=wait, strict=strict, clock=self.clock)
        outcomes = each(keys, self, limit=limit, ordered=ordered, options=options)
        found = [outcome async for outcome in outcomes]
        assert len(asyncio.all_tasks()) == 1
        return found

    def breaks(self, at: int, error: SiteAssistError, until: float) -> None:
        """From the request of this number on all fail, until a time of the clock."""

        def look(_: int) -> None:
            if len(self.asked) == at:
                self.down = error
            if self.clock.now() >= until:
                self.down = None
                self.clock.time += 0.001

        self.each = look


def good(count: int) -> Outcomes:
    """The outcomes of so many keys that are all answered."""
    return [(key, key) for key in range(count)]


@pytest.mark.parametrize("error", [*ANYONES, *OWN_WORD], ids=repr)
@pytest.mark.parametrize("at", [30, 197])
@pytest.mark.parametrize("ordered", [False, True])
async def test_no_key_is_lost_to_an_outage(
    error: SiteAssistError, at: int, *, ordered: bool
) -> None:
    """Whatever it says: all keys come once it is over, and hardly a request is made in it."""
    api = Api()
    api.breaks(at, error, until=api.clock.now() + 60.0)
    outcomes = await api.collect(range(200), ordered=ordered)
    assert (outcomes if ordered else sorted(outcomes)) == good(200)
    again = Counter(api.asked) - Counter(range(200))
    assert again.total() <= WINDOW + 4 + 10


@pytest.mark.parametrize("error", ANYONES, ids=repr)
async def test_an_outage_from_the_start_is_waited_through(error: SiteAssistError) -> None:
    """Where nothing was ever answered, those further on are asked for first."""
    if isinstance(error, CertificateError):
        return
    api = Api()
    api.breaks(1, error, until=api.clock.now() + 60.0)
    assert sorted(await api.collect(range(200))) == good(200)


@pytest.mark.parametrize("count", [1, 2, 19])
async def test_an_input_that_takes_its_time_is_read_on(count: int) -> None:
    """Its first keys fail while it has no others yet: those may be answered, and are."""
    api = Api()
    bad = InternalServerError()
    api.errors = dict.fromkeys(range(count), bad)
    outcomes = await api.collect(Input(range(100)).asynchronous(), limit=1)
    assert sorted(outcomes, key=first) == [(key, api.errors.get(key, key)) for key in range(100)]
    assert all(api.asked.count(key) > 1 for key in range(count))  # once others were answered
    assert api.clock.slept == []


@pytest.mark.parametrize("count", [2, 19])
async def test_a_slow_handful_that_all_fail_have_their_errors(count: int) -> None:
    """The end of the input is news too."""
    api = Api()
    api.down = InternalServerError()
    outcomes = await api.collect(Input(range(count)).asynchronous(), limit=1)
    assert outcomes == [(key, api.down) for key in range(count)]


async def test_a_slow_input_is_read_no_further_than_a_wide_window_in_an_outage() -> None:
    """After 100 failures and no answer it is one."""
    api = Api()
    api.down = InternalServerError()
    keys = Input(itertools.count())
    with pytest.raises(OutageError):
        await api.collect(keys.asynchronous(), limit=1)
    assert WINDOW * UNPROVEN <= keys.read <= WINDOW * UNPROVEN + 2


async def test_an_outage_that_does_not_end_ends_it_all(caplog: pytest.LogCaptureFixture) -> None:
    """After the wait, with the error that came last; what came before has its outcome."""
    caplog.set_level(logging.WARNING, "siteassist_async")
    api = Api()
    gone = ConnectionFailedError("gone")
    api.breaks(100, gone, until=1e9)
    seen: Outcomes = []
    outcomes = each(range(500), api, limit=4, options=Options(wait=300.0, clock=api.clock))
    began = api.clock.now()
    with pytest.raises(OutageError, match=r"no usable response for 300 s.*gone") as caught:
        await take(outcomes, seen)
    assert caught.value.error is caught.value.__cause__ is gone
    assert 300 <= api.clock.now() - began <= 301
    assert 95 <= len(seen) <= 100
    assert max(api.asked) < 130
    assert len(api.asked) < 160
    assert [record.getMessage() for record in caplog.records] == [
        "no usable responses, pausing for up to 300 s: gone"
    ]
    assert len(asyncio.all_tasks()) == 1


async def take(outcomes: AsyncIterator[tuple[int, int | SiteAssistError]], seen: Outcomes) -> None:
    """Loop over the outcomes."""
    async for outcome in outcomes:
        seen.append(outcome)


async def test_the_wait_counts_from_the_first_failure() -> None:
    """Twenty timeouts are part of it."""
    api = Api()
    began = api.clock.now()

    def take_time(key: int) -> None:
        if key >= 5 or api.down:
            api.down = TimedOutError("silent")
            api.clock.time += 5.0

    api.each = take_time
    with pytest.raises(OutageError):
        await api.collect(range(500), limit=1)
    assert 300 <= api.clock.now() - began <= 315


async def test_so_many_failures_in_a_row_are_asked_about() -> None:
    """Of one that was answered after 20; where none was after 100, of the last."""
    for answered, window in ((True, WINDOW), (False, WINDOW * UNPROVEN)):
        api = Api()
        api.breaks(2 if answered else 1, TimedOutError("silent"), until=1e9)
        with pytest.raises(OutageError):
            await api.collect(range(500), limit=1)
        count = answered + window
        assert api.asked[: count + 1] == [*range(count), 0 if answered else count - 1]
        assert max(api.asked) == count - 1


async def test_an_answer_to_a_question_is_one_to_go_by() -> None:
    """If all fail again after it, 20 are enough, and the question goes to that key."""
    api = Api()
    window = WINDOW * UNPROVEN

    def answer_the_second_question(_: int) -> None:
        api.down = None if len(api.asked) == window + 2 else TimedOutError("silent")

    api.each = answer_the_second_question
    with pytest.raises(OutageError):
        await api.collect(range(500), limit=1)
    last = window - 1
    assert api.asked[: window + 2] == [*range(window), last, last]
    assert api.asked[window + 2 : window + WINDOW + 3] == [*range(WINDOW), last]


@pytest.mark.parametrize(
    ("error", "others"),
    [(InternalServerError(), [300, 400, 500]), (ConnectionFailedError("refused"), [])],
    ids=repr,
)
async def test_keys_from_elsewhere_are_tried_at_once(
    error: SiteAssistError, others: list[int]
) -> None:
    """Each takes half a minute of retries; none is tried where there is no connection at all."""
    api, together = Api(), list[list[int]]()
    api.down = error
    if isinstance(error, ConnectionFailedError):
        error.sent = False
    flying: list[int] = []

    async def fetch(key: int) -> int:
        flying.append(key)
        together.append(sorted(flying))
        try:
            await settle()
            return await api(key)
        finally:
            flying.remove(key)

    options = Options[int](elsewhere=lambda: [300, 400, 500], clock=api.clock, wait=0.0)
    outcomes = each(range(100), fetch, limit=4, options=options)
    with pytest.raises(OutageError):
        await anext(outcomes)
    assert [keys for keys in together if keys[-1] >= 300][-1:] == [others][: len(others)]
    assert [key for key in api.asked if key >= 300] == others


async def test_others_are_asked_for_once_where_none_was_answered() -> None:
    """After that one that failed will do."""
    api = Api()
    api.down = TimedOutError("silent")
    options = Options(elsewhere=lambda: [300, 400], clock=api.clock)
    with pytest.raises(OutageError):
        await take(each(range(500), api, limit=1, options=options), [])
    assert api.asked[: WINDOW + 4] == [*range(WINDOW), WINDOW - 1, 300, 400, WINDOW - 1]
    assert (api.asked.count(300), api.asked.count(400)) == (1, 1)


async def test_the_last_pause_is_no_longer_than_the_wait_is() -> None:
    """There is a probe in its last second, and none after it."""
    api = Api()
    api.breaks(1, TimedOutError("silent"), until=1e9)
    began = api.clock.now()
    with pytest.raises(OutageError, match="for 20 s"):
        await api.collect(range(500), limit=1, wait=20.0)
    assert api.clock.now() - began == 20.0
    assert len(api.asked) == WINDOW * UNPROVEN + 8  # after 0, 1, 3, 7, 13.5, …, 19.2 s


@pytest.mark.parametrize("is_bug", [False, True])
async def test_a_probe_without_an_answer_ends_with_the_wait(
    is_bug: bool,  # noqa: FBT001 - a parameter
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last failure before it counts; what is no failure of a request is raised."""
    monkeypatch.setattr(bulk, "FIRST_PROBE", 0.001)
    api = Api()
    silent, fault = TimedOutError("silent"), TimeoutError("a bug")
    api.breaks(1, silent, until=1e9)

    async def fetch(key: int) -> int:
        if len(api.asked) > WINDOW * UNPROVEN:  # the second probe
            if is_bug:
                raise fault
            await asyncio.Event().wait()
        return await api(key)

    options = Options[int](wait=0.01, clock=api.clock)
    with pytest.raises(TimeoutError if is_bug else OutageError) as caught:
        await take(each(range(500), fetch, limit=1, options=options), [])
    assert caught.value is fault or caught.value.__cause__ is silent
    assert len(api.asked) == WINDOW * UNPROVEN + 1


async def test_who_waits_for_nothing_is_told_at_once() -> None:
    """A wait of 0 ends with the first probe."""
    api = Api()
    api.breaks(50, TimedOutError("silent"), until=1e9)
    with pytest.raises(OutageError, match="for 0 s"):
        await api.collect(range(500), wait=0.0)
    assert api.clock.slept == []


@pytest.mark.parametrize("error", ANYONES, ids=repr)
@pytest.mark.parametrize("ordered", [False, True])
async def test_a_bad_key_among_good_ones_is_asked_for_twice(
    error: SiteAssistError, *, ordered: bool
) -> None:
    """The second failure while others are answered is its outcome."""
    api = Api()
    api.errors = dict.fromkeys((0, 50, 51, 99), error)
    outcomes = await api.collect(range(100), ordered=ordered)
    assert [key for key, result in sorted(outcomes, key=first) if result is error] == [
        0,
        50,
        51,
        99,
    ]
    assert len(outcomes) == 100
    counts = Counter(api.asked)
    assert counts[50] == counts[51] == counts[99] == 2


def first(outcome: tuple[int, object]) -> int:
    """The key."""
    return outcome[0]


@pytest.mark.parametrize("error", OWN_WORD, ids=repr)
async def test_the_api_s_word_is_asked_for_once(error: SiteAssistError) -> None:
    """Its documented code says that it is about this id."""
    api = Api()
    api.errors = {50: error}
    outcomes = await api.collect(range(100))
    assert (50, error) in outcomes
    assert Counter(api.asked)[50] == 1


@pytest.mark.parametrize("kind", [RateLimitError, ServiceUnavailableError])
async def test_a_refusal_that_named_a_time_is_asked_for_once(
    kind: type[RateLimitError | ServiceUnavailableError],
) -> None:
    """The key waited, and was refused again."""
    api = Api()
    refused = kind(retry_after=30.0)
    api.errors = {50: refused}
    outcomes = await api.collect(range(100))
    assert (50, refused) in outcomes
    assert api.asked.count(50) == 1


async def test_what_was_refused_alone_is_asked_for_once() -> None:
    """Others were answered each time: nothing more is to be learned."""
    api = Api()
    alone = ServiceUnavailableError(retry_after=30.0)
    alone.isolated = True
    api.errors = {50: alone}
    outcomes = await api.collect(range(100))
    assert (50, alone) in outcomes
    assert Counter(api.asked)[50] == 1


@pytest.mark.parametrize(
    "error", [NotFoundError(code="CONVERSATION_NOT_FOUND"), InvalidIdError("no id")], ids=repr
)
async def test_what_no_outage_says_settles_at_once(error: SiteAssistError) -> None:
    """A list of ids that are all gone is no outage, and no key is asked for twice."""
    api = Api()
    api.errors = dict.fromkeys(range(10, 200), error)
    assert len(await api.collect(range(200))) == 200
    assert len(api.asked) == 200


async def test_a_404_is_asked_about_only_where_nothing_else_was_answered() -> None:
    """What was answered with content tells more."""
    api = Api()
    api.errors = dict.fromkeys(range(11, 50), InternalServerError())
    api.errors[10] = MISSING
    assert len(await api.collect(range(50), limit=1)) == 50
    assert api.asked.count(9) > 1
    assert api.asked.count(10) == 1


async def test_after_a_404_a_short_window_tells_an_outage() -> None:
    """The API is there, and the first failures are not those of a wrong URL."""
    api = Api()
    api.errors[0] = MISSING
    api.breaks(2, TimedOutError("silent"), until=1e9)
    with pytest.raises(OutageError):
        await api.collect(range(500), limit=1)
    assert max(api.asked) <= WINDOW + 4
    assert 0 in api.asked[1:]


async def test_an_invalid_id_is_no_answer() -> None:
    """Nothing was sent for it: what fails after it may be an outage from the start."""
    api = Api()
    api.errors = dict.fromkeys(range(200), TimedOutError("silent"))
    api.errors[0] = InvalidIdError("no id")
    with pytest.raises(OutageError):
        await api.collect(range(200))
    assert api.asked.count(0) == 1


async def test_a_window_of_403s_is_asked_about() -> None:
    """Where an id is still answered they are each their own; one more request a window."""
    api = Api()
    api.errors = dict.fromkeys(range(50, 250), PermissionDeniedError(code="FORBIDDEN"))
    outcomes = await api.collect(range(250))
    assert sum(isinstance(result, PermissionDeniedError) for _, result in outcomes) == 200
    assert 1 <= len(api.asked) - 250 <= 200 / WINDOW + 1


@pytest.mark.parametrize("count", [1, 5, 19])
@pytest.mark.parametrize("error", [*ANYONES, *OWN_WORD], ids=repr)
async def test_a_handful_that_all_fail_have_their_errors(
    error: SiteAssistError, count: int
) -> None:
    """Nothing else is known, and nobody waits: as with a single call."""
    api = Api()
    api.down = error
    assert sorted(await api.collect(range(count)), key=first) == [
        (key, error) for key in range(count)
    ]
    assert len(api.asked) == count
    assert api.clock.slept == []


@pytest.mark.parametrize("parked_first", [True, False])
async def test_one_of_a_handful_that_waits_may_be_answered_yet(*, parked_first: bool) -> None:
    """Then the others are asked for once more, whichever came first."""
    over, failed = asyncio.Event(), asyncio.Event()
    asked: list[int] = []

    async def fetch(key: int) -> int:
        asked.append(key)
        if key == 0:
            await (asyncio.sleep(0) if parked_first else failed.wait())
            return await park_each(30.0, over, key)
        if asked.count(1) == 1:
            await settle()
            failed.set()
            raise InternalServerError
        return key

    async with aclosing(each([0, 1], fetch, limit=2, options=Options(clock=FakeClock()))) as pairs:
        head = asyncio.create_task(anext(pairs))
        await settle()
        await settle()
        assert not head.done()
        assert len(asyncio.all_tasks()) == 3  # nothing else is under way meanwhile
        over.set()
        assert [await head, await anext(pairs)] == [(0, 0), (1, 1)]
    assert asked == [0, 1, 0, 1]


async def test_all_403s_have_their_errors() -> None:
    """Of a project that the token may not read each id says so."""
    api = Api()
    api.down = PermissionDeniedError(code="FORBIDDEN")
    assert len(await api.collect(range(300))) == 300


@pytest.mark.parametrize("error", [AuthenticationError("401"), PaymentRequiredError("402")])
@pytest.mark.parametrize("at", [0, 50, 99])
async def test_a_single_401_is_asked_about_again(error: SiteAssistError, at: int) -> None:
    """It was a moment of a token service, say: the key is answered the second time."""
    api = Api()

    def once(key: int) -> None:
        api.errors = {at: error} if key == at and api.asked.count(at) == 1 else {}

    api.each = once
    assert sorted(await api.collect(range(100), limit=1)) == good(100)
    assert 2 <= api.asked.count(at) <= 3


async def test_a_401_of_one_key_is_its_own() -> None:
    """Where a key that was answered still is, it is the outcome of this one."""
    api = Api()
    refused = AuthenticationError("401")
    api.errors = {50: refused}
    outcomes = await api.collect(range(100))
    assert (50, refused) in outcomes
    assert len(outcomes) == 100


async def test_a_401_of_all_ends_it_at_once() -> None:
    """One that was answered is refused too: nobody waits for that to pass."""
    api = Api()
    api.breaks(50, refused := AuthenticationError("401"), until=1e9)
    with pytest.raises(AuthenticationError) as caught:
        await api.collect(range(500))
    assert caught.value is refused
    assert len(api.asked) <= 50 + 4 + 1
    assert api.clock.slept == []


@pytest.mark.parametrize("error", [AuthenticationError("401"), PaymentRequiredError("402")])
@pytest.mark.parametrize("count", [1, 5])
async def test_a_401_of_a_handful_ends_it_too(error: SiteAssistError, count: int) -> None:
    """Few as they are, it is the token's or the plan's and not theirs."""
    api = Api()
    api.errors = {count - 1: error}
    api.each = lambda key: api.errors.setdefault(key, TimedOutError("silent"))
    with pytest.raises(type(error)) as caught:
        await api.collect(range(count))
    assert caught.value is error
    assert api.asked.count(count - 1) == 2
    assert api.clock.slept == []


async def test_an_untrusted_certificate_from_the_start_ends_it() -> None:
    """Waiting is no help."""
    api = Api()
    api.down = CertificateError("self-signed")
    with pytest.raises(CertificateError):
        await api.collect(range(500))
    assert api.clock.slept == []


async def test_a_client_that_is_closed_in_an_outage_ends_it() -> None:
    """Nothing more can come."""
    api = Api()
    api.breaks(50, TimedOutError("silent"), until=1e9)

    def close(_: int) -> None:
        if len(api.asked) > 50:
            api.down = TimedOutError("silent") if len(api.asked) < 90 else ClientClosedError()

    api.each = close
    with pytest.raises(ClientClosedError):
        await api.collect(range(500))


async def test_failures_of_before_an_answer_s_request_are_let_go() -> None:
    """An answer that was asked for before a failure says nothing of it; a later one does."""
    steps = {key: asyncio.Event() for key in range(4)}
    asked: list[int] = []
    bad = InternalServerError()

    async def fetch(key: int) -> int:
        asked.append(key)
        if key in steps:
            await steps[key].wait()
        if key == 1:
            raise bad
        return key

    options = Options[int](clock=FakeClock())
    async with aclosing(each(range(100), fetch, limit=2, options=options)) as outcomes:
        head = asyncio.create_task(anext(outcomes))
        await settle()
        steps[1].set()
        await settle()
        steps[0].set()
        assert await head == (0, 0)
        assert asked == [0, 1, 2, 3]
        steps[2].set()
        assert await anext(outcomes) == (2, 2)
        await settle()
        assert asked.count(1) == 2


async def test_the_next_answer_lets_a_failure_go() -> None:
    """Of a key that was taken after it."""
    api = Api()
    api.errors[1] = InternalServerError()
    assert len(await api.collect(range(5), limit=1)) == 5
    assert api.asked == [0, 1, 2, 1, 3, 4]


async def test_what_fails_while_others_are_asked_about_is_asked_about_itself() -> None:
    """The answer came to a request of before."""
    api, probed, failing = Api(), asyncio.Event(), asyncio.Event()
    forbidden = PermissionDeniedError(code="FORBIDDEN")

    async def fetch(key: int) -> int:
        api.asked.append(key)
        if api.asked.count(0) == 2 and key == 0:
            await probed.wait()
        if key == WINDOW + 1:
            await failing.wait()
        if key:
            raise forbidden
        return key

    options = Options[int](clock=api.clock)
    async with aclosing(each(range(WINDOW + 2), fetch, limit=2, options=options)) as outcomes:
        assert await anext(outcomes) == (0, 0)
        rest = asyncio.create_task(anext(outcomes))
        await settle()
        assert api.asked.count(0) == 2
        failing.set()
        await settle()
        probed.set()
        seen = [await rest] + [outcome async for outcome in outcomes]
    assert sorted(seen, key=first) == [(key, forbidden) for key in range(1, WINDOW + 2)]
    assert api.asked.count(0) == 3


async def park_each(seconds: float, over: asyncio.Event, key: int) -> int:
    """Wait as an id does that the API asked to wait."""
    with parking(seconds):
        await over.wait()
    return key


@pytest.mark.parametrize("ordered", [False, True])
async def test_keys_that_wait_for_their_own_sake_make_room(*, ordered: bool) -> None:
    """As many as there are of them: the others come meanwhile, in order as far as room goes."""
    over = asyncio.Event()

    async def fetch(key: int) -> int:
        return await park_each(30.0, over, key) if key % 2 else key

    outcomes = each(range(1000), fetch, limit=4, ordered=ordered)
    async with aclosing(outcomes):
        seen = [await anext(outcomes) for _ in range(1 if ordered else 500)]
        assert sorted(key for key, _ in seen) == list(range(0, 1 if ordered else 1000, 2))
        over.set()
        seen += [outcome async for outcome in outcomes]
    assert sorted(seen) == good(1000)
    assert not ordered or seen == good(1000)


async def test_so_many_may_wait_for_their_own_sake() -> None:
    """Then nothing more is read."""
    over, read = asyncio.Event(), 0

    def keys() -> Iterator[int]:
        nonlocal read
        for key in itertools.count():
            read += 1
            yield key

    async with aclosing(each(keys(), lambda key: park_each(30.0, over, key), limit=4)) as outcomes:
        head = asyncio.create_task(anext(outcomes))
        for _ in range(100):
            await settle()
        assert MOST_PARKED <= read <= MOST_PARKED + 4
        over.set()
        await head


@pytest.mark.parametrize("more", [False, True])
async def test_where_only_waiting_keys_are_left_one_that_was_answered_is_asked_for(
    *, more: bool
) -> None:
    """It tells the pacer whose refusals these are; others that are under way do so themselves.

    Not when they wait first, as after a refusal of all, which their next requests find out.
    """
    api, over, again = Api(), asyncio.Event(), asyncio.Event()

    async def fetch(key: int) -> int:
        await api(key)
        if key == 2:
            await over.wait()
        if key == 1:
            await park_each(30.0, again, key)
            await park_each(30.0, over, key)
        return key

    options = Options[int](clock=api.clock)
    async with aclosing(each(range(2 + more), fetch, limit=3, options=options)) as outcomes:
        assert await anext(outcomes) == (0, 0)
        await settle()
        assert api.asked.count(0) == 1
        again.set()
        await settle()
        assert api.asked.count(0) == 1 + (not more)
        over.set()
        assert sorted([outcome async for outcome in outcomes]) == good(2 + more)[1:]


async def test_a_short_wait_makes_no_room() -> None:
    """It costs more than it saves."""
    over, read = asyncio.Event(), 0

    def keys() -> Iterator[int]:
        nonlocal read
        for key in range(100):
            read += 1
            yield key

    outcomes = each(keys(), lambda key: park_each(0.01, over, key), limit=4)
    async with aclosing(outcomes):
        head = asyncio.create_task(anext(outcomes))
        await settle()
        assert read == 4
        over.set()
        await head


async def test_outside_of_bulk_work_a_wait_is_a_wait() -> None:
    """Nobody has to make room."""
    over = asyncio.Event()
    over.set()
    assert await park_each(30.0, over, 7) == 7


HELD: contextvars.ContextVar[str] = contextvars.ContextVar("held", default="the caller's")


async def test_the_input_is_read_in_one_task_and_one_context() -> None:
    """What it holds over a `yield`, a timeout or a span, stays in force, and stays its own."""
    tasks: set[asyncio.Task[object] | None] = set()

    async def keys() -> AsyncIterator[int]:
        async with asyncio.timeout(60):
            token = HELD.set("the input's")
            for key in range(20):
                tasks.add(asyncio.current_task())
                yield key
                assert HELD.get() == "the input's"
            HELD.reset(token)

    seen: list[str] = []

    async def fetch(key: int) -> int:
        seen.append(HELD.get())
        await asyncio.sleep(0)
        return key

    outcomes = [outcome async for outcome in each(keys(), fetch, limit=4)]
    assert sorted(outcomes) == good(20)
    assert len(tasks) == 1
    assert set(seen) == {"the caller's"}


async def test_a_plain_input_keeps_its_context() -> None:
    """A generator that sets a context variable finds it as it left it, and resets it."""

    def keys() -> Iterator[int]:
        token = HELD.set("the input's")
        for key in range(20):
            yield key
            assert HELD.get() == "the input's"
        HELD.reset(token)

    async def fetch(key: int) -> int:
        assert HELD.get() == "the caller's"
        await asyncio.sleep(0)
        return key

    outcomes = [outcome async for outcome in each(keys(), fetch, limit=4)]
    assert sorted(outcomes) == good(20)


async def test_the_work_has_the_caller_s_context() -> None:
    """As of the loop over the outcomes: a request id of a service, say."""
    seen: set[str] = set()

    async def fetch(key: int) -> int:
        seen.add(HELD.get())
        HELD.set(f"{key}")
        return key

    token = HELD.set("a request")
    outcomes = [outcome async for outcome in each(range(20), fetch, limit=4)]
    HELD.reset(token)
    assert sorted(outcomes) == good(20)
    assert "a request" in seen


async def test_each_task_has_a_context_of_its_own() -> None:
    """What one sets, a span of its request, is nothing to another."""
    seen: list[str] = []

    async def fetch(key: int) -> int:
        HELD.set(f"{key}")
        await asyncio.sleep(0)
        seen.append(HELD.get())
        return key

    assert len([outcome async for outcome in each(range(4), fetch, limit=4)]) == 4
    assert seen == ["0", "1", "2", "3"]
    assert HELD.get() == "the caller's"


class Counting:
    """An async iterator without `__aiter__`, as anext() accepts it."""

    def __init__(self) -> None:
        self.at = -1

    async def __anext__(self) -> int:
        """The next of ten."""
        self.at += 1
        if self.at == 10:
            raise StopAsyncIteration
        return self.at


async def test_an_async_iterator_need_not_be_iterable() -> None:
    """`__anext__` is all that is needed."""
    counting: AsyncIterator[int] = Counting()  # type: ignore[assignment] # pyright: ignore[reportAssignmentType] # the point
    outcomes = [outcome async for outcome in each(counting, Api(), limit=4)]
    assert sorted(outcomes) == good(10)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are of Python 3.12")
async def test_tasks_may_be_eager() -> None:
    """What runs at once, before its creation returns, is bounded and complete all the same."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - unknown to 3.11

    async def at_once(key: int) -> int:
        return key

    for fetch in (at_once, Api()):
        outcomes = [outcome async for outcome in each(range(100), fetch, limit=4)]
        assert sorted(outcomes) == good(100)


def test_what_the_errors_say() -> None:
    """An own word has its documented code; only a missing id and none at all are final."""
    assert all(map(is_specific_to_id, [*OWN_WORD, MISSING, ConflictError(code="CONFLICT")]))
    assert not any(map(is_specific_to_id, ANYONES))
    assert not any(map(is_final, [*OWN_WORD, *ANYONES]))
    assert [type(error) for error in [*OWN_WORD, *ANYONES] if needs_a_person(error)] == [
        PermissionDeniedError,
        NotFoundError,
        PermissionDeniedError,
    ]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NotFoundError("gone", status=404, code="CONVERSATION_NOT_FOUND"), False),
        (NotFoundError("<h1>Not found</h1>", status=404), True),
        (PermissionDeniedError("another project's", status=403), True),
        (AuthenticationError("no", status=401), True),
        (InternalServerError("down", status=500), False),
        (ProxyError(407), True),
        (ProxyError(502), False),
    ],
)
def test_what_a_person_must_see_to(error: SiteAssistError, *, expected: bool) -> None:
    """A wrong token, plan or base URL; not a missing conversation."""
    assert needs_a_person(error) is expected
