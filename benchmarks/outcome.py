"""What a benchmark found: tables and targets, for people and as JSON."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import machine
import msgspec
from attrs import field, frozen
from rounds import FULL, QUICK, Effort

if TYPE_CHECKING:
    from collections.abc import Sequence


@frozen
class Table:
    """Rows of figures; None is printed as a dash."""

    title: str
    columns: list[str]
    rows: dict[str, list[float | None]]
    notes: list[str] = field(factory=list[str])


@frozen
class Target:
    """What was to be reached, and what was."""

    text: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def reached(self) -> bool:
        """Whether the value is within the bounds."""
        if self.at_least is not None and self.value < self.at_least:
            return False
        return self.at_most is None or self.value <= self.at_most


@frozen
class Outcome:
    """All that one run of a benchmark found."""

    benchmark: str
    tables: list[Table]
    targets: list[Target]
    machine: dict[str, str] = field(factory=machine.describe)


@frozen
class Options:
    """A benchmark's command line."""

    effort: Effort
    json: Path | None
    ids: int = 0
    uvloop: bool = False
    tls: bool = False


def parse(
    description: str, argv: Sequence[str] | None, *, ids: int = 0, below: bool = False
) -> Options:
    """Read the options: `ids` is the default of --ids, `below` offers what may lie below."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    if ids:
        parser.add_argument("--ids", type=int, default=ids, help="default: %(default)s")
    if below:
        parser.add_argument("--uvloop", action="store_true", help="uvloop below all contenders")
        parser.add_argument("--tls", action="store_true", help="TLS below all contenders")
    given = vars(parser.parse_args(argv))
    return Options(QUICK if given.pop("quick") else FULL, **given)


def publish(outcome: Outcome, to: Path | None) -> None:
    """Print what was found, and write it as JSON where that was asked for."""
    print(", ".join(f"{name} {value}" for name, value in outcome.machine.items()))
    for table in outcome.tables:
        print(f"\n{text_of(table)}")
    print()
    for target in outcome.targets:
        print(line_of(target))
    if to is not None:
        to.write_bytes(msgspec.json.format(msgspec.json.encode(outcome)))


def read(path: Path) -> Outcome:
    """Read what `publish` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Outcome)


def text_of(table: Table) -> str:
    """Lay a table out in columns."""
    names = max(len(name) for name in table.rows)
    widths = [max(len(column), 9) for column in table.columns]
    head = zip(table.columns, widths, strict=True)
    lines = [table.title, " " * names + "".join(f"  {column:>{width}}" for column, width in head)]
    for name, values in table.rows.items():
        cells = zip(values, widths, strict=True)
        lines.append(f"{name:<{names}}" + "".join(f"  {shown(v):>{width}}" for v, width in cells))
    return "\n".join([*lines, *table.notes])


def line_of(target: Target) -> str:
    """Say whether a target was reached."""
    sign, bound = ("≥", target.at_least) if target.at_most is None else ("≤", target.at_most)
    answer = "yes" if target.reached else "NO "
    return f"{answer}  {target.text}: {shown(target.value)} ({sign} {bound:g})"


def shown(value: float | None) -> str:
    """Give three digits, which is more than a shared machine can repeat."""
    if value is None:
        return "—"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
