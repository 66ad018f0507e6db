"""`siteassist plan`: how long an export takes, what it needs, and what stops it first."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import asdict

from siteassist_async.cli.summary import size
from siteassist_async.distributed.planning import Job, Plan, plan

if TYPE_CHECKING:
    from siteassist_async.cli.commands import Options
    from siteassist_async.cli.console import Console

_FAR = 100
"""A bound of so many times the IDs is not printed."""

_UNITS = (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0))


def run(options: Options, console: Console) -> int:
    """Plan, and print the plan; returns 1 if something stops the job."""
    here = {} if options.output is None else _room(Path(options.output))
    planned = plan(
        Job(
            options.ids,
            options.rate,
            workers=options.workers,
            size=options.size,
            partitions=options.partitions,
            deadline=options.deadline,
            **here,
        )
    )
    if options.json:
        found = asdict(planned, filter=lambda field, _: field.name not in {"job", "bounds"})
        bounds = [
            {
                "name": bound.name,
                "ids": int(bound.ids),
                "stops": bound in planned.broken,
                "remedy": bound.remedy,
            }
            for bound in planned.bounds
            if bound.ids < math.inf
        ]
        event = {"event": "plan", "ids": options.ids}
        console.result(json.dumps({**event, **found, "disk": planned.disk, "bounds": bounds}))
    else:
        console.result(_text(planned))
    return 1 if planned.broken else 0


def _room(output: Path) -> dict[str, float]:
    """Return what is free where the output is to be, and the memory of this machine."""
    folder = output.absolute()
    while not folder.is_dir():
        folder = folder.parent
    status = os.statvfs(folder)
    return {
        "disk": float(status.f_bavail * status.f_frsize),
        # File systems without a table of inodes say 0.
        "files": float(status.f_favail) or math.inf,
        "memory": float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
    }


def _text(planned: Plan) -> str:
    job = planned.job
    before = f"{_time(planned.splitting)} of it before the first request"
    rows = [
        ("time", _time(planned.seconds), before if planned.splitting >= 1 else ""),
        ("requests", f"{planned.rate:,.0f}/s", f"{planned.refused:.2%} more are refused"),
        ("tokens", f"{planned.tokens:,}", "each of another project, with a limit of its own"),
        ("memory", size(planned.memory), f"{job.workers:,} worker" + "s" * (job.workers > 1)),
        ("disk", size(planned.disk), f"{size(planned.records)} of it records, not compressed"),
        ("files", f"{planned.files:,}", ""),
    ]
    if planned.partitions:
        rows.append(("partitions", f"{planned.partitions:,}", "--partitions"))
    lines = [f"  {name:<13} {value:>11}  {note}".rstrip() for name, value, note in rows]
    known = [bound for bound in planned.bounds if bound.ids < _FAR * job.ids]
    if known:
        lines.append("\nThe most IDs that each of these allows:")
    for bound in known:
        stops = f": too few; it takes {bound.remedy}" if bound in planned.broken else ""
        lines.append(f"  {bound.ids:>25,.0f}  {bound.name}{stops}")
    return "\n".join(lines)


def _time(seconds: float) -> str:
    unit, length = next((found for found in _UNITS if seconds >= 2 * found[1]), ("seconds", 1.0))
    return f"{seconds / length:,.1f} {unit}" if length > 1 else f"{seconds:,.0f} s"
