"""Prints how fast the pacer finds a limit and stays at it, beside what others do.

A discrete-event simulation: `python benchmarks/pacing_simulation.py` takes some two minutes on
one core, and `--quick` half a minute. The plot goes to `pacing.svg` beside this file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pacing.plot import draw
from pacing.report import Target, heading, row, targets_of_many, targets_of_one
from pacing.runs import CLIENTS, SMALL, Cell, cell, crowd, small
from pacing.scenarios import SAYS, Scenario, constant, known, single

PLOT = Path(__file__).with_suffix("").with_name("pacing.svg")
# So many items take a second or more of real time for each client and seed.
LARGE = 100_000


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
    """Print the table; the targets, measured."""
    clients = list(CLIENTS)[:1] if quick else list(CLIENTS)
    print(heading(clients))
    aimed, others, always, told = (
        [measure_one(scenario, clients, quick=quick) for scenario in scenarios]
        for scenarios in (
            [scenario for scenario in single() if scenario.aimed],
            [scenario for scenario in single() if not scenario.aimed],
            constant(),
            known(),
        )
    )
    lost = sum(one.lost for one in (*aimed, *others, *always, *told))
    seeds = range(1 if quick else 3)
    return [
        *targets_of_one(aimed, always, told, lost),
        *targets_of_many([crowd(says, seeds) for says in SAYS], jobs()),
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
