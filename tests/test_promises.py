"""The page of promises names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "PROMISES.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_promise_is_held_by_a_test(file: str, name: str) -> None:
    """Each one that the page names is in the file that it names."""
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_every_promise_names_one() -> None:
    """All nine of them."""
    promises = re.split(r"\n## (?=\d)", PAGE)[1:]
    assert len(promises) == 9
    assert all("`tests/" in promise for promise in promises)
