"""The machine below a benchmark: what it is, which core does what, what a process took of it."""

from __future__ import annotations

import os
import platform
import resource
import sys
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

LIBRARIES = (
    "aiohttp",
    "aiohttp-retry",
    "attrs",
    "cattrs",
    "httpx",
    "msgspec",
    "openai",
    "orjson",
    "pydantic",
    "tenacity",
    "uvloop",
)

CLIENT_CORE, SERVER_CORE = 0, 1


def describe() -> dict[str, str]:
    """Name what the figures depend on; a library that is not installed is left out."""
    found = {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


@contextmanager
def apart(server: int) -> Generator[None]:
    """Keep this process and a server's apart on two cores, where the system can and has them."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    if {CLIENT_CORE, SERVER_CORE} <= allowed:
        os.sched_setaffinity(server, {SERVER_CORE})
        os.sched_setaffinity(0, {CLIENT_CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def peak_memory() -> int:
    """The most memory that this process held at once, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts that of the process which started this one, too
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
