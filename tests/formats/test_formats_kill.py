"""Killed again and again while its log grows, a conversion has each row once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

from logs import every_sink, ids_of, new_id, record, tables_of

from siteassist_async.formats import convert

ROUNDS = int(os.environ.get("CONVERT_KILLS", "8"))
"""How often it is killed; more often on demand."""

SEED = int(os.environ.get("CONVERT_KILL_SEED", "0")) or random.randrange(1, 2**32)

PROGRAM = Path(__file__).with_name("killed_conversions.py")


@every_sink
def test_a_conversion_that_is_killed_has_each_row_once(tmp_path: Path, suffix: str) -> None:
    """`kill -9` at random moments, of a rebuild too; some records come twice, newer ones last."""
    source, output = tmp_path / "c.jsonl", tmp_path / f"c.{suffix}"
    numbers = [*range(64), *range(0, 64, 7)]
    content = b"".join(record(n, title=f"{at}") for at, n in enumerate(numbers))
    command = [sys.executable, *map(str, [PROGRAM, source, output, ROUNDS, SEED])]
    done = subprocess.run(command, input=content, capture_output=True, check=False)
    assert done.returncode == 0, f"CONVERT_KILL_SEED={SEED}\n{done.stderr.decode()}"
    assert ids_of(output) == sorted(new_id(n) for n in range(64)), f"CONVERT_KILL_SEED={SEED}"
    whole = tmp_path / f"whole.{suffix}"
    convert(source, whole)
    assert tables_of(output) == tables_of(whole), f"CONVERT_KILL_SEED={SEED}"
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {source.name, output.name, whole.name}, f"CONVERT_KILL_SEED={SEED}"
