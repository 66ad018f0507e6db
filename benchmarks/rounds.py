"""Interleaved rounds: each contender once in each, so that a busy machine slows all alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence
from statistics import median, quantiles
from typing import TYPE_CHECKING, Literal, Self

from attrs import define, frozen

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

Clock = Literal["cpu", "wall"]


@frozen
class Effort:
    """How much is measured: rounds, and about how many seconds a contender in each."""

    rounds: int
    seconds: float


FULL = Effort(rounds=11, seconds=0.3)
QUICK = Effort(rounds=5, seconds=0.1)
SMOKE = Effort(rounds=1, seconds=0.001)


@frozen
class Spent:
    """Seconds an operation: of the wall's clock and of this process's CPU."""

    wall: float
    cpu: float

    def of(self, clock: Clock) -> float:
        """The seconds by one of the clocks."""
        return self.cpu if clock == "cpu" else self.wall

    def __truediv__(self, operations: int) -> Spent:
        return Spent(self.wall / operations, self.cpu / operations)


@define
class Stopwatch:
    """Measures a `with` block, which begins with no garbage to collect."""

    spent: Spent = Spent(0, 0)

    def __enter__(self) -> Self:
        gc.collect()
        self.spent = Spent(time.perf_counter(), time.process_time())
        return self

    def __exit__(self, *_: object) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.spent = Spent(wall - self.spent.wall, cpu - self.spent.cpu)


@frozen
class Ratio:
    """The median of the ratios of each round, and their quartiles."""

    median: float
    low: float
    high: float


@frozen
class Results:
    """What each contender spent, by its name, a value for each round."""

    spent: Mapping[str, Sequence[Spent]]

    def microseconds(self, name: str, clock: Clock) -> float:
        """The median of an operation."""
        return median(spent.of(clock) for spent in self.spent[name]) * 1e6

    def cost(self, name: str, unit: str, clock: Clock = "cpu") -> Ratio:
        """How many times as long as `unit` it takes."""
        pairs = zip(self.spent[name], self.spent[unit], strict=True)
        ratios = [own.of(clock) / other.of(clock) for own, other in pairs]
        if len(ratios) < 2:
            return Ratio(ratios[0], ratios[0], ratios[0])
        low, _, high = quantiles(ratios, n=4)
        return Ratio(median(ratios), low, high)

    def speed(self, name: str, unit: str, clock: Clock = "cpu") -> Ratio:
        """How many times as fast as `unit` it is."""
        return self.cost(unit, name, clock)


def play(contenders: Mapping[str, Callable[[], Spent]], rounds: int, random: Random) -> Results:
    """Run each contender once a round, in an order that is drawn anew for each."""
    gc.collect()
    gc.freeze()  # so that none is slowed by what another has imported
    spent: dict[str, list[Spent]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name in random.sample(list(contenders), len(contenders)):
            spent[name].append(contenders[name]())
    return Results(spent)


def repetitions(run: Callable[[int], Spent], seconds: float, first: int = 1) -> int:
    """How often `run` should do its work to take about `seconds`; trying it also warms up."""
    count = first
    while True:
        taken = run(count).wall
        if taken >= min(seconds, 0.05) / 5:
            return max(1, round(count * seconds / taken))
        count *= 4
