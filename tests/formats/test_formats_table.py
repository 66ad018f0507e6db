"""Which format an output has, and what it needs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from siteassist_async import ConfigurationError
from siteassist_async.formats import convert, format_of, iter_export
from siteassist_async.formats.table import FORMATS, Format, sink_module, source_module


@pytest.mark.parametrize(("name", "wanted"), [(s, f.name) for f in FORMATS for s in f.suffixes])
def test_by_suffix(name: str, wanted: str) -> None:
    """In any case; a format's name goes before."""
    assert format_of(Path(f"a.b{name.upper()}")).name == wanted
    assert format_of(Path("a.txt"), wanted).name == wanted
    assert format_of(Path("a.parquet"), wanted).name == wanted


def test_unknown_formats_are_refused(tmp_path: Path) -> None:
    """With those that are known, and nothing of the name is printed raw."""
    with pytest.raises(ConfigurationError, match=r"a\.docx.*\.parquet.*\.sqlite"):
        convert(tmp_path / "log", tmp_path / "a.docx")
    with pytest.raises(ConfigurationError, match="no format 'word'; there are: jsonl, parquet"):
        iter_export(tmp_path / "log", format="word")
    with pytest.raises(ConfigurationError) as caught:
        format_of(Path("a.\x1b[31m"))
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.jsonl", "a.NDJSON", "a.jsonl.zst"])
def test_a_logs_suffix_means_a_log(name: str) -> None:
    """As another format, a later run would take it for what its suffix says."""
    assert format_of(name, "jsonl").name == "jsonl"
    with pytest.raises(ConfigurationError, match="that of JSON lines, but the format is parquet"):
        format_of(name, "parquet")


def test_a_log_is_not_converted_to_a_log(tmp_path: Path) -> None:
    """It is one."""
    with pytest.raises(ConfigurationError, match="not converted to jsonl"):
        convert(tmp_path / "a.jsonl", tmp_path / "b.jsonl")


def test_some_formats_cannot_be_read() -> None:
    """They say so."""
    with pytest.raises(ConfigurationError, match="cannot be read from pictures"):
        source_module(Format("pictures", (".png",), "pictures", is_source=False))


@pytest.mark.parametrize(("name", "library"), [("parquet", "pyarrow"), ("duckdb", "duckdb")])
def test_a_missing_extra_is_named(name: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    for module in ("parquet", "duckdb", "arrow"):
        monkeypatch.delitem(sys.modules, f"siteassist_async.formats.{module}", raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    command = rf"{name} needs .*: pip install 'siteassist_async\[{name}\]'"
    with pytest.raises(ConfigurationError, match=command):
        sink_module(format_of(Path("x"), name))


def test_duckdb_needs_pyarrow_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told before anything is converted, though it is imported for rows only."""
    monkeypatch.delitem(sys.modules, "siteassist_async.formats.duckdb", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", Mock(return_value=None))
    with pytest.raises(ConfigurationError, match="duckdb needs pyarrow: pip install"):
        sink_module(format_of(Path("x"), "duckdb"))


def test_a_missing_module_of_our_own_is_a_bug() -> None:
    """It is not reported as an extra."""
    with pytest.raises(ModuleNotFoundError):
        sink_module(Format("x", (".x",), "no_such_module"))
