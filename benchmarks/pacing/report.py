"""The table, and whether the targets hold."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Collection

    from pacing.runs import Cell, Crowd
    from pacing.scenarios import Scenario

WIDTH = 47
COLUMN = 22


def heading(clients: list[str]) -> str:
    """The table's first lines."""
    names = "".join(name.rjust(COLUMN) for name in clients)
    return "time ÷ ideal / refusals ÷ items / most attempts of an item\n" + " " * WIDTH + names


def row(scenario: Scenario, cells: list[Cell]) -> str:
    """One scenario of the table."""
    return scenario.name.ljust(WIDTH) + "".join(told(cell).rjust(COLUMN) for cell in cells)


def told(cell: Cell) -> str:
    """One cell of the table."""
    share = f"{100 * cell.refused:.{1 if cell.refused < 1 else 0}f}"
    return f"{cell.time:.2f} / {share} % / {cell.attempts}"


@frozen
class Target:
    """What is asked, and what was measured."""

    name: str
    measured: float
    most: float = float("inf")
    least: float = float("-inf")

    @property
    def holds(self) -> bool:
        """Whether it was reached."""
        return self.least <= self.measured <= self.most

    def __str__(self) -> str:
        bound = f"at most {self.most:g}" if self.most < float("inf") else f"at least {self.least:g}"
        verdict = "holds" if self.holds else "MISSED"
        return f"{verdict:7} {self.name}: {self.measured:.4g}, {bound}"


def targets_of_one(
    aimed: Collection[Cell], always: Collection[Cell], told: Collection[Cell], lost: int
) -> list[Target]:
    """Those of one client.

    `aimed` are the scenarios with a burst of a second or more, `always` those where each refusal
    asks for a minute, `told` the same for a user who knows the limit, `lost` the items of all.
    """
    return [
        Target("median time ÷ ideal", median(cell.time for cell in aimed), 1.01),
        Target("worst time ÷ ideal", max(cell.worst_time for cell in aimed), 1.25),
        Target("the same, always 60", max(cell.worst_time for cell in always), 2.2),
        Target("the same, with max_rate", max(cell.worst_time for cell in told), 1.1),
        Target("median refusals, %", median(100 * cell.refused for cell in aimed), 0.5),
        Target("worst refusals, %", max(100 * cell.worst_refused for cell in aimed), 7.0),
        Target("items lost to refusals", lost, 0),
    ]


def targets_of_many(crowds: list[Crowd], small: dict[int, float]) -> list[Target]:
    """Those of eight clients at one limit, and of small jobs under none."""
    return [
        *(Target(f"eight clients, {one.name}: time ÷ ideal", one.time, 1.05) for one in crowds),
        *(Target(f"eight clients, {one.name}: Jain", one.fairness, least=0.94) for one in crowds),
        *(
            Target(f"{items} items without a limit ÷ unpaced", ratio, 1.3)
            for items, ratio in small.items()
        ),
    ]
