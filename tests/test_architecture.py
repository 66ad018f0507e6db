"""The floors of the house: who may import whom, and what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import frozen

import siteassist_async

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(siteassist_async.__file__).parent

FLOORS = (
    ("__main__",),
    ("cli", "otel", "pytest_plugin"),
    ("distributed", "formats"),
    ("client", "export", "testing"),
    ("conversations", "messages", "middleware", "transport"),
    ("bulk", "codec", "compression", "emulator", "ids", "listing", "pacing", "wire"),
    ("logs",),
    ("closing", "events", "outage"),
    (
        "clock",
        "contract",
        "errors",
        "forks",
        "models",
        "parking",
        "retry_after",
        "slots",
        "tracebacks",
        "version",
    ),
    ("immutable",),
)
"""The highest first. A module imports from lower floors and from its own package only."""

LATE = {("siteassist_async.models", "siteassist_async.codec")}
"""Imported when a method is called: models are what the codec makes, and can write themselves."""

ROOMS = {
    "aiohttp": {"emulator", "testing", "transport"},
    "multidict": {"emulator", "transport"},
    "yarl": {"transport"},
    "cattrs": {"codec"},
    "tenacity": {"middleware"},
    "click": {"cli"},
    "pytest": {"pytest_plugin"},
    "aioresponses": {"testing"},
    "duckdb": {"formats"},
    "distributed": {"distributed"},
    "opentelemetry": {"otel"},
}
"""Where a library may be imported when the program runs; for type checkers, anywhere."""


@frozen
class Import:
    """One import of a name, by the module that it is in."""

    importer: str
    imported: str
    runs: bool
    """Whether it is imported when the program runs, not by type checkers only."""


def modules() -> dict[str, ast.Module]:
    """Every module of the package by its dotted name."""
    found: dict[str, ast.Module] = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        found[name] = ast.parse(path.read_text())
    return found


MODULES = modules()


def imports_of(name: str) -> Iterator[Import]:
    """All imports of a module, those within functions too."""
    for_types = {
        node
        for branch in ast.walk(MODULES[name])
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(MODULES[name]):
        runs = node not in for_types
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, alias.name, runs)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield Import(name, whole if whole in MODULES else node.module, runs)


IMPORTS = [found for name in MODULES for found in imports_of(name)]
OURS = [
    found
    for found in IMPORTS
    if found.imported.split(".")[0] == "siteassist_async"
    and (found.importer, found.imported) not in LATE
]


def room(module: str) -> str:
    """The module or package directly below the root that a module is in; "" for the root."""
    return module.partition(".")[2].partition(".")[0]


def floor(name: str) -> int:
    """The number of a room's floor, the highest 0."""
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def test_every_module_has_its_floor() -> None:
    """The list of floors is whole, and names nothing that is not there."""
    assert {room(name) for name in MODULES} - {""} == {name for rooms in FLOORS for name in rooms}


def test_arrows_go_down() -> None:
    """A module imports from lower floors and from its own package only, for types too."""
    wrong = [
        f"{found.importer} imports {found.imported}"
        for found in OURS
        if room(found.importer)
        and room(found.importer) != room(found.imported)
        and not floor(room(found.importer)) < floor(room(found.imported))
    ]
    assert wrong == []


def test_there_is_no_import_circle() -> None:
    """Nowhere, not within a package either, and not among imports for types."""
    graph: defaultdict[str, set[str]] = defaultdict(set)
    for found in OURS:
        if found.importer != "siteassist_async":
            graph[found.importer].add(found.imported)
    TopologicalSorter(graph).prepare()


def test_the_emulator_knows_the_contract_only() -> None:
    """It must not repeat the client's mistakes."""
    seen = {room(found.imported) for found in OURS if room(found.importer) == "emulator"}
    assert seen <= {"emulator", "contract"}


@pytest.mark.parametrize(("library", "rooms"), ROOMS.items())
def test_a_library_stays_in_its_rooms(library: str, rooms: set[str]) -> None:
    """What is replaced one day is replaced in one place."""
    users = {
        room(found.importer)
        for found in IMPORTS
        if found.imported.split(".")[0] == library and found.runs
    }
    assert users <= rooms


INTERNALS = "siteassist_async.transport.aiohttp_internals"
"""Where aiohttp's private names are."""

PUBLIC = {"aiohttp", "aiohttp.hdrs", "aiohttp.http", "aiohttp.web"}
"""The modules of aiohttp that others import."""


def private_names(tree: ast.Module) -> Iterator[str]:
    """What a module takes from others by a private name, and aiohttp's classes that it extends."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls" | "super")):
                pass
            case ast.Attribute(attr=name) if name.startswith("_") and not name.endswith("__"):
                yield name
            case ast.Call(
                func=ast.Name(id="getattr" | "setattr" | "hasattr" | "delattr"),
                args=[_, ast.Constant(value=str(name)), *_],
            ) if name.startswith("_"):
                yield name
            case ast.ClassDef(bases=bases):
                yield from (base for base in map(ast.unparse, bases) if "aiohttp." in base)
            case ast.Call(func=ast.Attribute(attr="connect" | "set_response_params" as name)):
                yield name
            case _:
                pass


def test_aiohttps_private_names_are_in_one_file() -> None:
    """One switch turns all of them off."""
    imports = [
        found for found in IMPORTS if found.imported.split(".")[0] == "aiohttp" and found.runs
    ]
    assert INTERNALS in {found.importer for found in imports}
    assert [*private_names(MODULES[INTERNALS])] != []
    others = [found for found in imports if found.importer != INTERNALS]
    assert {found.imported for found in others} <= PUBLIC
    for name in {found.importer for found in others}:
        assert [*private_names(MODULES[name])] == [], name


def test_only_the_cli_prints() -> None:
    """A library does not speak to its user's terminal."""
    printing = {
        name
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == "print"
    }
    assert {room(name) for name in printing} <= {"cli"}


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after a statement."""
    program = f"{statement}; import sys; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return set(run.stdout.split())


NOT_FOR_THE_LIBRARY = {"cli", "distributed", "export", "formats", "emulator", "contract"}


def test_the_bare_import_loads_next_to_nothing() -> None:
    """Each name is loaded when it is first used: `siteassist --help` feels instant."""
    loaded = loaded_by("import siteassist_async")
    assert {name for name in loaded if name.startswith("siteassist_async")} == {
        "siteassist_async",
        "siteassist_async.version",
    }
    assert loaded.isdisjoint(
        {"aiohttp", "cattrs", "attrs", "attr", "msgspec", "tenacity", "asyncio"}
    )


def test_the_client_loads_what_it_needs() -> None:
    """Neither the CLI, the export nor the emulator, nor what only they and faulty bodies use."""
    loaded = loaded_by("from siteassist_async import SiteAssist")
    rooms = {room(name) for name in loaded if name.startswith("siteassist_async.")}
    assert rooms.isdisjoint(NOT_FOR_THE_LIBRARY)
    assert loaded.isdisjoint({"sqlite3", "click", "pytest", "aiohttp.web_runner", "cattrs"})


def test_the_errors_and_models_load_no_aiohttp() -> None:
    """Who only handles errors, or reads a file of conversations, does not wait for HTTP."""
    loaded = loaded_by("from siteassist_async import Conversation, NotFoundError")
    assert loaded.isdisjoint({"aiohttp", "cattrs", "tenacity", "asyncio"})
