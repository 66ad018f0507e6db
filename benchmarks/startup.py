"""Start-up: what the first import costs beside the imports that it stands on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from outcome import Outcome, Table, Target, parse, publish
from rounds import FULL, Results, Spent, play

if TYPE_CHECKING:
    from collections.abc import Sequence

FEWEST, ALL = "aiohttp, cattrs", "all dependencies"
PACKAGE, CLIENT = "siteassist_async", "SiteAssist"

_DECODE = (
    "from siteassist_async import SiteAssist; "
    "from siteassist_async.contract import documented_body; "
    "from siteassist_async.codec import decode_conversation; "
    "decode_conversation(documented_body(200){then})"
)
IMPORTS = {
    FEWEST: "import aiohttp, cattrs",
    ALL: "import aiohttp, attrs, cattrs, msgspec, tenacity",
    PACKAGE: "import siteassist_async",
    CLIENT: "from siteassist_async import SiteAssist",
    "… and the first body": _DECODE.format(then=""),
    "… with an unknown field": _DECODE.format(then=".replace(b'{', b'{\"new\": 1, ', 1)"),
}

BARE, HELP = "python -c pass", "siteassist --help"
COMMANDS = {
    BARE: "pass",
    "python -c 'import click'": "import click",
    HELP: "import sys; from siteassist_async.cli import main; sys.exit(main(['--help']))",
}

# Timed from within: what Python itself takes to start is not ours.
_TIMED = (
    "import time; w, c = time.perf_counter(), time.process_time()\n{}\n"
    "print(time.perf_counter() - w, time.process_time() - c)"
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = parse(__doc__ or "", argv)
    publish(measure(41 if options.effort is FULL else 9), options.json)


def measure(rounds: int) -> Outcome:
    """Time imports and commands, each in a new process."""
    imports = play({n: partial(_timed, code) for n, code in IMPORTS.items()}, rounds, Random(0))
    commands = play({n: partial(_whole, code) for n, code in COMMANDS.items()}, rounds, Random(0))
    slower = commands.microseconds(HELP, "wall") - commands.microseconds(BARE, "wall")
    return Outcome(
        "start-up",
        [_of_imports(imports), _of_commands(commands)],
        [
            Target(f"import {PACKAGE}, x {ALL}", imports.cost(PACKAGE, ALL).median, at_most=1.1),
            Target(f"import {CLIENT}, x {ALL}", imports.cost(CLIENT, ALL).median, at_most=1.1),
            Target(
                f"import {CLIENT}, x {FEWEST}", imports.cost(CLIENT, FEWEST).median, at_most=1.2
            ),
            Target(f"{HELP}, ms beyond those of Python", slower / 1000, at_most=100),
        ],
    )


def _of_imports(results: Results) -> Table:
    rows: dict[str, list[float | None]] = {
        name: [
            results.microseconds(name, "cpu") / 1000,
            results.microseconds(name, "wall") / 1000,
            results.cost(name, FEWEST).median,
            results.cost(name, ALL).median,
        ]
        for name in IMPORTS
    }
    notes = ["Compiled files are there already; the ratios are of CPU time."]
    columns = ["CPU, ms", "wall, ms", f"x {FEWEST}", f"x {ALL}"]
    return Table("Imports in a new process, from within", columns, rows, notes)


def _of_commands(results: Results) -> Table:
    rows: dict[str, list[float | None]] = {
        name: [results.microseconds(name, "wall") / 1000, results.cost(name, BARE, "wall").median]
        for name in COMMANDS
    }
    return Table("Commands, from outside", ["wall, ms", "x Python"], rows)


def _timed(code: str) -> Spent:
    wall, cpu = _run(_TIMED.format(code)).split()
    return Spent(float(wall), float(cpu))


def _whole(code: str) -> Spent:
    started = time.perf_counter()
    _run(code)
    wall = time.perf_counter() - started
    return Spent(wall, wall)


def _run(code: str) -> str:
    # Or nothing that is not installed by pip, as this package in a clone, would ever be compiled.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, env=env
    ).stdout


if __name__ == "__main__":
    main()
