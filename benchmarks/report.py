"""All benchmarks, one after another: the tables and the plot of docs/performance.md."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bars import bars
from fetching import CLOCKS, speed_column
from outcome import Outcome, Table, read, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent

RUNS = {
    "decoding": ["decoding.py"],
    "fetching": ["fetching.py"],
    "fetching-uvloop": ["fetching.py", "--uvloop"],
    "fetching-tls": ["fetching.py", "--tls"],
    "bulk": ["bulk.py"],
    "listing": ["listing.py"],
    "startup": ["startup.py"],
    "formats": ["formats.py"],
}
PLOTTED = f"{CLOCKS['cpu']}, 32 at once"


def main(argv: Sequence[str] | None = None) -> None:
    """Run what has no results yet, then print and draw all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--ids", default="100000", help="of the bulk runs; default: %(default)s")
    parser.add_argument("--results", type=Path, default=HERE / "results", metavar="FOLDER")
    parser.add_argument("--reuse", action="store_true", help="print results that are there")
    given = parser.parse_args(argv)
    given.results.mkdir(exist_ok=True)
    for name in RUNS:
        if not (given.reuse and _file(given.results, name).exists()):
            _run(name, given.results, quick=given.quick, ids=given.ids)
    outcomes = {name: read(_file(given.results, name)) for name in RUNS}
    print(markdown(list(outcomes.values())))
    plot = given.results / "speed.svg"
    plot.write_text(drawn(outcomes["fetching"]))
    print(f"The plot is in {plot}.")


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Write the targets, all tables and the machine as Markdown."""
    parts = [_targets(outcomes)]
    for outcome in outcomes:
        parts += [_table(table) for table in outcome.tables]
    last = outcomes[-1].machine
    parts.append(", ".join(f"{name} {value}" for name, value in last.items()) + ".")
    return "\n\n".join(parts)


def drawn(fetching: Outcome) -> str:
    """Draw how fast each client is with conversations of ten messages, 32 at once."""
    table = next(table for table in fetching.tables if table.title.startswith(PLOTTED))
    column = table.columns.index(speed_column(10))
    values = {name: row[column] or 0.0 for name, row in table.rows.items()}
    ranked = dict(sorted(values.items(), key=lambda item: -item[1]))
    title = "Conversations of ten messages a second of CPU, plain aiohttp loop = 1"
    return bars(title, ranked, ours="siteassist_async", unit=1)


def _run(name: str, results: Path, *, quick: bool, ids: str) -> None:
    script, *options = RUNS[name]
    options += ["--json", str(_file(results, name))]
    options += ["--quick"] if quick else []
    options += ["--ids", ids] if name == "bulk" else []
    subprocess.run([sys.executable, str(HERE / script), *options], check=True)


def _file(results: Path, name: str) -> Path:
    return results / f"{name}.json"


def _table(table: Table) -> str:
    lines = [
        f"**{table.title}**\n",
        f"| | {' | '.join(table.columns)} |",
        f"|---|{'---:|' * len(table.columns)}",
        *[f"| {name} | {' | '.join(map(shown, row))} |" for name, row in table.rows.items()],
    ]
    return "\n".join([*lines, "", *table.notes]).rstrip()


def _targets(outcomes: Sequence[Outcome]) -> str:
    lines = ["| target | bound | measured | |", "|---|---|---:|---|"]
    for outcome in outcomes:
        for target in outcome.targets:
            bound = f"≤ {target.at_most:g}" if target.at_least is None else f"≥ {target.at_least:g}"
            answer = "yes" if target.reached else "**no**"
            where = f"{target.text} ({outcome.benchmark})"
            lines.append(f"| {where} | {bound} | {shown(target.value)} | {answer} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
