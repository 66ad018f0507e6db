"""`siteassist inspect`: what exported conversations are made of."""

from __future__ import annotations

import json
from collections import Counter
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field

from siteassist_async.cli.terminal import dead_letters
from siteassist_async.errors import printable
from siteassist_async.export import ExitCode, InputError
from siteassist_async.formats import iter_export
from siteassist_async.formats.rows import CONVERSATIONS, MESSAGES, NotAConversationError, decode

if TYPE_CHECKING:
    from siteassist_async.cli.commands import Options
    from siteassist_async.cli.console import Console


MOST = 20
"""The maximum number of values of a kind that are printed; with --json there are all."""

LAST = 36
"""The maximum number of months that are printed."""

_BATCH = 1000

_STATUS, _CREATED, _HUMAN, _COUNT = (
    [column.name for column in CONVERSATIONS].index(name)
    for name in ("status", "created_at", "is_human_handled", "message_count")
)
_ROLE, _TEXT = ([column.name for column in MESSAGES].index(name) for name in ("role", "text"))


@define
class Found:
    """Counts of what was found; a value that is missing counts as "none"."""

    statuses: Counter[str] = field(factory=Counter[str])
    months: Counter[str] = field(factory=Counter[str])
    humans: Counter[str] = field(factory=Counter[str])
    roles: Counter[str] = field(factory=Counter[str])
    messages: Counter[int] = field(factory=Counter[int])
    characters: Counter[int] = field(factory=Counter[int])
    failures: Counter[str] = field(factory=Counter[str])

    def add(self, lines: list[bytes]) -> None:
        """Count some records."""
        rows = decode(lines)
        self.statuses.update(row[_STATUS] or "none" for row in rows.conversations)
        self.months.update((row[_CREATED] or "none")[:7] for row in rows.conversations)
        self.humans.update("yes" if row[_HUMAN] else "no" for row in rows.conversations)
        self.messages.update(row[_COUNT] for row in rows.conversations)
        self.roles.update(row[_ROLE] or "none" for row in rows.messages)
        self.characters.update(len(row[_TEXT] or "") for row in rows.messages)


def run(options: Options, console: Console) -> int:
    """Count, and print the counts."""
    path = Path(options.file)
    found = Found()
    lines = iter_export(path, raw=True, latest=True, format=options.format)
    while batch := list(islice(lines, _BATCH)):
        try:
            found.add(batch)
        except NotAConversationError as error:
            raise InputError(
                f"has a line that is not the record of a conversation: {error}", path=str(path)
            ) from error
    found.failures.update(letter.reason for letter in dead_letters(path))
    if not options.json:
        console.result(_text(path, found))
        return ExitCode.DONE
    record = {
        "event": "inspected",
        "file": str(path),
        "conversations": found.messages.total(),
        "messages": found.characters.total(),
        "statuses": dict(found.statuses.most_common()),
        "months": dict(sorted(found.months.items())),
        "human_handled": found.humans["yes"],
        "roles": dict(found.roles.most_common()),
        "messages_per_conversation": _spread(found.messages),
        "characters_per_message": _spread(found.characters),
        "failures": dict(found.failures.most_common()),
    }
    console.result(json.dumps(record))
    return ExitCode.DONE


def _text(path: Path, found: Found) -> str:
    conversations, messages = found.messages.total(), found.characters.total()
    human = found.humans["yes"]
    lines = [
        printable(str(path), 1000),
        f"  {'conversations':<26} {conversations:>11,}",
        f"  {'handled by a human':<26} {human:>11,}  {_share(human, conversations)}",
        f"  {'messages':<26} {messages:>11,}",
    ]
    for title, numbers in (
        ("messages per conversation", found.messages),
        ("characters per message", found.characters),
    ):
        spread = _spread(numbers)
        lines.append(
            f"  {title:<26} {spread['median']:>11,}  median ({spread['min']:,} to "
            f"{spread['max']:,}, mean {spread['mean']:,})"
        )
    for title, counts, total in (
        ("status", found.statuses, conversations),
        ("role", found.roles, messages),
        ("month", found.months, conversations),
        ("failed", found.failures, found.failures.total()),
    ):
        if counts:
            lines.append(f"{title}:")
        shown = sorted(counts.items())[-LAST:] if title == "month" else counts.most_common(MOST)
        for name, count in shown:
            lines.append(f"  {printable(name, 26):<26} {count:>11,}  {_share(count, total)}")
        if others := total - sum(count for _, count in shown):
            lines.append(f"  {len(counts) - len(shown)} others {others:>{37 - len('others')},}")
    return "\n".join(lines)


def _share(count: int, total: int) -> str:
    return f"{count / total:.1%}" if total else ""


def _spread(counts: Counter[int]) -> dict[str, float]:
    """Return the least, the middle, the mean and the greatest of counted numbers."""
    total = counts.total()
    if not total:
        return {"min": 0, "median": 0, "mean": 0, "max": 0}
    numbers = sorted(counts)
    up_to = accumulate(counts[number] for number in numbers)
    return {
        "min": numbers[0],
        "median": next(n for n, seen in zip(numbers, up_to, strict=True) if 2 * seen >= total),
        "mean": round(sum(number * counts[number] for number in numbers) / total, 1),
        "max": numbers[-1],
    }
