"""The client's own pauses, where the API names no time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from siteassist_async.pacing import Pace
from siteassist_async.pacing.gate import Backoff, pause_after


def spell(backoff: Backoff, begin: float, seconds: float) -> list[float]:
    """The pauses of a spell of 429s that lasts so many seconds."""
    pauses: list[float] = []
    now = begin
    while now < begin + seconds:
        pauses.append(backoff.after(now, len(pauses) + 1, 1.0, limited=True))
        now += pauses[-1]
    backoff.end(now)
    return pauses


def test_the_pauses_double_up_to_half_a_minute() -> None:
    """A spell that lasts is asked about ever more seldom."""
    assert spell(Backoff(), 0.0, 100.0) == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_spell_begins_with_a_quarter_of_the_last() -> None:
    """The quota of a minute is not asked for ten times in each minute."""
    backoff = Backoff()
    assert sum(spell(backoff, 0.0, 60.0)) == 61.5
    assert spell(backoff, 100.0, 60.0) == [61.5 / 4, 30.0, 30.0]


def test_a_long_spell_is_soon_forgotten() -> None:
    """After short ones the pauses begin at half a second again."""
    backoff = Backoff()
    spell(backoff, 0.0, 3600.0)
    begins = [spell(backoff, 10_000.0 + 100 * number, 0.1)[0] for number in range(4)]
    assert begins == [30.0, 7.5, 1.875, 0.5]


def test_an_outage_neither_lengthens_the_pauses_nor_is_it_waited_out_for_long() -> None:
    """A 503 may end at any moment."""
    backoff = Backoff()
    assert [backoff.after(0.0, number, 1.0, limited=False) for number in (1, 4, 9)] == [0.5, 4, 6]
    backoff.end(3600.0)
    assert backoff.after(3600.0, 1, 1.0, limited=True) == 0.5


@given(st.floats(0, 1e9), st.integers(0, 10**6), st.floats(0, 1, exclude_max=True), st.booleans())
def test_a_pause_is_within_its_bounds(now: float, row: int, jitter: float, limited: bool) -> None:  # noqa: FBT001 - drawn
    """A quarter of a second at least, half a minute at most."""
    assert 0.25 <= Backoff().after(now, row, jitter, limited=limited) <= 30.0


@given(st.floats(0, exclude_min=True), st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_a_named_time_is_never_undercut(wait: float, row: int, jitter: float) -> None:
    """What the API asks for is waited for, a day at most."""
    assert min(wait, 86_400.0) <= pause_after(wait, row, jitter) <= max(min(wait, 86_400.0), 1.5)


def test_a_quota_of_a_minute_that_names_no_time_is_seldom_asked_for() -> None:
    """Of fifty in each minute three are refused, where doubling from half a second makes eight."""
    pace = Pace(concurrency=8, random=lambda: 0.5)
    now, used, minute, refusals = 0.0, 0, 0, 0
    while now < 1800.0:
        now = pace.start_at(now)
        if int(now // 60) > minute:
            minute, used = int(now // 60), 0
        permit = pace.start(now)
        used += 1
        if used <= 50:
            pace.succeeded(permit, now + 0.02)
        else:
            refusals += 1
            pace.throttled(permit, now + 0.02, None, limited=True)
        now += 0.02
    assert refusals <= 3 * 30
