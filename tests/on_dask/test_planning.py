"""Plans, checked against simulated runs of a billion IDs."""

from __future__ import annotations

import math

import pytest
from simulated_cluster import DAY, IN_FLIGHT, SimulatedCluster, Trouble

from siteassist_async.distributed.local import ALLOWED_FAILURES
from siteassist_async.distributed.planning import Job, Plan, plan, simulate_limit
from siteassist_async.export import Ending, ExitCode

BILLION = 10**9
JOB = Job(BILLION, 500.0, workers=4)


@pytest.fixture(scope="module")
def planned() -> Plan:
    """The plan of a billion IDs."""
    return plan(JOB)


def cluster(planned: Plan) -> SimulatedCluster:
    """A cluster that exports as planned."""
    return SimulatedCluster(JOB.ids, JOB.rate, JOB.workers, planned.partitions)


def test_a_billion_ids(planned: Plan) -> None:
    """Undisturbed but for the deaths of a worker each week they take as long as planned."""
    simulated = cluster(planned)
    report = simulated.run(Trouble(deaths=7 * DAY))
    assert (report.ending, report.exit_code) == (Ending.FINISHED, ExitCode.DONE)
    assert report.progress.counts.exported == BILLION
    assert simulated.now == pytest.approx(planned.seconds, rel=0.01)
    assert 0 < simulated.again < planned.seconds / DAY * IN_FLIGHT * 4
    assert planned.seconds / DAY == pytest.approx(23.3, abs=0.3)
    assert planned.disk == pytest.approx(5.08e12, rel=0.01)
    assert planned.refused < 0.005


def test_a_billion_ids_with_all_that_may_happen(planned: Plan) -> None:
    """Each run says how it ended; run again, the job ends with all of them."""
    simulated = cluster(planned)
    lost = simulated.now
    killed = simulated.run(Trouble(killed=3 * DAY))
    assert (killed.ending, killed.exit_code) == (Ending.STOPPED, ExitCode.RUN_AGAIN)
    revoked = simulated.run(Trouble(revoked=2 * DAY, outage=(DAY, 200.0)))
    assert (revoked.ending, revoked.exit_code) == (Ending.BLOCKED, ExitCode.ACT)
    down = simulated.run(Trouble(outage=(DAY, 7200.0)))
    assert (down.ending, down.exit_code) == (Ending.UNREACHABLE, ExitCode.RUN_AGAIN)
    assert simulated.now == pytest.approx(6 * DAY + 300, abs=1)
    done = killed.progress.counts.exported
    assert done < revoked.progress.counts.exported < down.progress.counts.exported < BILLION
    deadly = next(part.number for part in simulated.parts if part.left == part.ids)
    given_up = simulated.run(Trouble(deadly=deadly))
    assert [part.number for part in given_up.unfinished] == [deadly]
    assert given_up.exit_code is ExitCode.RUN_AGAIN
    assert simulated.parts[deadly].deaths == ALLOWED_FAILURES + 1
    assert simulated.run(Trouble()).exit_code is ExitCode.DONE
    # Outages, restarts and the tails of five runs.
    assert simulated.now - lost == pytest.approx(planned.seconds, rel=0.01)
    assert simulated.report().progress.counts.exported == BILLION


def test_more_workers_do_not_make_it_faster(planned: Plan) -> None:
    """They share the limit; but one process has one of its own."""
    assert plan(Job(BILLION, 500.0, workers=16)).seconds == pytest.approx(planned.seconds, rel=0.01)
    assert plan(Job(BILLION, 500.0, workers=16)).refused > planned.refused
    fast, faster = (plan(Job(BILLION, 20_000.0, workers=n)).rate for n in (1, 4))
    assert fast == 5000.0
    assert faster == pytest.approx(20_000.0, rel=0.01)


def test_what_breaks_first() -> None:
    """Each bound is where a job of so many IDs is the last that fits."""
    job = Job(
        BILLION, 200.0, workers=2, deadline=30 * DAY, disk=3e12, files=200_000, memory=1.0 * 2**30
    )
    names = [bound.name for bound in plan(job).broken]
    assert names == ["the deadline", "free disk space"]
    assert plan(job).tokens == 2
    for bound in plan(job).bounds:
        if math.isfinite(bound.ids):
            fits, breaks = (
                Job(
                    round(bound.ids * factor),
                    200.0,
                    workers=2,
                    deadline=30 * DAY,
                    disk=3e12,
                    files=200_000,
                    memory=1.0 * 2**30,
                )
                for factor in (0.99, 1.01)
            )
            assert bound.name not in {found.name for found in plan(fits).broken}
            assert bound.name in {found.name for found in plan(breaks).broken}


def test_bounds_of_a_number_of_partitions_that_is_given() -> None:
    """If they do not fit, nothing does."""
    job = Job(1000, 50.0, partitions=10_000, files=50_000, memory=400.0 * 2**20)
    assert [bound.name for bound in plan(job).broken] == [
        "free inodes",
        "memory for the partitions",
    ]
    alone = plan(Job(BILLION, 50.0, memory=8e9))
    assert (alone.partitions, alone.lists) == (0, 0)
    assert [bound.name for bound in alone.broken] == ["the index of IDs in memory"]
    assert "more workers: one process" in plan(Job(10, 9000.0, deadline=1.0)).bounds[0].remedy


def test_the_simulation_of_a_limit() -> None:
    """Refusals grow with the workers; a limit without a burst costs time."""
    few, many = simulate_limit(50.0, 1), simulate_limit(50.0, 16)
    assert few.refused < 0.01 < many.refused
    assert simulate_limit(50.0, 2, burst=1.0).rate < 45.0 < many.rate
    assert simulate_limit(50.0, 16) == many
