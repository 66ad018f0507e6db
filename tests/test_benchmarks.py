"""The benchmarks run: each by its smallest round, with nothing timed."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The scripts' folder is where Python looks first, as it is when one of them is run."""
    known = set(sys.modules)
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    gc.freeze()  # each measurement collects the garbage, not among all that other tests imported
    yield
    gc.unfreeze()
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


def test_decoding_runs() -> None:
    """Every way to decode reads the emulator's conversations."""
    outcome = import_module("decoding").measure(import_module("rounds").SMOKE, [0, 2])
    assert [len(table.columns) for table in outcome.tables] == [2, 2, 2]


def test_fetching_runs() -> None:
    """Every client that is installed fetches what it asks for."""
    fetching = import_module("fetching")
    outcome = fetching.measure(
        import_module("rounds").SMOKE, [fetching.Cell(messages=1, at_once=2)]
    )
    assert "siteassist_async, get (objects)" in outcome.tables[0].rows
    assert "plain aiohttp loop (dicts)" in outcome.tables[0].rows


@pytest.mark.parametrize("with_nginx", [True, False])
def test_listing_runs(monkeypatch: pytest.MonkeyPatch, *, with_nginx: bool) -> None:
    """Each contender reads all pages, of nginx where it is there, else of the emulator."""
    if not with_nginx:
        monkeypatch.setattr("shutil.which", Mock(return_value=None))
    outcome = import_module("listing").measure(300, 1)
    assert [target.at_most for target in outcome.targets] == [1.3, 1.3]


def test_tls_without_nginx_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator has none, and plain HTTP is not what was asked for."""
    monkeypatch.setattr("shutil.which", Mock(return_value=None))
    with pytest.raises(SystemExit, match="TLS needs nginx"):
        import_module("fetching").main(["--quick", "--tls"])


def test_bulk_runs() -> None:
    """A plain loop, get_many and an export go through all ids, and a killed export goes on."""
    outcome = import_module("bulk").measure({70: 1}, resumed=50, resumes=1, stretch=20)
    assert len(outcome.targets) == 3


def test_formats_run() -> None:
    """Each format is written and read, again too."""
    outcome = import_module("formats").measure(20, 30, 1, apart=False)
    assert len(outcome.targets) == 9


def test_startup_runs() -> None:
    """Each import and each command is timed in a process of its own."""
    outcome = import_module("startup").measure(1)
    assert outcome.tables[0].rows["SiteAssist"]


def test_pacing_is_simulated() -> None:
    """A limit is found, bad ids and outages cost no good id, and calls come before an export."""
    runs, scenarios = import_module("pacing.runs"), import_module("pacing.scenarios")
    servers = import_module("pacing.servers")
    scenario = scenarios.bucket(5, 5, servers.exact)
    cells = [runs.cell(scenario, client, range(1)) for client in runs.CLIENTS]
    assert cells[0].lost == 0
    assert cells[0].time < 1.25
    paced = import_module("pacing.clients").Paced
    poison = import_module("pacing.poison")
    run = poison.run(paced(1), 1000, 0.01, servers.Kind.UNAVAILABLE)
    assert (run.result.granted, run.result.failed, run.result.lost) == (990, 10, 0)
    outages = import_module("pacing.outages")
    for _, kind, retry_after in outages.KINDS:
        assert outages.cost(paced(1), 3, kind, retry_after).lost == 0
    services = import_module("pacing.services")
    assert services.serve(paced(1), 2.0, 50, servers.exact, 20.0).slowest <= services.PATIENCE
    answered, _, share = services.shared(lambda: paced(1), 50, servers.exact, 20.0)
    assert min(answered, share) > 0.5


def test_outcomes_are_read_back(tmp_path: Path) -> None:
    """What a benchmark writes as JSON is what the report prints and draws."""
    outcome = import_module("outcome")
    report = import_module("report")
    column = import_module("fetching").speed_column(10)
    table = outcome.Table(report.PLOTTED, [column], {"a <b>": [1.5], "c": [None]})
    found = outcome.Outcome("fetching", [table], [outcome.Target("t", 2.0, at_least=1.0)])
    outcome.publish(found, tmp_path / "found.json")
    again = outcome.read(tmp_path / "found.json")
    assert again == found
    assert "| t (fetching) | ≥ 1 | 2.00 | yes |" in report.markdown([again])
    assert "a &lt;b&gt;" in report.drawn(again)
