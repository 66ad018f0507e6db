"""Who waits for a start, and who is next."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from paces import begin, fresh, grant, new_pace, outage, refuse, restore

from siteassist_async.pacing import Pace, Permit, StartTooLateError, Waiter, WaitQueue
from siteassist_async.pacing.pace import RESERVED, URGENT_FOR
from siteassist_async.slots import Slots

if TYPE_CHECKING:
    from siteassist_async.pacing.queue import _Line  # pyright: ignore[reportPrivateUsage]


@define
class Line:
    """A queue, its pace and a time."""

    pace: Pace = field(factory=new_pace)
    now: float = 0.0
    slots: Slots = field(factory=lambda: Slots(64))
    queue: WaitQueue = field(factory=WaitQueue)
    told: list[str] = field(factory=list[str])
    waiters: dict[str, Waiter] = field(factory=dict[str, Waiter])
    ended: set[str] = field(factory=set[str])

    def enter(
        self,
        name: str,
        *,
        bulk: bool = False,
        latest: float = math.inf,
        slots: Slots | None = None,
    ) -> float:
        """Let a call of this name, which is its id as well, wait; how long it looks to be."""
        waiter = Waiter(name, bulk, latest, slots or self.slots, lambda: self.told.append(name))
        wait = self.queue.enter(waiter, self.pace, self.now)
        self.waiters[name] = waiter
        return wait

    def advance(self, now: float | None = None) -> float:
        """Start and refuse; the next time to look."""
        self.now = self.now if now is None else now
        return self.queue.advance(self.pace, self.now)

    def outcome(self, name: str) -> Permit | StartTooLateError | None:
        """What the call was told."""
        return self.waiters[name].outcome

    def started(self) -> list[str]:
        """Those that started, in their order."""
        return [name for name in self.told if isinstance(self.outcome(name), Permit)]

    def one_by_one(self) -> list[str]:
        """Answer each before the next starts; the order of all."""
        while len(self.queue):
            for name in self.started():
                if name not in self.ended:
                    self.end(name)
            at = self.advance()
            if self.ended.issuperset(self.started()):
                self.now = at
        return self.started()

    def end(self, name: str) -> None:
        """Answer it."""
        outcome = self.outcome(name)
        assert isinstance(outcome, Permit)
        self.ended.add(name)
        self.waiters[name].slots.release()
        self.pace.succeeded(outcome, self.now)


def full(concurrency: int = 1, slots: int = 64) -> Line:
    """A line in which all wait for one request to end."""
    line = Line(new_pace(concurrency), slots=Slots(slots))
    line.enter("first")
    for number in range(1, concurrency):
        line.enter(f"first{number}")
    line.advance()
    assert len(line.started()) == concurrency
    return line


def test_bulk_work_is_first_come_first_served() -> None:
    """Whatever it may wait."""
    line = full()
    for name, latest in (("a", 99.0), ("b", math.inf), ("c", 50.0)):
        line.enter(name, bulk=True, latest=latest)
    assert line.one_by_one() == ["first", "a", "b", "c"]


def refused_once(line: Line, name: str, answered: int) -> None:
    """Let an id be refused, and then so many others be answered."""
    line.now = grant(line.pace, refuse(line.pace, line.now, 1.0, subject=name), answered) + 9.0
    line.enter("first")
    line.advance()


@pytest.mark.parametrize(
    ("answered", "order"), [(4, ["first", "b", "a", "c"]), (3, ["first", "a", "b", "c"])]
)
def test_an_id_that_was_refused_goes_first_where_that_tells_whose_the_refusal_was(
    answered: int, order: list[str]
) -> None:
    """Were it refused again after so many answers, that would be its own."""
    line = Line(new_pace(1))
    refused_once(line, "b", answered)
    for name in "abc":
        line.enter(name, bulk=True)
    assert line.one_by_one() == order


def test_an_id_that_was_refused_waits_behind_others_until_one_is_answered() -> None:
    """A refusal right behind one of everyone's would tell nothing."""
    line = Line(new_pace(1))
    refused_once(line, "b", 9)
    line.end("first")
    line.now = refuse(line.pace, line.now, 1.0) + 1.0
    for name in "abc":
        line.enter(name, bulk=True)
    assert line.one_by_one()[1:] == ["a", "b", "c"]


def test_an_id_that_was_refused_is_late_as_any_other() -> None:
    """Whoever is before it."""
    line = Line(new_pace(1))
    refused_once(line, "b", 9)
    line.enter("a", bulk=True)
    line.enter("b", bulk=True, latest=line.now + 0.5)
    assert line.advance() == line.now + 0.5
    line.advance(line.now + 0.6)
    assert isinstance(line.outcome("b"), StartTooLateError)
    assert line.outcome("a") is None


def test_a_call_goes_first_whose_start_must_be_earliest() -> None:
    """Of equals the one that came first."""
    line = full()
    for name, latest in (("a", 99.0), ("b", math.inf), ("c", 50.0), ("d", 99.0), ("e", 50.0)):
        line.enter(name, latest=latest)
    assert line.one_by_one() == ["first", "c", "e", "a", "d", "b"]


def test_calls_that_somebody_waits_for_go_before_bulk_work() -> None:
    """One start in four is bulk work's while both wait, and the first of all is not."""
    line = full()
    for number in range(4):
        line.enter(f"bulk{number}", bulk=True)
    for number in range(8):
        line.enter(f"call{number}")
    order = line.one_by_one()[1:]
    assert [name[:4] for name in order[:10]] == ["call"] * 2 + ["bulk"] + ["call"] * 3 + [
        "bulk"
    ] + ["call"] * 3
    assert [name[:4] for name in order[10:]] == ["bulk"] * 2


@given(st.lists(st.booleans(), max_size=60))
def test_each_has_its_share_while_both_wait(kinds: list[bool]) -> None:
    """Bulk work at least one start in four, and never two together while a call waits."""
    line = full()
    for number, bulk in enumerate(kinds):
        line.enter(f"{'bulk' if bulk else 'call'}{number}", bulk=bulk)
    order = [name[:4] for name in line.one_by_one()[1:]]
    both = order[: min(_last(order, "bulk"), _last(order, "call"))]
    assert sorted(line.told) == sorted({*line.told})
    assert "".join(both).count("bulkbulk") == 0
    assert "".join(both).count("call" * RESERVED) == 0


def _last(order: list[str], kind: str) -> int:
    return len(order) - order[::-1].index(kind) if kind in order else 0


def test_while_calls_come_bulk_work_leaves_a_quarter_of_the_window_free() -> None:
    """Those that come find room at once; ten seconds after the last of them all is bulk work's."""
    line = Line(new_pace(8))
    line.enter("call")
    for number in range(9):
        line.enter(f"bulk{number}", bulk=True)
    line.advance()
    assert len(line.started()) == 6
    line.enter("late")
    line.advance(1.0)
    assert line.started()[-1] == "late"
    line.advance(1.0 + URGENT_FOR - 0.01)
    assert len(line.started()) == 7
    line.advance(1.0 + URGENT_FOR)
    assert len(line.started()) == 8


def test_while_calls_come_bulk_work_leaves_a_quarter_of_the_slots_free() -> None:
    """Of the client that makes them; another client's bulk work has all of its own."""
    line = Line(new_pace(14), slots=Slots(4))
    other = Slots(4)
    line.enter("call")
    for number in range(4):
        line.enter(f"bulk{number}", bulk=True)
    for number in range(5):
        line.enter(f"other{number}", bulk=True, slots=other)
    line.advance()
    assert (line.slots.free, other.free) == (1, 0)
    line.enter("late")
    line.advance(5.0)
    assert line.slots.free == 0
    line.end("call")
    line.end("late")
    line.advance(5.0 + URGENT_FOR - 0.01)
    assert line.slots.free == 1
    line.advance(5.0 + URGENT_FOR)
    assert line.slots.free == 0


def test_without_a_free_slot_of_its_client_nobody_starts() -> None:
    """Those of other clients pass by."""
    line = Line(new_pace(14))
    empty = Slots(0)
    line.enter("a", slots=empty)
    line.enter("b", bulk=True, slots=empty)
    line.enter("c")
    assert line.advance() == math.inf
    assert line.started() == ["c"]
    assert line.queue.reason(line.waiters["a"], line.pace, 0.0) == "slots"


def test_who_left_is_passed_over() -> None:
    """From the head of either line, and once."""
    line = full()
    for name in ("a", "b", "c"):
        line.enter(name)
        line.enter(f"bulk-{name}", bulk=True)
    for name in ("a", "b", "bulk-a", "bulk-b"):
        line.queue.leave(line.waiters[name])
        line.queue.leave(line.waiters[name])
    assert len(line.queue) == 2
    assert line.one_by_one() == ["first", "c", "bulk-c"]
    assert len(line.queue) == 0


def test_the_next_look_is_when_the_next_may_start() -> None:
    """By the rate, and never where only an answer can change anything."""
    line = Line(new_pace(64, max_rate=10.0))
    for number in range(3):
        line.enter(str(number), bulk=True)
    at = line.advance()
    assert line.started() == ["0"]
    assert at == pytest.approx(0.05)
    full_line = full()
    full_line.enter("a", bulk=True)
    assert full_line.advance() == math.inf


@pytest.mark.parametrize("bulk", [False, True])
def test_the_next_look_is_not_after_somebody_s_latest_start(*, bulk: bool) -> None:
    """Who cannot start by then is told then, and neither before nor in time to start."""
    line = full()
    line.enter("a", latest=7.0, bulk=bulk)
    assert line.advance() == 7.0
    at = line.advance(7.0)
    assert line.outcome("a") is None
    assert 7.0 < at < 7.0001
    line.advance(at)
    outcome = line.outcome("a")
    assert isinstance(outcome, StartTooLateError)
    assert outcome.reason == "slots"
    assert line.told == ["first", "a"]
    assert len(line.queue) == 0


def test_at_its_latest_start_a_call_may_start() -> None:
    """It is late only after."""
    line = full()
    line.enter("a", latest=7.0)
    line.end("first")
    line.advance(7.0)
    assert line.started() == ["first", "a"]


@pytest.mark.parametrize("bulk", [False, True])
def test_a_call_that_is_late_is_not_started(*, bulk: bool) -> None:
    """A moment after its latest start there is room: it goes to the next."""
    line = full()
    line.enter("late", latest=7.0, bulk=bulk)
    line.enter("next", bulk=True)
    line.end("first")
    line.advance(7.1)
    assert line.started() == ["first", "next"]
    assert isinstance(line.outcome("late"), StartTooLateError)


def test_late_bulk_work_behind_other_bulk_work_is_not_started() -> None:
    """The one before it starts at the same moment, and it is the next in turn."""
    line = Line()
    line.slots.free = 0
    for name, latest in (("first", math.inf), ("late", 7.0), ("last", math.inf)):
        line.enter(name, bulk=True, latest=latest)
    line.advance()
    line.slots.free = 8
    line.advance(7.1)
    assert line.started() == ["first", "last"]
    assert isinstance(line.outcome("late"), StartTooLateError)


def test_a_gate_that_closes_refuses_those_it_makes_late() -> None:
    """At once: they hear how long it would have been, and what for."""
    line = Line(new_pace(1))
    now = 0.0
    line.enter("first")
    line.advance()
    line.enter("late", latest=59.0)
    line.enter("patient", latest=61.0)
    first = line.outcome("first")
    assert isinstance(first, Permit)
    line.pace.throttled(first, now, 60.0, limited=True)
    line.advance()
    outcome = line.outcome("late")
    assert isinstance(outcome, StartTooLateError)
    assert outcome.reason == "gate"
    assert 60.0 <= outcome.wait < 61.0
    assert line.outcome("patient") is None


def test_a_half_open_gate_refuses_none_that_may_be_its_probe() -> None:
    """An hour's outage is probed in a minute."""
    line = Line(new_pace())
    line.now = outage(line.pace, 0.0, 3600.0)
    line.enter("a", latest=line.now + 61.0)
    assert line.advance() == line.now + 60.0
    with pytest.raises(StartTooLateError) as caught:
        line.enter("b", latest=line.now + 59.0)
    assert (caught.value.wait, caught.value.reason) == (60.0, "gate")


def test_what_is_ahead_counts_on_arrival() -> None:
    """A tenth of a second for each at ten a second; those whose latest start is later do not."""
    line = Line(new_pace(64, max_rate=10.0))
    line.advance(grant(line.pace, 0.0))
    line.enter("first", bulk=True)
    line.advance()
    waits = [line.enter(str(number), latest=line.now + 100.0) for number in range(20)]
    steps = [second - first for first, second in pairwise(waits)]
    assert steps == pytest.approx([0.1] * 19)
    assert line.enter("hasty", latest=line.now + 1.0) == pytest.approx(waits[0])
    line.queue.leave(line.waiters["hasty"])
    with pytest.raises(StartTooLateError) as caught:
        line.enter("late", latest=line.now + waits[0] / 2)
    assert caught.value.reason == "pace"


def test_a_call_that_could_not_start_in_time_is_refused_on_arrival() -> None:
    """By those ahead of it alone, and as much earlier as an answer may take longer: 0.08 s."""
    line = Line(new_pace(64, max_rate=10.0))
    line.advance(grant(line.pace, 0.0))
    while line.enter(str(len(line.queue)), latest=line.now + 1.99) < 1.85:
        pass
    with pytest.raises(StartTooLateError) as caught:
        line.enter("late", latest=line.now + 1.99)
    assert caught.value.wait == pytest.approx(2.0)
    with pytest.raises(StartTooLateError):
        line.enter("barely late", latest=line.now + 2.07)
    assert len(line.queue) == len(line.waiters) == 20
    line.enter("in time", latest=line.now + 2.09)


def test_a_call_with_nobody_ahead_needs_no_time_to_spare() -> None:
    """It is at its own risk, and shows how long answers take."""
    line = Line(new_pace(64, max_rate=10.0))
    line.advance(grant(line.pace, 0.0))
    line.enter("first", latest=line.pace.expected_start(line.now, 0))


def test_no_more_than_a_quarter_of_the_time_is_kept_to_spare() -> None:
    """Where answers take as long as the calls may wait, calls wait all the same."""
    line = Line(new_pace(64, max_rate=10.0))
    permit = begin(line.pace, 0.0)
    line.now = permit.sent + 30.0
    line.pace.succeeded(permit, line.now)
    line.enter("0")
    assert line.pace.spare(4.0) == 1.0
    line.enter("1", latest=line.now + 0.2)


def test_the_share_of_bulk_work_counts_on_arrival() -> None:
    """A call behind others waits a third longer where bulk work waits too."""
    line = Line(new_pace(64, max_rate=10.0))
    line.now = grant(line.pace, 0.0)
    for number in range(10):
        line.enter(str(number))
    alone = line.pace.expected_start(line.now, 10) - line.now
    line.enter("bulk", bulk=True)
    shared = line.enter("last")
    own = line.pace.expected_start(line.now, 0) - line.now
    assert shared - own == pytest.approx((alone - own) * 4 / 3)


def lines(queue: WaitQueue) -> dict[Slots, _Line]:
    """Those that wait, by their clients."""
    return queue._lines  # pyright: ignore[reportPrivateUsage] # nothing else tells


def test_bulk_work_does_not_make_calls_count_all_that_wait() -> None:
    """Ten thousand calls that come together cost each the same: nobody walks the queue."""
    line = full()
    line.enter("bulk", bulk=True)
    for number in range(100):
        line.enter(str(number), latest=1e6)
    for waiting in lines(line.queue).values():
        waiting.urgent = _Untouched(waiting.urgent)
    line.enter("last", latest=1e6)


class _Untouched(list[tuple[float, int, Waiter]]):
    """A heap that nobody walks."""

    def __iter__(self) -> None:  # type: ignore[override]
        raise AssertionError("somebody looks at all that wait")


def test_how_long_requests_take_counts_where_no_rate_is_known() -> None:
    """Little's law: so many in flight, each for so long."""
    pace = new_pace(2)
    pace.succeeded(begin(pace, 0.0), 10.0)
    assert pace.expected_start(10.0, 4) == 10.0 + 4 * 10.0 / 2
    assert new_pace(2).expected_start(0.0, 4) == 4 * 0.1 / 2


def test_an_id_that_was_refused_meanwhile_does_not_start() -> None:
    """It is told to wait for its own time, outside the queue; the next one starts."""
    line = full()
    line.enter("bad")
    line.enter("good")
    line.now = refuse_first(line)
    line.advance()
    assert line.told == ["first", "bad", "good"]
    assert line.outcome("bad") is None
    assert line.started() == ["first", "good"]
    assert line.slots.free == 63


def refuse_first(line: Line) -> float:
    """Refuse the first for good, as being about the id "bad"."""
    first = line.outcome("first")
    assert isinstance(first, Permit)
    first.subject = "bad"
    line.ended.add("first")
    line.slots.release()
    line.pace.throttled(first, 0.5, 60.0, limited=False)
    return 0.5


def test_an_empty_queue_forgets_its_clients() -> None:
    """One that is closed is kept by nobody."""
    line = full()
    line.enter("a")
    line.one_by_one()
    assert not lines(line.queue)


def test_a_learned_rate_spreads_the_starts() -> None:
    """Those that wait start at the rate, one by one."""
    line = Line(new_pace(64))
    restore(line.pace, fresh(10.0, 600.0))
    line.now = refuse(line.pace, 0.0, 1.0)
    for number in range(5):
        line.enter(str(number), bulk=True)
    starts = list[float]()
    while len(line.queue):
        line.now = line.advance()
        starts.append(line.now)
    assert starts == sorted(set(starts))
