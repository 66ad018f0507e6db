"""What the README, the pages of docs/ and docstrings show runs."""

from __future__ import annotations

import io
import json
import re
import runpy
import shlex
import subprocess
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
from documents import DOCS, IN_PYTEST, PAGES, ROOT, examples
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser

from siteassist_async import SiteAssist, SiteAssistError, errors
from siteassist_async.cli import main
from siteassist_async.cli.console import Console
from siteassist_async.cli.get import code_of
from siteassist_async.cli.progress import progress_record
from siteassist_async.cli.status import Status
from siteassist_async.cli.summary import Result, report_error, summary_record
from siteassist_async.emulator import Emulator, TokenBucket
from siteassist_async.events import Event
from siteassist_async.export import Counts, Progress, dead_letters
from siteassist_async.export import errors as export_errors
from siteassist_async.pacing import AdaptivePacer

if TYPE_CHECKING:
    from sybil import Example

pytest_plugins = ["pytester"]

TUTORIAL = DOCS / "tutorial.md"


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _place(example: Example) -> str:
    return f"{_name(Path(example.path))}:{example.line}"


@pytest.mark.parametrize(
    "example", [example for example in examples() if example.path != str(TUTORIAL)], ids=_place
)
def test_an_example_runs(example: Example, siteassist_environment: Emulator) -> None:
    """Each Python block is a whole program; the environment leads it to the emulator."""
    assert siteassist_environment.url
    example.evaluate()


def test_the_tests_that_are_shown_pass(pytester: pytest.Pytester) -> None:
    """Those of the page on testing."""
    for example in examples():
        if example.path == str(DOCS / "testing.md"):
            pytester.makepyfile(**{f"test_{example.line}": str(example.parsed)})
    pytester.runpytest(*IN_PYTEST, "-o", "asyncio_mode=auto").assert_outcomes(passed=6)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_commands_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command, and each of its options."""

    def check(example: Example) -> None:
        for line in example.parsed.splitlines():
            for command in re.split(r" (?:\||&&) ", line.removeprefix("$ ")):
                if command.startswith("siteassist "):
                    _, name, *options = shlex.split(command, comments=True)
                    code = main([name, "--help", *options])
                    assert code == 0, f"{command}: {capsys.readouterr().err}"

    parsers = [CodeBlockParser(language, check) for language in ("sh", "console")]
    for example in Sybil(parsers).parse(page).examples():
        example.evaluate()


@pytest.mark.siteassist(conversations=300, limit=TokenBucket(1000))
@pytest.mark.usefixtures("siteassist_environment")
def test_the_tutorial(pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    """All that it shows, in its order: programs are saved under their names, commands are run.

    They run in this process, which takes a tenth of the time.
    """

    def save(example: Example) -> None:
        name = example.parsed.partition("\n")[0].removeprefix("# ")
        Path(name).write_text(example.parsed)

    def run(example: Example) -> None:
        for line in example.parsed.splitlines():
            command, _, target = line.partition(" > ")
            capsys.readouterr()
            match shlex.split(command):
                case ["siteassist", *arguments]:
                    assert main(arguments) == (3 if "--limit" in arguments else 0)
                case ["python", "-m", "pytest", *arguments]:
                    pytester.runpytest(*arguments, *IN_PYTEST).assert_outcomes(passed=2)
                case ["python", program]:
                    runpy.run_path(program, run_name="__main__")
                case other:
                    subprocess.run(other, check=True)
            if target:
                Path(target).write_text(capsys.readouterr().out)

    parsers = [CodeBlockParser("python", save), CodeBlockParser("sh", run)]
    for example in Sybil(parsers).parse(TUTORIAL).examples():
        example.evaluate()
    assert len(Path("ids.txt").read_text().split()) == 300
    assert len(Path("conversations.jsonl").read_text().splitlines()) == 300


@pytest.mark.parametrize("page", sorted({*PAGES, *ROOT.glob("*.md")}), ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    """Those to files, from where the page is; those of the site to files that it has."""
    for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in link:
            target = (page.parent / link).resolve()
            assert target.exists(), link
            assert page.parent == ROOT or target.is_relative_to(DOCS), link


def test_every_error_is_explained() -> None:
    """Those of requests in tables, with the exit code of `siteassist get` after it."""
    page = (DOCS / "errors.md").read_text()
    codes = dict(re.findall(r"^\| `(\w+)` \|.* \| (\d)[^|]* \|$", page, re.MULTILINE))
    for module in (errors, export_errors):
        for name, error in vars(module).items():
            if isinstance(error, type) and issubclass(error, SiteAssistError):
                assert f"`{name}`" in page
                if name in codes:
                    assert int(codes[name]) == code_of(error())
    bases = {"SiteAssistError", "APIError", "TransportError"}
    named = {error.__name__ for error in vars(errors).values() if isinstance(error, type)}
    assert codes.keys() >= {n for n in named if n.endswith("Error")} - bases - {"OutageError"}


def test_a_dead_letter_is_shown_as_it_is_written() -> None:
    """With all of its keys, in their order."""
    shown = re.search(r'^\{"at":.*$', (DOCS / "errors.md").read_text(), re.MULTILINE)
    assert shown is not None
    assert dead_letters.encode(dead_letters.decode(shown[0].encode())).decode() == shown[0]


def test_the_fields_of_json_events_are_explained() -> None:
    """Each of an export's events has those that the table says, and no others."""
    page = (DOCS / "cli.md").read_text()
    section = page.partition("## JSON events")[2].partition("\n## ")[0]
    explained: dict[str, set[str]] = {"progress": set(), "summary": set(), "error": set()}
    for names, events in re.findall(r"^\| (`.*?`) \| ([a-z, ]+) \|", section, re.MULTILINE):
        for event in explained if events == "all" else events.split(", "):
            explained[event].update(re.findall(r"`(\w+)`", names))
    pace = AdaptivePacer().snapshot()
    last = Status(Progress(Counts(), already_there=0), pace)
    assert explained["progress"] == progress_record(last).keys()
    assert explained["summary"] == summary_record(Result(None, last, requests=0)).keys()
    shown = io.StringIO()
    report_error(SiteAssistError("no"), Console(shown, None, {}), json=True)
    assert explained["error"] == json.loads(shown.getvalue()).keys()


def test_every_event_and_every_option_is_explained() -> None:
    """In the tables of their pages."""
    page = (DOCS / "events.md").read_text()
    assert all(f"`{event.__name__}`" in page for event in get_args(Event))
    page = (DOCS / "fetching.md").read_text()
    options = signature(SiteAssist).parameters
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(options)


def test_the_readme_is_short() -> None:
    """What it is and how to begin; the rest is in docs/."""
    assert len(PAGES[0].read_text().splitlines()) <= 150


def test_the_map_names_what_is_there() -> None:
    """Every path of the map exists, and no module or folder of the package's top is missing."""
    design = (DOCS / "design.md").read_text()
    the_map = design[design.index("## The map") :]
    named = set(re.findall(r"`([a-z_/.]+)`", the_map))
    paths = {name for name in named if "/" in name}
    assert {path for path in paths if not (ROOT / path).exists()} == set()
    here = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / "siteassist_async").iterdir()
        if path.suffix == ".py" or (path.is_dir() and path.name.isidentifier())
    }
    hidden = {"__init__.py", "__pycache__/", "version.py"}
    assert here - hidden == {name.removeprefix("siteassist_async/") for name in named} & here
