"""The plugin that looks for tokens finds one, wherever it shows."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from siteassist_async import ConnectionFailedError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from leaks import Watch

pytest_plugins = ["leaks"]

TOKEN = "sk_test_that_shows"

ROOT = Path(__file__).parent.parent


@pytest.fixture
def watch(pytestconfig: pytest.Config) -> Watch:
    """The plugin's; to import it here would be before pytest does."""
    plugin = pytestconfig.pluginmanager.get_plugin("leaks")
    assert plugin is not None
    found: Watch = plugin.WATCH
    return found


def log() -> None:
    """As an argument of a record."""
    logging.getLogger("somebody.elses").error("sent %s", {"Authorization": TOKEN})


def log_an_exception() -> None:
    """Behind the exception that is logged."""
    error = ConnectionFailedError("x")
    error.__cause__ = KeyError(TOKEN)
    logging.getLogger(__name__).error("oops", exc_info=error)


def keep() -> None:
    """In an attribute that neither str nor repr shows."""
    NotFoundError("x", raw_details=[TOKEN])


def run() -> None:
    """On a program's standard error."""
    program = f"import sys; sys.stderr.write({TOKEN!r})"
    subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)


@pytest.mark.parametrize("leak", [log, log_an_exception, keep, run])
def test_a_token_that_shows_is_seen(watch: Watch, leak: Callable[[], None]) -> None:
    """In a log, behind an exception, in an attribute, in a program's output."""
    leak()
    watch.look_at_errors()
    assert TOKEN in watch.reported()


def test_a_token_that_is_printed_is_seen(watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where the test takes it away."""
    sys.stdout.write(TOKEN)
    capsys.readouterr()
    assert "captured output" in watch.reported()


def test_a_token_in_a_file_is_seen(watch: Watch, tmp_path: Path) -> None:
    """But not in the file by which it is given."""
    (tmp_path / "token").write_text(TOKEN)
    watch.look_at_files(tmp_path)
    assert watch.reported() == ""
    file = tmp_path / "deep" / "x.jsonl"
    file.parent.mkdir()
    file.write_text(json.dumps({"token": TOKEN}))
    watch.look_at_files(tmp_path)
    assert str(file) in watch.reported()
    file.unlink()


def tokens_in(folder: str) -> set[str]:
    """What looks like a token in the Python files below a folder."""
    sources = (path.read_text() for path in (ROOT / folder).rglob("*.py"))
    return {found for source in sources for found in re.findall(r"\bsk_\w{2,}", source)}


def test_the_tests_tokens_are_those_that_are_looked_for() -> None:
    """All but the emulator's own, and what is almost that."""
    others = {token for token in tokens_in("tests") if not token.startswith("sk_test_")}
    assert others == {"sk_emulator", "sk_emulato", "sk_emulator2"}


def test_no_constant_is_a_token(watch: Watch) -> None:
    """Else hypothesis draws it, and a test fails by the luck of the draw."""
    for token in tokens_in("siteassist_async") | tokens_in("benchmarks"):
        watch.look("a source", token)
    assert watch.reported() == ""
