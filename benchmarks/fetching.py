"""Requests: what one costs beside a plain aiohttp loop, and beside other clients."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

from attrs import frozen
from bodies import SIZES, ids
from clients import CLIENTS, GET, HEARD, HTTPX, OPENAI, PLAIN, TYPED, Client
from outcome import Outcome, Table, Target, parse, publish
from rounds import QUICK, Clock, Effort, Results, Spent, Stopwatch, play, repetitions
from server import Server, Site, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

AT_ONCE = (1, 32, 256)
CLOCKS: dict[Clock, str] = {"cpu": "CPU time a request", "wall": "Wall time a request"}
IDS = list(ids(20_000))


@frozen
class Cell:
    """One situation: messages in each conversation, and requests at once."""

    messages: int
    at_once: int


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = parse(__doc__ or "", argv, below=True)
    widths = (32,) if options.effort is QUICK else AT_ONCE
    cells = [Cell(messages, at_once) for at_once in widths for messages in SIZES]
    outcome = measure(options.effort, cells, uvloop=options.uvloop, tls=options.tls)
    publish(outcome, options.json)


def measure(
    effort: Effort, cells: Sequence[Cell], *, uvloop: bool = False, tls: bool = False
) -> Outcome:
    """Fetch in each situation with every client that is installed."""
    clients = [client for client in CLIENTS if all(map(find_spec, client.needs))]
    missing = [client.name for client in CLIENTS if client not in clients]
    sizes = sorted({cell.messages for cell in cells})
    with serving(sizes, tls=tls) as server:
        results = {cell: _contest(clients, cell, server, effort, uvloop=uvloop) for cell in cells}
    below = f"{server.kind}, {'uvloop' if uvloop else 'asyncio'}"
    notes = [
        f"The speed is a multiple of that of the {PLAIN.name}. CPU time of the client's process",
        "decides: it is what a request costs while nothing limits it, and what other processes on",
        "the machine disturb least. Wall time is a check: the server has a core of its own.",
        *[f"not installed: {name}" for name in missing],
    ]
    tables = [
        _table(f"{words}, {at_once} at once ({below})", _at(at_once, results), clock, notes)
        for at_once in sorted({cell.at_once for cell in cells})
        for clock, words in CLOCKS.items()
    ]
    targets = [target for cell, of_cell in results.items() for target in _targets(cell, of_cell)]
    return Outcome(f"fetching, {below}", tables, targets)


def _at(at_once: int, results: Mapping[Cell, Results]) -> dict[int, Results]:
    return {cell.messages: found for cell, found in results.items() if cell.at_once == at_once}


def _targets(cell: Cell, results: Results) -> list[Target]:
    if cell.at_once != 32:
        return []
    known = {
        0: [(PLAIN, 1.0)],
        10: [(PLAIN, 0.95), (HTTPX, 5.0), (OPENAI, 8.0)],
        100: [(TYPED, 2.2)],
    }
    spent = {client: results.microseconds(client.name, "cpu") for client in (GET, HEARD)}
    return [
        Target(
            f"a listener to get, {cell.messages} messages, µs",
            spent[HEARD] - spent[GET],
            at_most=10.0,
        ),
        *[
            Target(
                f"get, {cell.messages} messages, {cell.at_once} at once, x {other.name}",
                results.speed(GET.name, other.name).median,
                at_least=bound,
            )
            for other, bound in known.get(cell.messages, [])
            if other.name in results.spent
        ],
    ]


def _table(title: str, results: Mapping[int, Results], clock: Clock, notes: Sequence[str]) -> Table:
    rows: dict[str, list[float | None]] = {}
    for client in CLIENTS:
        if all(client.name in found.spent for found in results.values()):
            rows[f"{client.name} ({client.gives})"] = [
                value
                for found in results.values()
                for value in (
                    found.microseconds(client.name, clock),
                    found.speed(client.name, PLAIN.name, clock).median,
                )
            ]
    columns = [name for size in results for name in (f"{size} msg: µs", speed_column(size))]
    return Table(title, columns, rows, list(notes))


def speed_column(messages: int) -> str:
    """The column of the speeds with conversations of one size."""
    return f"{messages} msg: speed"


def _contest(
    clients: Sequence[Client], cell: Cell, server: Server, effort: Effort, *, uvloop: bool
) -> Results:
    contenders: dict[str, Callable[[], Spent]] = {}
    for client in clients:
        run = partial(_run, client, server.sites[cell.messages], cell.at_once, uvloop=uvloop)
        count = max(cell.at_once, repetitions(run, effort.seconds, first=cell.at_once))
        contenders[client.name] = partial(_each, run, count)
    return play(contenders, effort.rounds, Random(cell.messages))


def _each(run: Callable[[int], Spent], count: int) -> Spent:
    return run(count) / count


def _run(client: Client, site: Site, at_once: int, count: int, *, uvloop: bool) -> Spent:
    factory = import_module("uvloop").new_event_loop if uvloop else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_fetch(client, site, at_once, count))


async def _fetch(client: Client, site: Site, at_once: int, count: int) -> Spent:
    async with client.open(site, at_once) as fetch_all:
        # Connections are made, functions compiled, and our slow start is over.
        await fetch_all(IDS[: max(256, 2 * at_once)])
        with Stopwatch() as watch:
            await fetch_all(list(islice(IDS, count)))
        return watch.spent


if __name__ == "__main__":
    main()
