"""The one-liners of docs/formats.md run."""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from logs import SINKS, records

from siteassist_async.cli import main
from siteassist_async.formats import convert

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[str]:
    """Those of a language."""
    return [block for name, block in BLOCKS if name == language]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an export in every format."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "conversations.jsonl").write_bytes(records(range(300)))
    for suffix in SINKS:
        convert(folder / "conversations.jsonl", folder / f"conversations.{suffix}")
    return folder


@pytest.fixture(autouse=True)
def _there(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported)


def test_every_block_is_run_by_a_test() -> None:
    """There is none of another language."""
    assert {name for name, _ in BLOCKS} == {"py", "sh", "sql"}


@pytest.mark.parametrize("block", blocks("py"))
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the libraries
def test_python(block: str) -> None:
    """Each block is a program."""
    exec(compile(block, "formats.md", "exec"), {})


@pytest.mark.parametrize("query", [q for block in blocks("sql") for q in block.split(";\n") if q])
def test_sql(query: str) -> None:
    """DuckDB finds something with each query."""
    with closing(duckdb.connect()) as database:
        assert database.execute(query).fetchall()


@pytest.mark.parametrize("command", [c for b in blocks("sh") for c in b.splitlines()])
def test_shell(command: str) -> None:
    """Each command succeeds, where it is installed."""
    words = command.partition("#")[0].split()
    if words[:2] == ["siteassist", "convert"]:
        assert main(words[1:]) == 0
    elif words[0] != "siteassist":
        if not shutil.which(words[0]):
            pytest.skip(f"{words[0]} is not installed")
        found = subprocess.run(command, shell=True, check=True, capture_output=True)
        assert found.stdout or Path("for_excel.csv").stat().st_size
