"""Exports on a Dask cluster: several processes or machines, which may die."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from siteassist_async.distributed.project import Project
from siteassist_async.distributed.report import Partition, PartitionLostError, Report

if TYPE_CHECKING:
    from siteassist_async.distributed.exporting import export

__all__ = ["Partition", "PartitionLostError", "Project", "Report", "export"]


def __getattr__(name: str) -> object:
    # Dask is imported when it is needed: what was exported is read without it.
    if name == "export":
        return import_module("siteassist_async.distributed.exporting").export
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
