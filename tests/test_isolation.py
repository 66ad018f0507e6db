"""Whose refusal it is: histories and their verdicts."""

from __future__ import annotations

import pytest
from attrs import define, field
from paces import TODAY, begin, grant, new_pace, rate_of, refuse

from siteassist_async.pacing import Permit
from siteassist_async.pacing.isolation import (
    FORGOTTEN,
    LIMITED,
    MOST_LONE,
    MOST_PARKED,
    OUTAGE,
    SERVED,
    WINDOW,
    Isolation,
    Verdict,
)

ALONE = Verdict(alone=True, general=False)
GENERAL = Verdict(alone=False, general=True)
UNKNOWN = Verdict(alone=False, general=False)
VERDICTS = {"alone": ALONE, "general": GENERAL, "unknown": UNKNOWN}


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

    def grant(self, *subjects: str) -> None:
        """Grant a request of each."""
        for subject in subjects:
            self.granted(self.begin(subject))

    def granted(self, permit: Permit) -> bool:
        """Grant one that was begun; whether it ends a streak."""
        self.in_a_row = 0
        return self.isolation.granted(permit)

    def refuse(self, subject: str, status: int, wait: float = 10.0) -> Verdict:
        """Refuse a request."""
        return self.refused(self.begin(subject), status, wait)

    def refused(self, permit: Permit, status: int, wait: float = 10.0) -> Verdict:
        """Refuse one that was begun."""
        verdict = self.isolation.refused(
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
        """Play steps like "x503 a b+ x429 40s": the verdict on the last refusal.

        A name alone is granted, with a number refused so; seconds pass.
        """
        verdict = UNKNOWN
        for step in steps.split():
            if step.endswith("s") and step[:-1].isdigit():
                self.now += float(step[:-1])
            elif step[-3:] in {"503", "429"}:
                verdict = self.refuse(step[:-3], int(step[-3:]))
            else:
                self.grant(step)
        return verdict


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [
        # A 503 of one id is nobody knows whose, until it comes again while others are answered.
        ("x503", "unknown"),
        ("x503 x503", "unknown"),
        ("a x503 x503", "unknown"),
        ("x503 a x503", "alone"),
        ("x503 a b503 x503", "alone"),
        ("x503 x503 a x503", "alone"),
        # An answer to the id itself makes it one like all others.
        ("x503 a x x503", "unknown"),
        # Five ids, none answered since: everyone's; the same id counts once.
        ("a503 b503 c503 d503", "unknown"),
        ("a503 b503 c503 d503 e503", "general"),
        ("a503 b503 c503 d503 d503 d503", "unknown"),
        ("a503 b503 c503 d503 x e503", "unknown"),
        ("a503 b503 c503 d503 x e503 f503 g503 h503 i503", "general"),
        # In a row with refusals of everyone the next is everyone's, also of one refused before.
        ("a503 b503 c503 d503 e503 f503", "general"),
        ("x503 a x503 b503 c503 d503 e503 f503 x503", "general"),
        ("a429 b503", "general"),
        ("a429 x b503", "unknown"),
        # A 429 is everyone's: limits are per project.
        ("x429", "general"),
        ("a b c x429", "general"),
        ("x429 x429", "general"),
        ("x429 a b c d x429", "general"),
        # Until five are answered between two of them.
        ("x429 a b c d e x429", "alone"),
        ("x429 a b c d e y429 a x429", "general"),
        ("x429 a b c d e y429 a b c d e x429", "alone"),
        # Then the id is known: the next is its own at once, be it that others wait.
        ("x429 a b c d e x429 x429", "alone"),
        # What is known of an id is forgotten some time after its own wait.
        ("x503 a 610s x503", "alone"),
        ("x503 a 611s x503", "unknown"),
        ("x429 a b c d e x429 611s x429", "unknown"),
        # Where single ids answer 429, one of another id is not taken for the limit.
        ("x429 a b c d e x429 y429", "unknown"),
        ("x429 a b c d e x429 y429 a b c d e y429", "alone"),
        # Until such an id is answered after its wait.
        ("x429 a b c d e x429 y429 y z429", "general"),
        # Or until many of the last outcomes are refusals.
        ("x429 a b c d e x429 a429 b429 c429 d429 e429 f429 g429", "unknown"),
        ("x429 a b c d e x429 a429 b429 c429 d429 e429 f429 g429 h429", "general"),
    ],
)
def test_a_history_has_its_verdict(steps: str, verdict: str) -> None:
    """On the last refusal of it."""
    assert History().play(steps) == VERDICTS[verdict]


def test_the_table_is_of_these_numbers() -> None:
    """Five ids are an outage, five grants show a 429 to be an id's own, eight of 32 a limit."""
    assert (OUTAGE, SERVED, LIMITED, WINDOW, FORGOTTEN) == (5, 5, 8, 32, 600.0)


def test_a_grant_from_before_the_first_refusal_says_nothing() -> None:
    """It was sent when all was well: the streak goes on, and no id is alone by it."""
    history = History()
    old = history.begin("old")
    history.play("a503 b503 c503 d503")
    assert not history.granted(old)
    assert history.refuse("a", 503) == UNKNOWN
    assert history.refuse("e", 503) == GENERAL


def test_a_grant_from_after_the_first_refusal_ends_the_streak() -> None:
    """Once."""
    history = History()
    history.refuse("a", 503)
    assert history.granted(history.begin("b"))
    assert not history.granted(history.begin("c"))


def test_refusals_beside_more_that_are_in_flight_are_no_outage_yet() -> None:
    """Half of what was started since the first of them must be refused."""
    history = History()
    permits = [history.begin(str(number)) for number in range(20)]
    verdicts = [history.refused(permit, 503) for permit in permits[:11]]
    assert verdicts == [UNKNOWN] * 9 + [GENERAL] * 2


def test_refusals_of_few_among_many_answers_are_no_limit() -> None:
    """Seven of 32 outcomes are bad ids, where such are known."""
    history = History()
    history.play("x429 a b c d e x429")
    for number in range(40):
        assert history.refuse(f"bad{number}", 429) == UNKNOWN
        history.grant("a", "b", "c", "d")


def test_ids_that_are_answered_after_their_wait_end_the_suspicion() -> None:
    """As many as were found alone, twenty at most."""
    history = History()
    for number in range(2 * MOST_LONE):
        history.play(f"x{number}429 a b c d e x{number}429")
        history.grant("a")
    for number in range(MOST_LONE):
        assert history.refuse(f"y{number}", 429) == UNKNOWN
        history.grant(f"y{number}", *"abcdefghij")
    assert history.refuse("z", 429) == GENERAL


def test_an_id_is_parked_until_it_is_answered() -> None:
    """By its last refusal, whatever the verdict."""
    history = History()
    assert history.isolation.parked_until("x") == 0.0
    history.refuse("x", 503, 10.0)
    assert history.isolation.parked_until("x") == 10.0
    history.now = 7.0
    history.refuse("x", 429, 2.0)
    assert history.isolation.parked_until("x") == 9.0
    history.grant("x")
    assert history.isolation.parked_until("x") == 0.0


def test_the_id_refused_longest_ago_is_forgotten_first() -> None:
    """So that any number of bad ids needs the same memory."""
    history = History()
    for number in range(MOST_PARKED):
        history.refuse(str(number), 503)
    history.refuse("0", 503)
    history.refuse("new", 503)
    assert len(history.isolation.parked) == MOST_PARKED
    assert history.isolation.parked_until("0") == history.isolation.parked_until("new") == 10.0
    assert history.isolation.parked_until("1") == 0.0


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


def test_what_the_first_429_of_such_an_id_taught_is_taken_back() -> None:
    """Where nothing had been learned before, nothing paces again."""
    pace = new_pace(64)
    now = refuse(pace, grant(pace, 0.0, 20), 30.0, subject="bad")
    assert pace.learned(TODAY) is not None
    now = grant(pace, now, 5)
    permit = begin(pace, now, "bad")
    assert pace.throttled(permit, permit.sent + 0.02, 30.0, limited=True) == (True, ())
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
    permit = begin(pace, grant(pace, now, 5), "bad")
    is_alone, events = pace.throttled(permit, permit.sent + 0.02, 2.0, limited=True)
    assert is_alone
    assert len(events) == 1
    assert pace.learned(TODAY) == learned


def test_what_another_429_taught_since_is_kept() -> None:
    """Only the last is taken back, and only by its own id."""
    pace = new_pace(64)
    now = refuse(pace, grant(pace, 0.0, 20), 2.0, subject="bad")
    now = refuse(pace, grant(pace, now, 20), 2.0, subject="other")
    learned = pace.learned(TODAY)
    permit = begin(pace, grant(pace, now, 10), "bad")
    assert pace.throttled(permit, permit.sent + 0.02, 2.0, limited=True) == (True, ())
    assert pace.learned(TODAY) == learned


def test_what_is_taken_back_opens_no_gate() -> None:
    """Another's 429 may have closed it meanwhile, though it was too old to count."""
    pace = new_pace(64)
    old = begin(pace, 0.0)
    now = refuse(pace, grant(pace, 0.0, 20), 2.0, subject="bad")
    permit = begin(pace, grant(pace, now, 10), "bad")
    now = permit.sent + 0.02
    pace.throttled(old, now, 60.0, limited=True)
    assert pace.throttled(permit, now, 2.0, limited=True)[0]
    assert pace.learned(TODAY) is None
    assert pace.start_at(now) >= now + 60.0


def test_a_limit_that_was_set_since_is_not_taken_back() -> None:
    """It is the user's, and no id taught it."""
    pace = new_pace(64)
    now = refuse(pace, grant(pace, 0.0, 20), 2.0, subject="bad")
    pace.adjust(concurrency=64, max_rate=3.0)
    permit = begin(pace, grant(pace, now, 5), "bad")
    assert pace.throttled(permit, permit.sent + 0.02, 2.0, limited=True)[0]
    now = grant(pace, permit.sent + 1.0, 3)
    assert rate_of(pace, now) == 3.0


def test_requests_without_a_subject_are_each_of_another() -> None:
    """Five refusals of them are an outage, and none is refused again."""
    pace = new_pace()
    permits = [begin(pace, 0.0) for _ in range(5)]
    assert len({permit.subject for permit in permits}) == 5
    for permit in permits:
        pace.throttled(permit, 1.0, 60.0, limited=False)
    assert pace.snapshot(1.0).gate > 0
