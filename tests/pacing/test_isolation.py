"""Whose refusal it is: histories and their verdicts."""

from __future__ import annotations

import re

import pytest
from attrs import define, field
from paces import TODAY, begin, grant, new_pace, rate_of, refuse

from siteassist_async.events import RateChanged
from siteassist_async.pacing import Pace, Permit
from siteassist_async.pacing.isolation import Isolation, Verdict

ALONE = Verdict(own=True, alone=True, general=False)
OWN = Verdict(own=True, alone=False, general=False)
GENERAL = Verdict(own=False, alone=False, general=True)
UNKNOWN = Verdict(own=False, alone=False, general=False)
VERDICTS = {"alone": ALONE, "own": OWN, "general": GENERAL, "unknown": UNKNOWN}

STEP = re.compile(
    r"(?P<id>[a-z]\d*)(:(?P<status>429|503)(/(?P<wait>[\d.]+))?)?(\*(?P<times>\d+))?|(?P<passed>[\d.]+)s"
)


@define
class History:
    """What happened to the requests of a project, one after another unless they are begun first.

    `in_a_row` is what the pace counts: refusals of everyone since the last grant.
    """

    isolation: Isolation = field(factory=Isolation)
    now: float = 0.0
    started: int = 0
    in_a_row: int = 0

    def begin(self, subject: str) -> Permit:
        """Start a request."""
        self.started += 1
        return Permit(self.now, subject, bulk=False, number=self.started)

    def succeeded(self, permit: Permit) -> bool:
        """Grant one that was begun; whether it ends a streak."""
        self.in_a_row = 0
        return self.isolation.succeeded(permit)

    def throttled(self, permit: Permit, status: int, wait: float = 10.0) -> Verdict:
        """Refuse one that was begun."""
        verdict = self.isolation.throttled(
            permit,
            self.now,
            self.now + wait,
            limited=status == 429,
            started=self.started,
            in_a_row=self.in_a_row,
        )
        self.in_a_row += verdict.general
        return verdict

    def play(self, steps: str) -> Verdict:
        """Play steps: the verdict on the last refusal.

        "a" is granted, "x:429" refused, and is to wait for ten seconds, "x:429/5" for five; "a*5"
        is five times that, and in "40s" so many seconds pass.
        """
        verdict = UNKNOWN
        for step in steps.split():
            match = STEP.fullmatch(step)
            assert match is not None, step
            self.now += float(match["passed"] or 0)
            for _ in range(int(match["times"] or bool(match["id"]))):
                permit = self.begin(match["id"])
                if match["status"] is None:
                    self.succeeded(permit)
                else:
                    wait = float(match["wait"] or 10)
                    verdict = self.throttled(permit, int(match["status"]), wait)
        return verdict


def each(ids: range, refusal: str = ":429") -> str:
    """Steps: so many ids are refused, one after another."""
    return " ".join(f"i{number}{refusal}" for number in ids)


OUTAGE = each(range(5), ":503")
# One id, and three, that were refused by themselves.
LONE = "x:429 a*5 x:429"
KNOWN = LONE + " x:429*2"


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [
        # A 503 of one id is nobody knows whose, until it comes again while others are answered.
        ("x:503", "unknown"),
        ("x:503*9", "unknown"),
        ("a x:503 x:503", "unknown"),
        ("x:503 a x:503", "alone"),
        ("x:503 a b:503 x:503", "alone"),
        ("x:503 x:503 a x:503", "alone"),
        # An answer to the id itself makes it one like all others.
        ("x:503 a x x:503", "unknown"),
        # Of five ids, none answered since, they are everyone's; the same id counts once.
        (each(range(4), ":503"), "unknown"),
        (OUTAGE, "general"),
        (each(range(4), ":503") + " i3:503*9", "unknown"),
        (each(range(4), ":503") + " a i4:503", "unknown"),
        (each(range(4), ":503") + " a " + each(range(4, 9), ":503"), "general"),
        # Those of ids that were refused by themselves do not count.
        ("x:503 a x:503*9 " + each(range(3), ":503"), "unknown"),
        # In an outage every 503 is everyone's, also of an id refused by itself before.
        ("x:503 a x:503 " + OUTAGE + " x:503", "general"),
        (OUTAGE + " a i0:503", "alone"),
        (OUTAGE + " a b:503", "unknown"),
        # A 429 makes no 503 everyone's.
        ("a:429 b:503", "unknown"),
        ("x:503 a b:429 x:503", "alone"),
        # A 429 is everyone's, for limits are per project, also where single ids answer 503.
        ("x:429", "general"),
        ("a*99 x:429", "general"),
        ("x:429*9", "general"),
        ("x:503 a x:503 y:429", "general"),
    ],
)
def test_whose_a_503_is(steps: str, verdict: str) -> None:
    """The last of a history."""
    assert History().play(steps) == VERDICTS[verdict]


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [
        # A 429 is everyone's until five are answered between two of them.
        ("x:429 a*4 x:429", "general"),
        ("x:429 a*5 x:429", "own"),
        # So many for each other one that came meanwhile, and was everyone's.
        ("x:429 a*9 y:429 x:429", "general"),
        ("x:429 a*8 y:429 a x:429", "general"),
        ("x:429 a*9 y:429 a x:429", "own"),
        ("y:429 x:429 a*5 x:429", "own"),
        # From fifty on it is no chance.
        ("x:429 a*49 x:429", "own"),
        ("x:429 a*50 x:429", "alone"),
        ("x:429 a*98 y:429 a x:429", "own"),
        ("x:429 a*99 y:429 a x:429", "alone"),
        # Those after refusals of everyone that are in a row are everyone's too.
        ("x:429 a*99 y:429 x:429", "general"),
        ("x:429 a*99 " + OUTAGE + " x:429", "general"),
        (LONE + " " + OUTAGE + " x:429", "unknown"),
        # A wait like a limit's, half a second if nobody knows, is an id's own from fifty on only.
        ("x:429/1 a*49 x:429/1", "general"),
        ("x:429/1 a*50 x:429/1", "alone"),
        ("x:429/1 a*5 x:429/1.1", "own"),
        ("x:429/9 a*5 x:429/1", "general"),
        # A limit's is what an id waited for that is answered then, the longest.
        ("b:429/6 b x:429/12 a*5 x:429/12", "general"),
        ("b:429/6 b x:429/12 a*50 x:429/12", "alone"),
        ("b:429/6 b x:429/12 a*5 x:429/12.1", "own"),
        ("b:429/6 b c:429/3 c x:429/12 a*5 x:429/12", "general"),
        # A limit's is no 503's.
        ("b:503/60 b x:429 a*5 x:429", "own"),
        # Then the id is known: the next is its own at once, unless the wait is like a limit's.
        (LONE + " x:429", "own"),
        (LONE + " y:429/1 a x:429", "own"),
        (LONE + " x:429/1", "general"),
        ("b:429 b x:429/30 a*5 x:429/30 x:429/20", "general"),
        ("b:429 b x:429/30 a*5 x:429/30 x:429/20.1", "own"),
        # An answer makes it one like all others.
        (LONE + " x x:429/30", "unknown"),
    ],
)
def test_whose_a_429_is(steps: str, verdict: str) -> None:
    """The last of a history."""
    assert History().play(steps) == VERDICTS[verdict]


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [
        # Where single ids answer 429, one of another id is not taken for the limit.
        (LONE + " y:429", "unknown"),
        (LONE + " y:429 a*5 y:429", "own"),
        (LONE + " y:429*2", "unknown"),
        # With three such, the next is no chance, and one more of another is its own.
        (LONE + " x:429*2", "own"),
        (LONE + " x:429*3", "alone"),
        (LONE + " x:429 y:429*2", "unknown"),
        (KNOWN + " y:429*2", "alone"),
        # Unless the limit was met meanwhile, or the wait is like a limit's.
        (KNOWN + " y:429 z:429/1 a y:429", "unknown"),
        ("b:429 b x:429/30 a*5 x:429/30 x:429/30*2 y:429/20*2", "general"),
        # What asks for less than half of the wait that such an id asked for last is a limit's.
        (LONE + " y:429/4.9", "general"),
        (LONE + " y:429/5", "unknown"),
        (LONE + " x:429/20 y:429/9", "general"),
        (LONE + " x:429/20 x:429/8 y:429/4.5", "unknown"),
        (LONE + " z:503/90 a z:503/90 y:429/5", "unknown"),
        # So is one where sixteen of the last thirty-two outcomes are refusals.
        (LONE + " " + each(range(15)), "unknown"),
        (LONE + " " + each(range(16)), "general"),
        (LONE + " " + each(range(15)) + " a*16 y:429", "general"),
        (LONE + " " + each(range(15)) + " a*17 y:429", "unknown"),
        (LONE + " " + each(range(17)), "unknown"),
        (LONE + " " + each(range(32)), "general"),
        # Once the ids that were suspected are answered after their wait, all are a limit's again.
        (LONE + " y:429 y z:429/30", "general"),
        (LONE + " y:429 z:429 y z w:429", "general"),
        (LONE + " x:429 y:429 y z:429/30", "unknown"),
        # And what was taken for an id's own was the limit's, for the others too.
        (LONE + " x:429 q:429/21 y:429 y a*8 q:429/21", "unknown"),
        (LONE + " x:429 q:429/21 y:429 y a*9 q:429/21", "own"),
        # An answer to others that were refused says nothing of that.
        (LONE + " x z:429/30", "unknown"),
        ("b:429 x:429 a*5 x:429 b z:429/30", "unknown"),
        # One that asks for no longer than the limit does is the limit's.
        ("b:429 x:429 a*5 x:429 b z:429/20", "general"),
        (LONE + " y:503 y z:429", "unknown"),
        (LONE + " y:429 a*5 y:429 y z:429/30", "unknown"),
    ],
)
def test_whose_a_429_is_where_single_ids_answer_it(steps: str, verdict: str) -> None:
    """The last of a history."""
    assert History().play(steps) == VERDICTS[verdict]


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [
        ("x:503 a 610s x:503", "alone"),
        ("x:503 a 611s x:503", "unknown"),
        ("x:503 a 611s x:503*2", "unknown"),
        ("x:503 a 610.4s x:503", "unknown"),
        (LONE + " 610s x:429", "own"),
        (LONE + " 611s x:429", "unknown"),
    ],
)
def test_what_is_known_of_an_id_is_forgotten_ten_minutes_after_its_wait(
    steps: str, verdict: str
) -> None:
    """It is another trouble then."""
    assert History().play(steps) == VERDICTS[verdict]


def test_a_grant_from_before_the_first_refusal_says_nothing() -> None:
    """It was sent when all was well: the streak goes on, and no id is alone by it."""
    history = History()
    old = history.begin("old")
    history.play(each(range(4), ":503"))
    assert not history.succeeded(old)
    assert history.play("i0:503") == UNKNOWN
    assert history.play("i4:503") == GENERAL


def test_a_grant_from_after_the_first_refusal_ends_the_streak() -> None:
    """Once."""
    history = History()
    history.play("a:503")
    assert history.succeeded(history.begin("b"))
    assert not history.succeeded(history.begin("c"))


def test_a_grant_from_after_the_first_refusal_shows_an_id_to_be_alone() -> None:
    """Though the id was refused again since, and older ones are answered later."""
    history = History()
    old = history.begin("old")
    history.play("x:503")
    other = history.begin("other")
    history.play("x:503")
    history.succeeded(other)
    history.succeeded(old)
    assert history.play("x:503") == ALONE


def test_refusals_beside_more_that_are_in_flight_are_no_outage_yet() -> None:
    """Half of what was started since the first of them must be refused, and then no more."""
    history = History()
    permits = [history.begin(str(number)) for number in range(20)]
    verdicts = [history.throttled(permit, 503) for permit in permits[:11]]
    assert verdicts == [UNKNOWN] * 9 + [GENERAL] * 2
    for _ in range(20):
        history.begin("new")
    assert history.throttled(permits[11], 503) == GENERAL


def test_half_of_what_was_sent_is_an_outage() -> None:
    """So many and no more were started since the first."""
    history = History()
    permits = [history.begin(str(number)) for number in range(11)]
    assert [history.throttled(permit, 503) for permit in permits[:5]] == [*[UNKNOWN] * 4, GENERAL]


def test_refusals_of_few_among_many_answers_are_no_limit() -> None:
    """A third of the outcomes are bad ids, where such are known."""
    history = History()
    history.play(LONE)
    for number in range(40):
        assert history.play(f"i{number}:429") == UNKNOWN
        history.play("a*2")


def test_ids_that_are_answered_after_their_wait_end_the_suspicion() -> None:
    """As many as were found by themselves, twenty at most."""
    history = History()
    for number in range(40):
        history.play(f"i{number}:429 a*6")
        assert history.play(f"i{number}:429") in {OWN, ALONE}
    for number in range(20):
        wait = 30 * 3**number  # each longer than those that turned out to be the limit's
        assert history.play(f"j{number}:429/{wait}") == UNKNOWN
        history.play(f"j{number} a*9")
    assert history.play(f"z:429/{30 * 3**20}") == GENERAL


def test_an_id_is_parked_until_it_is_answered() -> None:
    """By its last refusal, whatever the verdict."""
    history = History()
    assert history.isolation.parked_until("x") == 0.0
    history.play("x:503")
    assert history.isolation.parked_until("x") == 10.0
    history.play("7s x:429/2")
    assert history.isolation.parked_until("x") == 9.0
    history.play("x")
    assert history.isolation.parked_until("x") == 0.0


def test_the_id_refused_longest_ago_is_forgotten_first() -> None:
    """So that any number of bad ids needs the same memory."""
    history = History()
    history.play(each(range(10_000), ":503") + " i0:503")
    assert history.isolation.parked_until("i1") == 10.0
    history.play("n:503")
    assert len(history.isolation.parked) == 10_000
    assert history.isolation.parked_until("i0") == history.isolation.parked_until("n") == 10.0
    assert history.isolation.parked_until("i1") == 0.0


def test_an_id_refused_alone_closes_no_gate_and_teaches_nothing() -> None:
    """It is told so; the pace of the others is what it was."""
    pace = new_pace(64)
    now = refuse(pace, grant(pace, 0.0, 20), 2.0)
    now = grant(pace, now, 5)
    rate, gate = rate_of(pace), pace.snapshot(now).gate
    now = refuse(pace, now, 60.0, limited=False, subject="bad")
    now = grant(pace, now)
    permit = begin(pace, now, "bad")
    now = permit.sent + 0.02
    assert pace.throttled(permit, now, 60.0, limited=False) == (True, ())
    assert pace.snapshot(now).gate == gate == 0.0
    assert rate_of(pace) >= rate
    assert pace.parked_until("bad") == now + 60.0


def test_an_id_that_is_proven_to_be_alone_is_told_so() -> None:
    """Fifty others were answered since."""
    pace = new_pace(64)
    now = refuse(pace, grant(pace, 0.0, 20), 30.0, subject="bad")
    permit = begin(pace, grant(pace, now, 50), "bad")
    assert pace.throttled(permit, permit.sent + 0.02, 30.0, limited=True) == (True, ())


def test_what_the_first_429_of_such_an_id_taught_is_taken_back() -> None:
    """Where nothing had been learned before, nothing paces again; that may still be chance."""
    pace = new_pace(64)
    now = refuse(pace, grant(pace, 0.0, 20), 30.0, subject="bad")
    assert pace.learned(TODAY) is not None
    now = grant(pace, now, 5)
    permit = begin(pace, now, "bad")
    assert pace.throttled(permit, permit.sent + 0.02, 30.0, limited=True) == (False, ())
    assert pace.learned(TODAY) is None
    assert pace.snapshot(now).rate is None
    assert pace.start_at(permit.sent + 0.02) == permit.sent + 0.02


def test_the_rate_from_before_comes_back() -> None:
    """And who listens hears of it."""
    pace = new_pace(64)
    now = refuse(pace, grant(pace, 0.0, 20), 2.0)
    learned = pace.learned(TODAY)
    now = refuse(pace, grant(pace, now, 20), 2.0, subject="bad")
    assert pace.learned(TODAY) != learned
    rate = own_429(pace, now)
    assert pace.learned(TODAY) == learned
    assert rate == rate_of(pace)


def own_429(pace: Pace, now: float, grants: int = 5) -> float | None:
    """Refuse the bad id by itself; the rate that who listens hears of."""
    permit = begin(pace, grant(pace, now, grants), "bad")
    _, events = pace.throttled(permit, permit.sent + 0.02, 2.0, limited=True)
    rates = [event.rate for event in events if isinstance(event, RateChanged)]
    assert len(rates) == len(events)
    return rates[0] if rates else None


def test_what_others_taught_since_is_taken_back_too() -> None:
    """It was learned from what the bad id's 429 had taught."""
    pace = new_pace(64)
    now = refuse(pace, grant(pace, 0.0, 20), 2.0)
    learned = pace.learned(TODAY)
    now = refuse(pace, grant(pace, now, 20), 2.0, subject="bad")
    now = refuse(pace, grant(pace, now, 20), 2.0, subject="other")
    own_429(pace, now, 10)
    assert pace.learned(TODAY) == learned


def test_what_was_learned_before_is_kept() -> None:
    """Another's 429 is not taken back with that of the bad id."""
    pace = new_pace(64)
    now = refuse(pace, grant(pace, 0.0, 20), 2.0, subject="other")
    now = refuse(pace, grant(pace, now, 20), 2.0, subject="bad")
    own_429(pace, now)
    learned = pace.learned(TODAY)
    assert learned is not None
    assert own_429(pace, now + 10.0) is None
    assert pace.learned(TODAY) == learned


@pytest.mark.parametrize(("others", "taken_back"), [(7, True), (8, False)])
def test_what_was_taught_eight_429s_ago_stays(*, others: int, taken_back: bool) -> None:
    """It has been corrected since."""
    pace = new_pace(64)
    now = refuse(pace, grant(pace, 0.0, 20), 2.0, subject="bad")
    for _ in range(others):
        now = refuse(pace, grant(pace, now, 20), 2.0)
    own_429(pace, now, 50)
    assert (pace.learned(TODAY) is None) == taken_back


def test_what_is_taken_back_opens_no_gate() -> None:
    """Another's 429 may have closed it meanwhile, though it was too old to count."""
    pace = new_pace(64)
    old = begin(pace, 0.0)
    now = refuse(pace, grant(pace, 0.0, 20), 2.0, subject="bad")
    permit = begin(pace, grant(pace, now, 10), "bad")
    now = permit.sent + 0.02
    pace.throttled(old, now, 60.0, limited=True)
    pace.throttled(permit, now, 2.0, limited=True)
    assert pace.learned(TODAY) is None
    assert pace.start_at(now) >= now + 60.0


def test_a_limit_that_was_set_since_is_not_taken_back() -> None:
    """It is the user's, and no id taught it."""
    pace = new_pace(64)
    now = refuse(pace, grant(pace, 0.0, 20), 2.0, subject="bad")
    pace.adjust(concurrency=64, max_rate=3.0)
    assert own_429(pace, now) is None
    assert pace.learned(TODAY) is None
    assert rate_of(pace) == 3.0
    assert rate_of(pace, grant(pace, now + 5.0, 3)) == 3.0


def test_after_what_is_taken_back_refusals_from_before_count_no_more() -> None:
    """They were sent at the rate that the bad id's 429 had taught."""
    pace = new_pace(64)
    now = refuse(pace, grant(pace, 0.0, 20), 2.0, subject="bad")
    now = grant(pace, now)
    old = begin(pace, now)
    own_429(pace, old.sent)
    assert pace.learned(TODAY) is None
    pace.throttled(old, old.sent + 60.0, 0.5, limited=True)
    assert pace.learned(TODAY) is None


def test_requests_without_a_subject_are_each_of_another() -> None:
    """Five refusals of them are an outage, and none is refused again."""
    pace = new_pace()
    permits = [begin(pace, 0.0) for _ in range(5)]
    assert len({permit.subject for permit in permits}) == 5
    for permit in permits:
        pace.throttled(permit, 1.0, 60.0, limited=False)
    assert pace.snapshot(1.0).gate > 0
