"""An export on Dask under a limit, undisturbed and with workers and everything killed.

    python benchmarks/on_dask.py [--ids 8000] [--rate 200] [--workers 2] [CASE …]

The emulator is a process of its own. Ideal is the time that the limit allows.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from distributed import LocalCluster

from siteassist_async.distributed import Project, export

if TYPE_CHECKING:
    from collections.abc import Generator

psutil: Any = import_module("psutil")  # which is without types

TOKEN = "sk_emulator"

EMULATOR = """
import json, sys
from siteassist_async.emulator import Emulator, TokenBucket, in_thread
rate = float(sys.argv[1])
with in_thread(Emulator(token=sys.argv[2], limit=TokenBucket(rate), count_ids=True)) as api:
    print(api.url, flush=True)
    sys.stdin.read()
    statuses = api.counters.statuses
    print(json.dumps({"refused": statuses[429], "again": statuses[200] - len(api.counters.ids)}))
"""


class Bench:
    """One case: an emulator, a folder, a cluster."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        chance = Random(17)
        ids = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(options.ids)]
        (folder / "ids.txt").write_text("\n".join([*ids, *ids[: options.ids // 100]]) + "\n")
        (folder / "token").write_text(TOKEN)

    @contextmanager
    def emulator(self) -> Generator[tuple[str, dict[str, int]]]:
        """Run the emulator; its counters are filled in at the end."""
        counters: dict[str, int] = {}
        arguments = [sys.executable, "-c", EMULATOR, str(self.options.rate), TOKEN]
        with subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            yield process.stdout.readline().strip(), counters
            process.stdin.close()
            counters.update(json.loads(process.stdout.readline()))

    def run(self, case: str) -> None:
        """Run one case, and print its row."""
        options = self.options
        made: Any = LocalCluster
        with (
            self.emulator() as (url, counters),
            made(
                n_workers=options.workers,
                threads_per_worker=2,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                silence_logs=50,
            ) as cluster,
        ):
            client = cluster.get_client()
            client.run(_warm)
            begun = time.perf_counter()
            disturbed = case != "killed"

            def tick(_: object) -> None:
                nonlocal disturbed
                if not disturbed and time.perf_counter() - begun > options.kill_at:
                    disturbed = True
                    os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)

            report = export(
                Project(self.folder / "ids.txt", token_file=self.folder / "token", base_url=url),
                self.folder / "out",
                cluster=client,
                on_progress=tick,
            )
            took = time.perf_counter() - begun
        self.print(case, took, counters, report.progress.counts.exported)

    def killed_twice(self) -> None:
        """Kill all processes of the command twice, and run it a third time."""
        with self.emulator() as (url, counters):
            arguments = [
                *(sys.executable, "-c", "from siteassist_async.cli import main; main()"),
                *("export", str(self.folder / "ids.txt"), "-o", f"{self.folder / 'out'}/"),
                *("--dask", "local", "--quiet", "--base-url", url),
                *("--token-file", str(self.folder / "token")),
            ]
            begun = time.perf_counter()
            for _ in range(2):
                process = subprocess.Popen(arguments)
                time.sleep(self.options.kill_at)
                whole: Any = psutil.Process(process.pid)
                for member in [*whole.children(recursive=True), whole]:
                    member.kill()
                process.wait()
            subprocess.run(arguments, check=False)
            took = time.perf_counter() - begun
        self.print("all killed twice", took, counters, self.records())

    def records(self) -> int:
        """How many records there are."""
        parts = (self.folder / "out").glob("part-?????.jsonl")
        return sum(path.read_bytes().count(b"\n") for path in parts)

    def print(self, name: str, took: float, counters: dict[str, int], exported: int) -> None:
        """Print a row."""
        options = self.options
        ideal = (options.ids - options.rate) / options.rate
        refused = counters["refused"] / options.ids
        assert self.records() == exported == options.ids
        assert counters["again"] >= 0
        print(
            f"{name:<17} {took:6.1f} s  x {took / ideal:5.2f}  refused {refused:6.2%}  "
            f"fetched again {counters['again']:3}",
            flush=True,
        )


def _warm() -> None:
    """Import what a worker needs, which is not what is measured."""
    import_module("siteassist_async.distributed.partition")


def main() -> None:
    """Run the cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=["undisturbed", "killed", "twice"])
    parser.add_argument("--ids", type=int, default=8000)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill-at", type=float, default=14.0)
    options = parser.parse_args()
    for case in options.cases:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(options, Path(folder))
            if case == "twice":
                bench.killed_twice()
            else:
                bench.run(case)


if __name__ == "__main__":
    main()
