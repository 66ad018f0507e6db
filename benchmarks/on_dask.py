"""An export on Dask under a limit, undisturbed and with workers and everything killed.

    python benchmarks/on_dask.py [--ids 8000] [--rate 200] [--workers 2] [CASE …]

The emulator is a process of its own. Ideal is the time that the limit allows. What the API had
answered and a killed process had not written yet is fetched again; what was written must not be.
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
from collections import Counter
from contextlib import closing
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

from distributed import LocalCluster

from siteassist_async.distributed import Project, export

psutil: Any = import_module("psutil")  # which is without types

TOKEN = "sk_emulator"

EMULATOR = """
import json, sys
from siteassist_async.emulator import Emulator, TokenBucket, in_thread
rate = float(sys.argv[1])
with in_thread(Emulator(token=sys.argv[2], limit=TokenBucket(rate), count_ids=True)) as api:
    print(api.url, flush=True)
    for _ in sys.stdin:
        counters = api.counters
        api.reset_counters()
        print(json.dumps({"refused": counters.statuses[429], "ids": counters.ids}), flush=True)
"""


class Api:
    """The emulator in a process of its own."""

    def __init__(self, rate: float) -> None:
        arguments = [sys.executable, "-c", EMULATOR, str(rate), TOKEN]
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = self._read()
        self.refused = 0
        self.answered = Counter[str]()
        self.again = 0
        """Requests for an ID whose record was written before."""

    def count(self, written: set[str]) -> None:
        """Count what was requested since the last call; `written` are the records then."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        counters = json.loads(self._read())
        self.refused += counters["refused"]
        self.answered.update(counters["ids"])
        self.again += sum(counters["ids"].get(one, 0) for one in written)

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class Bench:
    """One case: an emulator, a folder, a cluster."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        chance = Random(17)
        ids = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(options.ids)]
        (folder / "ids.txt").write_text("\n".join([*ids, *ids[: options.ids // 100]]) + "\n")
        (folder / "token").write_text(TOKEN)

    def run(self, case: str) -> None:
        """Run one case, and print its row."""
        options = self.options
        made: Any = LocalCluster
        with (
            closing(Api(options.rate)) as api,
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
            written: set[str] = set()

            def tick(_: object) -> None:
                nonlocal disturbed
                if not disturbed and time.perf_counter() - begun > options.kill_at:
                    disturbed = True
                    os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
                    written.update(self.records())
                    api.count(set())

            report = export(
                Project(
                    self.folder / "ids.txt", token_file=self.folder / "token", base_url=api.url
                ),
                self.folder / "out",
                cluster=client,
                on_progress=tick,
            )
            took = time.perf_counter() - begun
            api.count(written)
        assert report.progress.counts.exported == options.ids
        self.print(case, took, api)

    def killed_twice(self) -> None:
        """Kill all processes of the command twice, and run it a third time."""
        with closing(Api(self.options.rate)) as api:
            arguments = [
                *(sys.executable, "-c", "from siteassist_async.cli import main; main()"),
                *("export", str(self.folder / "ids.txt"), "-o", f"{self.folder / 'out'}/"),
                *("--dask", "local", "--quiet", "--base-url", api.url),
                *("--token-file", str(self.folder / "token")),
            ]
            begun = time.perf_counter()
            written: set[str] = set()
            for _ in range(2):
                process = subprocess.Popen(arguments)
                time.sleep(self.options.kill_at)
                whole: Any = psutil.Process(process.pid)
                for member in [*whole.children(recursive=True), whole]:
                    member.kill()
                process.wait()
                api.count(written)
                written = set(self.records())
            subprocess.run(arguments, check=False)
            took = time.perf_counter() - begun
            api.count(written)
        self.print("all killed twice", took, api)

    def records(self) -> list[str]:
        """The IDs of all whole records, after a kill or at the end."""
        parts = (self.folder / "out").glob("part-?????.jsonl")
        lines = (line for path in parts for line in path.read_bytes().splitlines(keepends=True))
        return [json.loads(line)["id"] for line in lines if line.endswith(b"\n")]

    def print(self, name: str, took: float, api: Api) -> None:
        """Print a row."""
        options = self.options
        ideal = (options.ids - options.rate) / options.rate
        assert len(self.records()) == len(set(self.records())) == options.ids
        twice = api.answered.total() - len(api.answered)
        print(
            f"{name:<17} {took:6.1f} s  x {took / ideal:5.2f}  "
            f"refused {api.refused / options.ids:6.2%}  fetched again {twice:3}  "
            f"of these written before {api.again:3}",
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
