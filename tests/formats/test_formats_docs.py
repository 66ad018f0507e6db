"""The one-liners of the documentation run on exports."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from documents import DOCS
from logs import SINKS, records
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

from siteassist_async.cli import main
from siteassist_async.formats import convert


def python(example: Example) -> None:
    """Each block is a program."""
    exec(compile(example.parsed, example.path, "exec"), {})


def sql(example: Example) -> None:
    """DuckDB finds something with each query."""
    with closing(duckdb.connect()) as database:
        for query in filter(None, example.parsed.split(";\n")):
            assert database.execute(query).fetchall(), query


def shell(example: Example) -> None:
    """Each command succeeds, where it is installed; exports have tests of their own."""
    for command in example.parsed.splitlines():
        words = command.partition("#")[0].split()
        if words[:2] == ["siteassist", "convert"]:
            assert main(words[1:]) == 0
        elif words[0] != "siteassist" and shutil.which(words[0]):
            found = subprocess.run(command, shell=True, check=True, capture_output=True)
            assert found.stdout or Path("for_excel.csv").stat().st_size


PARSERS = [CodeBlockParser("py", python), CodeBlockParser("sql", sql), CodeBlockParser("sh", shell)]
EXAMPLES = [
    *Sybil(PARSERS).parse(DOCS / "formats.md").examples(),
    *Sybil(PARSERS[:2]).parse(DOCS / "recipes.md").examples(),
]


def _place(example: Example) -> str:
    return f"{Path(example.path).name}:{example.line}"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an export in every format."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "conversations.jsonl").write_bytes(records(range(300)))
    for suffix in SINKS:
        convert(folder / "conversations.jsonl", folder / f"conversations.{suffix}")
    return folder


@pytest.mark.parametrize("example", EXAMPLES, ids=_place)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the libraries
def test_a_block_runs(example: Example, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its line is that of the page."""
    monkeypatch.chdir(exported)
    example.evaluate()
