"""`siteassist plan`."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING
from unittest.mock import Mock

from siteassist_async.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    """It says what an export takes."""
    assert main(["plan", "1000000", "--rate", "200"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["time", "83.4", "minutes"],
        ["requests", "200/s", "0.13%"],
        ["tokens", "1", "each"],
        ["memory", "62.9", "MB"],
        ["disk", "5.04", "GB"],
        ["files", "8"],
    ]
    assert main(["plan", "100", "--rate", "50", "--size", "1"]) == 0
    assert "time                  2 s" in capsys.readouterr().out


def test_what_stops_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bounds are in their order, with what it takes where they are too low."""
    free = SimpleNamespace(f_bavail=10**9, f_frsize=1000, f_favail=0)
    monkeypatch.setattr("os.statvfs", Mock(return_value=free))
    monkeypatch.setattr("os.sysconf", Mock(return_value=2**16))
    job = ["plan", "1000000000", "--rate", "500", "--workers", "4", "--deadline", "20d"]
    assert main([*job, "-o", str(tmp_path / "none" / "out")]) == 1
    said = capsys.readouterr().out
    assert "2.8 hours of it before the first request" in said
    assert "partitions         13,3" in said
    first, second = said.index("196,966,713  free disk space"), said.index("  the deadline")
    assert first < second < said.index("an hour for each partition")
    assert said.count(": too few; it takes") == 2
    assert main([*job, "--json"]) == 1
    plan = json.loads(capsys.readouterr().out)
    assert (plan["event"], plan["ids"], plan["tokens"]) == ("plan", 10**9, 2)
    assert [bound["name"] for bound in plan["bounds"] if bound["stops"]] == ["the deadline"]


def test_a_plan_without_a_rate(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing can be said."""
    assert main(["plan", "5"]) == 2
    assert "--rate" in capsys.readouterr().err
