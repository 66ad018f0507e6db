"""The gate: strict after a 429, half open after 503s."""

from __future__ import annotations

import pytest
from paces import begin, grant, new_pace, outage, refuse

from siteassist_async.events import GateClosed
from siteassist_async.pacing.gate import PROBE_INTERVAL, Gate


def test_a_503_of_one_id_closes_no_gate() -> None:
    """The id is asked no earlier than it wants, and the others go on."""
    pace = new_pace()
    now = refuse(pace, 0.0, 60.0, limited=False, subject="bad")
    assert pace.parked_until("bad") == now + 60.0
    assert pace.parked_until("good") == 0.0
    assert pace.start_at(now) == now
    assert pace.snapshot(now).gate == 0.0
    assert pace.snapshot(now).parked == 1


def test_503s_of_one_id_close_no_gate_however_many() -> None:
    """What is asked for alone may fail alone: nobody else is held up."""
    pace = new_pace()
    now = 0.0
    for _ in range(20):
        now = refuse(pace, now, 60.0, limited=False, subject="bad")
    assert pace.snapshot(now).gate == 0.0


@pytest.mark.parametrize(("requests", "seconds"), [(4, 0.0), (5, 60.0)])
def test_503s_of_five_ids_close_the_gate(requests: int, seconds: float) -> None:
    """For as long as the API asks; fewer may be bad ids."""
    pace = new_pace()
    now = outage(pace, 0.0, 60.0, requests)
    assert pace.snapshot(now).gate == seconds


def test_503s_beside_as_many_that_are_in_flight_close_the_gate() -> None:
    """At least half of what was started since the first of them must be refused."""
    for in_flight, closed in ((6, True), (7, False)):
        pace = new_pace(64)
        permits = [begin(pace, 0.0) for _ in range(5 + in_flight)]
        for permit in permits[:5]:
            pace.throttled(permit, 1.0, 60.0, limited=False)
        assert (pace.snapshot(1.0).gate > 0) == closed


def test_503s_after_a_grant_count_anew() -> None:
    """What is granted that started after the first of them shows that it is no outage."""
    pace = new_pace(64)
    early, first, late, *others = (begin(pace, 0.0) for _ in range(7))
    pace.throttled(first, 1.0, 60.0, limited=False)
    pace.succeeded(early, 1.0)
    for permit in others[:3]:
        pace.throttled(permit, 1.0, 60.0, limited=False)
    pace.succeeded(late, 1.0)
    pace.throttled(others[3], 1.0, 60.0, limited=False)
    assert pace.snapshot(1.0).gate == 0.0
    outage(pace, 1.0, 60.0, 4)
    assert pace.snapshot(1.0).gate > 0


def test_while_refusals_of_everyone_are_in_a_row_the_next_503_closes_the_gate() -> None:
    """One probe that is refused is enough; after a grant it takes five again."""
    pace = new_pace()
    now = refuse(pace, outage(pace, 0.0, 60.0), 600.0, limited=False)
    assert pace.snapshot(now).gate == 600.0
    now = refuse(pace, grant(pace, now), 600.0, limited=False)
    assert pace.snapshot(now).gate == 0.0


def test_a_half_open_gate_lets_one_probe_a_minute_pass() -> None:
    """However long the API asks to wait: it may be back at any moment."""
    pace = new_pace()
    now = outage(pace, 0.0, 3600.0)
    probes = [begin(pace, now).sent for _ in range(3)]
    assert probes == pytest.approx([now + n * PROBE_INTERVAL for n in (1, 2, 3)])
    assert pace.opens == pytest.approx(now + 4 * PROBE_INTERVAL)


def test_a_half_open_gate_is_not_probed_when_it_opens_anyway() -> None:
    """The pause is shorter than the interval of the probes."""
    pace = new_pace()
    now = outage(pace, 0.0, 5.0)
    assert pace.start_at(now) == now + 5.0


def test_a_grant_opens_a_half_open_gate() -> None:
    """The probe's answer ends the outage for all, and the time that was not waited is not told."""
    pace = new_pace()
    now = outage(pace, 0.0, 3600.0)
    probe = begin(pace, now)
    now = probe.sent + 0.08
    pace.succeeded(probe, now)
    assert pace.snapshot(now).gate == 0.0
    assert pace.start_at(now) == now
    assert pace.snapshot(now).waited == pytest.approx(PROBE_INTERVAL + 0.08)


def test_a_429_makes_no_503_everyones() -> None:
    """One after it parks its id, as ever; whatever the gate was closed for is over."""
    pace = new_pace()
    now = refuse(pace, 0.0, 1.0)
    now = refuse(pace, now, 3600.0, limited=False, subject="bad")
    assert pace.snapshot(now).gate == 0.0
    assert pace.parked_until("bad") == now + 3600.0


def test_a_grant_opens_a_gate_that_503s_closed_after_a_429() -> None:
    """The refusals were in a row; the 503s' part is half open all the same."""
    pace = new_pace()
    now = outage(pace, refuse(pace, 0.0, 1.0), 3600.0)
    assert pace.snapshot(now).gate == 3600.0
    now = grant(pace, now)
    assert pace.snapshot(now).gate == 0.0


def test_a_429_closes_the_gate_to_the_second() -> None:
    """Nobody probes, and no grant opens it."""
    pace = new_pace()
    flying = begin(pace, 0.0)
    now = refuse(pace, 0.0, 3600.0)
    pace.succeeded(flying, now + 1.0)
    assert pace.opens == now + 3600.0
    assert pace.start_at(now + 1.0) >= pace.opens


def test_a_grant_in_an_outage_leaves_the_429_its_pause() -> None:
    """Of both, the part that the 429 asked for stays, for whatever is granted meanwhile."""
    pace = new_pace(64)
    others = [begin(pace, 0.0) for _ in range(7)]
    outage_ends, limit_ends = 1.0 + 3600.0, 1.0 + 30.0
    for permit in others[:5]:
        pace.throttled(permit, 1.0, 3600.0, limited=False)
    assert pace.opens < outage_ends
    pace.throttled(others[5], 1.0, 30.0, limited=True)
    pace.succeeded(others[6], 2.0)
    assert pace.opens == limit_ends
    assert pace.start_at(2.0) >= limit_ends


def test_a_429_during_an_outage_keeps_the_probes_back() -> None:
    """It closes nothing for longer, and nobody starts before its time."""
    gate = Gate()
    assert gate.close(0.0, 600.0, strict=False)
    assert gate.probes() == PROBE_INTERVAL
    assert not gate.close(1.0, 300.0)
    assert gate.probes() == 301.0
    assert gate.open(10.0)
    assert (gate.until, gate.left(10.0)) == (301.0, 291.0)
    assert not gate.open(10.0)
    assert gate.waited(400.0) == 301.0


def test_a_503_during_a_429s_pause_is_probed_when_that_is_over() -> None:
    """Half open means from when the strict part ends."""
    gate = Gate()
    gate.close(0.0, 30.0)
    gate.close(1.0, 600.0, strict=False)
    assert gate.probes() == 30.0
    gate.probe(30.0)
    assert gate.probes() == 90.0


def test_an_open_gate_counts_no_probe() -> None:
    """A request that starts while it is open is none."""
    gate = Gate()
    gate.probe(0.0)
    assert gate.close(1.0, 600.0, strict=False)
    assert gate.probes() == 1.0 + PROBE_INTERVAL


def test_who_listens_hears_of_a_gate_that_503s_close() -> None:
    """Once, by the refusal that was the evidence."""
    pace = new_pace()
    permits = [begin(pace, 0.0) for _ in range(5)]
    events = [pace.throttled(permit, 1.0, 9.0, limited=False) for permit in permits]
    assert events == [(False, ())] * 4 + [(False, (GateClosed(9.0),))]
