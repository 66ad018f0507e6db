"""The one-liners of the documentation run on exports."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from documents import DOCS
from logs import SINKS, record, records
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

from siteassist_async.cli import main
from siteassist_async.formats import convert, iter_export


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


def test_only_the_newest_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way to read JSON lines finds those that `iter_export` does."""
    monkeypatch.chdir(tmp_path)
    old, new = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    Path("conversations.jsonl").write_bytes(
        b"".join(
            record(number, status=status, updatedAt=at)
            for status, at in (("open", old), ("closed", new))
            for number in range(9)
        )
    )
    newest = [c.status for c in iter_export("conversations.jsonl", latest=True)]
    assert newest == ["closed"] * 9
    page = (DOCS / "formats.md").read_text()
    query = page.partition("### Only the newest records")[2].partition("```sql\n")[2]
    with closing(duckdb.connect()) as database:
        found = database.execute(query.partition("```")[0]).fetchall()
    assert found == [("closed", 9)]
    if shutil.which("jq"):
        command = next(line for line in page.splitlines() if line.startswith("jq -rn"))
        shown = subprocess.run(command, shell=True, check=True, capture_output=True, text=True)
        assert shown.stdout.split() == newest


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
