"""The crash-safe export: records, dead letters, checkpoints and exit codes."""

from __future__ import annotations

from siteassist_async.export.audit import Fault
from siteassist_async.export.checkpoint import Counts
from siteassist_async.export.errors import (
    ExportError,
    InputChangedError,
    InputError,
    OutputChangedError,
    OutputError,
    OutputExistsError,
    OutputInUseError,
    StateError,
    UnknownColumnError,
)
from siteassist_async.export.job import ExportJob
from siteassist_async.export.ledger import RestorablePacer
from siteassist_async.export.source import Source
from siteassist_async.export.staging import GivenId, GivenIds
from siteassist_async.export.summary import Ending, ExitCode, Progress, Summary, exit_code
from siteassist_async.export.verify import Verified, verify

__all__ = [
    "Counts",
    "Ending",
    "ExitCode",
    "ExportError",
    "ExportJob",
    "Fault",
    "GivenId",
    "GivenIds",
    "InputChangedError",
    "InputError",
    "OutputChangedError",
    "OutputError",
    "OutputExistsError",
    "OutputInUseError",
    "Progress",
    "RestorablePacer",
    "Source",
    "StateError",
    "Summary",
    "UnknownColumnError",
    "Verified",
    "exit_code",
    "verify",
]
