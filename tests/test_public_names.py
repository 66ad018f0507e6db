"""What `import siteassist_async` offers."""

from __future__ import annotations

import ast
import pickle
import re
from importlib import import_module
from pathlib import Path
from unittest.mock import create_autospec

import mypy.api
import pytest
from documents import write_examples

import siteassist_async
from siteassist_async import SiteAssist

SOURCE = Path(siteassist_async.__file__)
NAMES = [name for name in siteassist_async.__all__ if name != "__version__"]


def imported_for_types() -> dict[str, str]:
    """The names that a type checker sees, each with its module."""
    body = ast.parse(SOURCE.read_text()).body
    branch = next(node for node in body if isinstance(node, ast.If))
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
        _ = siteassist_async.Sync  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue] # the point


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


PROGRAM = """\
from siteassist_async import (
    BadGatewayError, BadRequestError, ConflictError, Conversation, NotFoundError,
    PaymentRequiredError, RateLimitError, ServiceUnavailableError, SiteAssist, ValidationError,
)

def fits(
    e400: BadRequestError, e402: PaymentRequiredError, e404: NotFoundError, e409: ConflictError,
    e422: ValidationError, e429: RateLimitError, e502: BadGatewayError,
    e503: ServiceUnavailableError,
) -> None:
    a: str = e400.details.field if e400.details else ""
    b: str = e402.details.required_plan if e402.details else ""
    c: str = e404.details.conversation_id if e404.details else ""
    d: str = e409.details.conflicting_field if e409.details else ""
    e: str = e422.details.reason if e422.details else ""
    f: float = e429.details.retry_after if e429.details else 0.0
    g: str = e502.details.service if e502.details else ""
    h: float = e503.details.retry_after if e503.details else 0.0

async def calls(client: SiteAssist) -> bytes:
    SiteAssist(timeout=5, deadline=10)
    conversation: Conversation = await client.with_options(timeout=2.5).conversations.get("id")
    return Conversation.from_json(conversation.to_json()).to_json()
"""
MISTAKES = {
    "from siteassist_async import NotFoundEror": "attr-defined",
    "import siteassist_async; siteassist_async.Sync": "attr-defined",
    "SiteAssist(retry=3)": "arg-type",
    "SiteAssist(concurrency='8')": "arg-type",
    "SiteAssist(session='s')": "arg-type",
    "PaymentRequiredError().details.plan": "union-attr",
}


def test_a_type_checker_finds_users_mistakes_and_nothing_else(tmp_path: Path) -> None:
    """Misspelt names, wrong options; each error's details have their own type.

    What the README, docs/ and docstrings show has none.
    """
    shown = write_examples(tmp_path / "shown")
    source = tmp_path / "program.py"
    source.write_text("\n".join([PROGRAM, *MISTAKES, ""]))
    first = PROGRAM.count("\n") + 2
    cache = f"--cache-dir={tmp_path / 'cache'}"
    report, problem, _ = mypy.api.run(
        ["--strict", "--no-error-summary", cache, *map(str, [source, *shown])]
    )
    assert problem == ""
    found = re.findall(r"program.py:(\d+): error: .*\[([a-z-]+)\]$", report, re.MULTILINE)
    mistakes = dict(enumerate(MISTAKES.values(), first))
    assert {int(line): code for line, code in found} == mistakes, report
    assert shown
    assert "shown" not in report


def test_a_mock_of_the_client_knows_its_attributes() -> None:
    """And so does `help`."""
    client = create_autospec(SiteAssist, instance=True)
    for name in ("conversations", "messages", "pacer", "events"):
        assert getattr(client, name)
        assert getattr(SiteAssist, name).__doc__
    with pytest.raises(AttributeError):
        _ = client.conversation


async def test_a_mock_of_a_client_can_be_awaited() -> None:
    """Of an object, as a property of the class says nothing about what it returns."""
    client = create_autospec(SiteAssist("sk_test_mocked"))
    client.conversations.get.return_value = 3
    assert await client.conversations.get("x") == 3
    with pytest.raises(AttributeError):
        _ = client.conversations.search
