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
from attrs import frozen
from bodies import bodies, broken, with_unknown_fields
from outcome import Outcome, Table, Target, parse, publish
from rounds import Effort, Results, Spent, Stopwatch, play, repetitions

from siteassist_async.codec import decode_conversation
from siteassist_async.errors import UnusableResponseError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Decode = Callable[[bytes], object]

MESSAGES = (0, 10, 100, 1000)
OURS = "siteassist_async"


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
    # Last, for the codec learns the unknown fields that it meets, and looks for them from then on.
    odd = {size: _contest([unit, *_odd()], size, effort) for size in sizes}
    notes = [f"{decoder.name}: {decoder.note}" for decoder in decoders if decoder.note]
    notes += [f"not installed: {name}" for name in missing]
    columns = [f"{size} messages" for size in sizes]
    return Outcome(
        "decoding",
        [
            Table("Decoding, µs of CPU time a body", columns, _times(good)),
            Table(f"Decoding, in multiples of {unit.name}", columns, _costs(good), notes),
            Table("Odd bodies, in the same multiples", columns, _costs(odd)),
        ],
        [
            Target(
                f"{size} messages, x {unit.name}", of_size.cost(OURS, unit.name).median, at_most=3
            )
            for size, of_size in good.items()
        ],
    )


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
    learned = partial(with_unknown_fields, name="sentiment")
    unlearnable = partial(with_unknown_fields, name="x-trace")  # msgspec takes identifiers only
    return [
        Decoder("an unknown field", lambda: decode_conversation, of=learned),
        Decoder("none, after one was learned", lambda: decode_conversation),
        Decoder("one that cannot be learned", lambda: decode_conversation, of=unlearnable),
        Decoder("one that breaks the contract", lambda: _failing, of=broken),
    ]


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
