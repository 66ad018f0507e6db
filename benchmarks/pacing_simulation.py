"""Prints how fast the pacer finds a limit and stays at it, beside what others do.

A discrete-event simulation of the pacer's own decisions, and those of what drives it: limits to be
found, ids that are refused by themselves, services, outages and slow answers.
`python benchmarks/pacing_simulation.py` takes some ten minutes on one core, and `--quick`, which
leaves most of it out, half a minute. The plot goes to `docs/images/pacing.svg`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pacing import outages, poison, services
from pacing.plot import draw
from pacing.report import Target, heading, row, targets_of_many, targets_of_one
from pacing.runs import CLIENTS, SMALL, Cell, cell, crowd, small
from pacing.scenarios import RATES, SAYS, Scenario, constant, known, single

PLOT = Path(__file__).parents[1] / "docs" / "images" / "pacing.svg"
# So many items take a few seconds of real time for each client and seed.
LARGE = 40_000


def main() -> int:
    """Run, print, draw; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, and this client alone")
    parser.add_argument("--plot", type=Path, default=PLOT, help="where to draw")
    options = parser.parse_args()
    targets = measure(quick=options.quick)
    print(*targets, sep="\n")
    options.plot.write_text(draw(), encoding="utf-8")
    return 0 if all(target.holds for target in targets) else 1


def measure(*, quick: bool) -> list[Target]:
    """Print the tables; the targets, measured."""
    return [
        *measure_limits(quick=quick),
        *poison.measure(quick=quick),
        *services.measure(quick=quick),
        *outages.measure(quick=quick),
    ]


def measure_limits(*, quick: bool) -> list[Target]:
    """Print the table of clients that find a limit; the targets, measured."""
    clients = list(CLIENTS)[:1] if quick else list(CLIENTS)
    saying, rates = (SAYS[:2], RATES[:2]) if quick else (SAYS, RATES)
    print(heading(clients))
    aimed, others, always, told = (
        [measure_one(scenario, clients, quick=quick) for scenario in scenarios]
        for scenarios in (
            [scenario for scenario in single(saying, rates) if scenario.aimed],
            [scenario for scenario in single(saying, rates) if not scenario.aimed],
            constant(rates),
            known(rates),
        )
    )
    lost = sum(one.lost for one in (*aimed, *others, *always, *told))
    seeds = range(1 if quick else 3)
    return [
        *targets_of_one(aimed, always, told, lost),
        *targets_of_many([crowd(says, seeds) for says in saying], jobs()),
    ]


def measure_one(scenario: Scenario, clients: list[str], *, quick: bool) -> Cell:
    """Print a row; what the first client, this package's, did."""
    ours, *others = clients
    few = quick or scenario.items >= LARGE
    cells = [cell(scenario, ours, range(1 if few else 5))]
    cells += [cell(scenario, other, range(1)) for other in others]
    print(row(scenario, cells), flush=True)
    return cells[0]


def jobs() -> dict[int, float]:
    """The small jobs, by their size."""
    return {items: small(items, range(40)) for items in SMALL}


if __name__ == "__main__":
    sys.exit(main())
