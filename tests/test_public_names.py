"""What `import siteassist_async` offers."""

from __future__ import annotations

import ast
import pickle
from importlib import import_module
from pathlib import Path

import pytest

import siteassist_async

SOURCE = Path(siteassist_async.__file__)
NAMES = [name for name in siteassist_async.__all__ if name != "__version__"]


def imported_for_types() -> dict[str, str]:
    """The names that a type checker sees, each with its module."""
    (branch,) = [node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If)]
    return {
        alias.name: node.module or ""
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_type_checkers_and_the_interpreter_see_the_same_names() -> None:
    """`__all__`, the imports for type checkers and the table of lazy names agree."""
    for_types = imported_for_types()
    modules: dict[str, str] = vars(siteassist_async)["_MODULES"]
    lazy = {name: f"siteassist_async.{module}" for name, module in modules.items()}
    assert for_types == lazy
    assert sorted(NAMES) == sorted(for_types)
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_that_of_its_module(name: str) -> None:
    """It is the very same object, the first time and later."""
    module = import_module(imported_for_types()[name])
    assert getattr(siteassist_async, name) is getattr(module, name)
    assert getattr(siteassist_async, name) is getattr(module, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any other module."""
    with pytest.raises(AttributeError, match="module 'siteassist_async' has no attribute 'Sync'"):
        _ = siteassist_async.Sync  # pyright: ignore[reportAttributeAccessIssue] # the point


def test_dir_lists_the_public_names() -> None:
    """Those that were not used yet too; editors and the prompt complete by it."""
    assert set(siteassist_async.__all__) <= set(dir(siteassist_async))


def test_a_star_import_gives_the_public_names() -> None:
    """All of them and no other."""
    given: dict[str, object] = {}
    exec("from siteassist_async import *", given)
    assert set(given) - {"__builtins__"} == set(siteassist_async.__all__)


def documented() -> set[str]:
    """The public names with a docstring: in a class, or below an assignment."""
    found: set[str] = set()
    for module in set(imported_for_types().values()):
        body = ast.parse(Path(import_module(module).__file__ or "").read_text()).body
        for node, below in zip(body, [*body[1:], None], strict=True):
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
                found.add(node.name)
            elif isinstance(node, ast.Assign) and isinstance(below, ast.Expr):
                found.update(ast.unparse(target) for target in node.targets)
    return found


def test_every_public_name_has_a_docstring() -> None:
    """The classes have theirs, and constants and aliases one below."""
    assert set(NAMES) - documented() == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_public_class_is_pickled_by_its_own_module(name: str) -> None:
    """A pickle does not depend on what was imported before."""
    value = getattr(siteassist_async, name)
    if isinstance(value, type):
        assert value.__module__ == imported_for_types()[name]
        assert pickle.loads(pickle.dumps(value)) is value


def test_the_version_is_there() -> None:
    """Without any other import."""
    assert siteassist_async.__version__ == import_module("siteassist_async.version").__version__
