"""Killed again and again, with its unsynced bytes damaged in between, an export completes."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from siteassist_async.export import verify

from .export_fakes import new_ids
from .export_process import BEAT

ROUNDS = int(os.environ.get("EXPORT_KILLS", "6"))
"""How often it is killed; more often on demand."""

SEED = int(os.environ.get("EXPORT_KILL_SEED", "0")) or random.randrange(1, 2**32)

IDS = new_ids(3000, seed=5)
LINES = [*IDS[:1500], "none", IDS[7], *IDS[1500:], IDS[1499], ""]

PROGRAM = Path(__file__).with_name("export_process.py")


def test_an_export_that_is_killed_again_and_again_has_every_id_once(tmp_path: Path) -> None:
    """`kill -9` at random moments, some with what was not synced cut, zeroed or garbled."""
    chance = random.Random(SEED)
    source, output = tmp_path / "ids.txt", tmp_path / "out.jsonl"
    source.write_text("\n".join(LINES))
    command = [sys.executable, str(PROGRAM), str(source), str(output)]
    for left in range(ROUNDS, 0, -1):
        kill_after(chance.randrange(2 * len(IDS) // (BEAT * (left + 1))), command)
        if chance.random() < 0.5:
            damage(output, tmp_path / "copy", chance)
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    assert done.returncode == 1, f"EXPORT_KILL_SEED={SEED}"
    records = [json.loads(line)["id"] for line in output.read_bytes().splitlines()]
    letters = map(json.loads, (tmp_path / "out.failed.jsonl").read_bytes().splitlines())
    assert Counter([*records, *(letter["id"] for letter in letters)]) == Counter([*IDS, "none"]), (
        f"EXPORT_KILL_SEED={SEED}"
    )


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.zst"])
def test_an_incremental_export_that_is_killed_has_what_is_newest(tmp_path: Path, name: str) -> None:
    """Each day another order and other changes, `kill -9`, and the same day once more."""
    chance = random.Random(SEED)
    source, output = tmp_path / "ids.csv", tmp_path / name
    ids = [i for i in IDS[:1500] if i[0] not in "0f"]
    days = dict.fromkeys(ids, "2026-01-01")
    command = [sys.executable, str(PROGRAM), str(source), str(output), ""]
    for day in (f"2026-01-0{number}" for number in range(1, 5)):
        days.update(dict.fromkeys(chance.sample(ids, 300), day))
        chance.shuffle(ids)
        source.write_text("id,updatedAt\n" + "".join(f"{i},{days[i]}\n" for i in ids))
        command[-1] = day
        kill_after(chance.randrange(300 // BEAT), command)
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    found = verify(output)
    assert (done.returncode, found.faults, found.unfinished) == (0, (), False), (
        f"EXPORT_KILL_SEED={SEED}"
    )
    content = output.read_bytes()
    lines = zstd.decompress(content) if name.endswith("zst") else content
    records = [json.loads(line) for line in lines.splitlines()]
    assert max(Counter((r["id"], r["updatedAt"]) for r in records).values()) == 1
    newest = {record["id"]: record["updatedAt"] for record in records}
    assert newest.keys() == days.keys()
    assert all(newest[i] >= days[i] for i in ids), f"EXPORT_KILL_SEED={SEED}"


def kill_after(beats: int, command: list[str]) -> None:
    """Start the export and kill it after so many requests, or see it end before."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(beats) if beats else None
        process.kill()


def damage(output: Path, copy: Path, chance: random.Random) -> None:
    """Do to the bytes that were not synced what a loss of power may do."""
    known = checkpoint(output, copy)
    for path, log in ((output, "records"), (output.with_name("out.failed.jsonl"), "letters")):
        content = path.read_bytes() if path.exists() else b""
        start = chance.randint(known[log]["offset"] if known else 0, len(content))
        lost = len(content) - start
        path.write_bytes(
            content[:start] + chance.choice([b"", bytes(lost), chance.randbytes(lost)])
        )


def checkpoint(output: Path, copy: Path) -> dict[str, Any]:
    """Read the last checkpoint from a copy of the state; empty if there was none."""
    state = output.with_name(".out.jsonl.export")
    if not state.exists():
        return {}
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(state, copy)
    with closing(sqlite3.connect(copy / "checkpoint.db")) as database:
        if not database.execute("PRAGMA user_version").fetchone()[0]:
            return {}
        row = database.execute("SELECT json FROM checkpoint").fetchone()
        return json.loads(row[0]) if row else {}
