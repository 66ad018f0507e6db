"""Bytes to objects: what a conversation costs beside orjson's dicts, and beside other decoders."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from random import Random
from typing import TYPE_CHECKING

import by_hand
import msgspec
import with_cattrs
import with_msgspec
import with_pydantic
from attrs import evolve, frozen
from bodies import (
    bodies,
    broken,
    with_made_up_fields,
    with_unknown_fields,
    with_unknown_fields_within,
)
from outcome import Outcome, Table, Target, parse, publish
from rounds import Effort, Results, Spent, Stopwatch, play, repetitions

from siteassist_async.codec import decode_conversation
from siteassist_async.codec.fast import ConversationShape, FastDecoder
from siteassist_async.errors import UnusableResponseError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Decode = Callable[[bytes], object]

MESSAGES = (0, 10, 100, 1000)
OURS = "siteassist_async"
MADE_UP = "one of a new name in each object"
BROKEN = "one that breaks the contract"


@frozen
class Decoder:
    """One way to read a body; `note` says what it leaves out of ours."""

    name: str
    make: Callable[[], Decode]
    note: str = ""
    needs: str = "msgspec"
    of: Callable[[bytes], bytes] = bytes


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = parse(__doc__ or "", argv)
    publish(measure(options.effort, MESSAGES), options.json)


def measure(effort: Effort, sizes: Sequence[int]) -> Outcome:
    """Decode conversations of these numbers of messages in every way that is installed."""
    unit = _unit()
    decoders = [unit, *(decoder for decoder in _decoders() if find_spec(decoder.needs))]
    missing = [decoder.name for decoder in _decoders() if not find_spec(decoder.needs)]
    good = {size: _contest(decoders, size, effort) for size in sizes}
    odd = {d.name: [_odd_cost(unit, d, size, effort) for size in sizes] for d in _odd()}
    notes = [f"{decoder.name}: {decoder.note}" for decoder in decoders if decoder.note]
    notes += [f"not installed: {name}" for name in missing]
    columns = [f"{size} messages" for size in sizes]
    rows: dict[str, list[float | None]] = {name: [*costs] for name, costs in odd.items()}
    worst = {OURS: max(of_size.cost(OURS, unit.name).median for of_size in good.values())}
    worst |= {name: max(costs) for name, costs in odd.items() if name != BROKEN}
    return Outcome(
        "decoding",
        [
            Table("Decoding, µs of CPU time a body", columns, _times(good)),
            Table(f"Decoding, in multiples of {unit.name}", columns, _costs(good), notes),
            Table(f"Odd bodies, in multiples of {unit.name} of the same", columns, rows),
        ],
        [
            Target(f"{name}, x {unit.name}", cost, at_most=4 if name == MADE_UP else 3)
            for name, cost in worst.items()
        ],
    )


def _odd_cost(unit: Decoder, decoder: Decoder, size: int, effort: Effort) -> float:
    results = _contest([evolve(unit, of=decoder.of), decoder], size, effort)
    return results.cost(decoder.name, unit.name).median


def _unit() -> Decoder:
    if find_spec("orjson"):
        return Decoder("orjson, dicts", _orjson)
    return Decoder("msgspec, dicts", lambda: msgspec.json.decode)


def _decoders() -> list[Decoder]:
    return [
        Decoder(OURS, lambda: decode_conversation, "all checked, unknown fields kept"),
        Decoder(
            "msgspec, its structs", with_msgspec.own_structs, "unknown fields, other parts lost"
        ),
        Decoder("json, dicts", lambda: json.loads),
        Decoder("dataclasses by hand", _by_hand, "nothing checked, unknown fields lost", "orjson"),
        Decoder(
            "pydantic", with_pydantic.validated, "all checked, unknown fields kept", "pydantic"
        ),
        Decoder("cattrs, tuned", with_cattrs.tuned, "null and numbers pass for strings", "orjson"),
        Decoder("cattrs", with_cattrs.as_it_comes, "null and numbers pass for strings"),
        Decoder("OpenAI-style", with_pydantic.constructed, "nothing checked, all kept", "openai"),
    ]


def _odd() -> list[Decoder]:
    return [
        Decoder("an unknown field in each object", _learning, of=with_unknown_fields),
        Decoder("33 in each object", _learning, of=partial(with_unknown_fields, count=33)),
        Decoder(MADE_UP, _learning, of=with_made_up_fields),
        Decoder("one in each part and humanAgent", _learning, of=with_unknown_fields_within),
        Decoder(BROKEN, lambda: _failing, of=broken),
    ]


def _learning() -> Decode:
    return FastDecoder(ConversationShape()).decode  # one of its own, for it learns names


def _times(results: Mapping[int, Results]) -> dict[str, list[float | None]]:
    names = next(iter(results.values())).spent
    return {n: [of_size.microseconds(n, "cpu") for of_size in results.values()] for n in names}


def _costs(results: Mapping[int, Results]) -> dict[str, list[float | None]]:
    unit, *names = next(iter(results.values())).spent
    return {n: [of_size.cost(n, unit).median for of_size in results.values()] for n in names}


def _contest(decoders: Sequence[Decoder], size: int, effort: Effort) -> Results:
    contenders = {d.name: _contender(d, bodies(size), effort.seconds / 5) for d in decoders}
    return play(contenders, effort.rounds, Random(size))


def _contender(
    decoder: Decoder, documented: Sequence[bytes], seconds: float
) -> Callable[[], Spent]:
    decode = decoder.make()
    texts = [decoder.of(text) for text in documented]

    def run(count: int) -> Spent:
        with Stopwatch() as watch:
            for _ in range(count):
                for text in texts:
                    decode(text)
        return watch.spent

    count = repetitions(run, seconds)
    return lambda: run(count) / (count * len(texts))


def _orjson() -> Decode:
    loads: Decode = import_module("orjson").loads
    return loads


def _by_hand() -> Decode:
    loads = import_module("orjson").loads
    return lambda body: by_hand.conversation(loads(body))


def _failing(body: bytes) -> None:
    with suppress(UnusableResponseError):
        decode_conversation(body)


if __name__ == "__main__":
    main()
