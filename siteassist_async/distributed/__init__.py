"""Exports on a Dask cluster: several processes or machines, which may die."""

from __future__ import annotations

from siteassist_async.distributed.exporting import export
from siteassist_async.distributed.project import Project
from siteassist_async.distributed.report import Partition, PartitionLostError, Report

__all__ = ["Partition", "PartitionLostError", "Project", "Report", "export"]
