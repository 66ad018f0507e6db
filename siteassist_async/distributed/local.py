"""A cluster on this machine, for as long as a process needs it.

It is a process of its own, in a session of its own: Ctrl-C in a terminal reaches all processes
there, and would kill workers that should end in order. When its owner ends, however, so does it.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from siteassist_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Generator

_MOST = 4
"""Workers at the most; one exports faster than any usual limit allows."""

ALLOWED_FAILURES = 10
"""How many workers may die with a partition before it is given up."""

_PATIENCE = 20.0
"""Seconds for the cluster to end."""


@contextmanager
def local_cluster() -> Generator[str]:
    """Start a cluster, and return its address; it ends with the context or this process.

    Raises:
        ConfigurationError: It could not be started.
    """
    with subprocess.Popen(  # noqa: S603 - this interpreter
        [sys.executable, "-c", f"from {__name__} import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as process:
        assert process.stdin is not None  # noqa: S101 - for type checkers
        assert process.stdout is not None  # noqa: S101
        try:
            address = process.stdout.readline().strip()
            if not address:
                raise ConfigurationError("Dask's processes could not be started on this machine")
            yield address
        finally:
            process.stdin.close()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def make_cluster() -> Any:  # noqa: ANN401 - Dask is without types
    """Start a scheduler in this process, and workers in others."""
    distributed = import_module("distributed")  # first: it completes the configuration
    # By default a task fails when three workers have died with it, of whatever cause.
    config = {"distributed.scheduler.allowed-failures": ALLOWED_FAILURES}
    with import_module("dask.config").set(config):
        return distributed.LocalCluster(
            n_workers=min(os.cpu_count() or 1, _MOST),
            threads_per_worker=2,  # one partition begins while another ends
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,  # the report says what happened
        )


def main() -> None:
    """Run a cluster, print its address, and end when the input does."""
    with make_cluster() as cluster:
        sys.stdout.write(f"{cluster.scheduler_address}\n")
        sys.stdout.flush()
        sys.stdin.read()
