"""Tests of fastapi_app.py, against the emulator and without waiting."""

import pytest
from fastapi.testclient import TestClient
from fastapi_app import app

from siteassist_async.emulator import Emulator, Fault, Status
from siteassist_async.testing import InstantClock

ID = "123e4567-e89b-12d3-a456-426614174000"


@pytest.mark.parametrize(
    ("fault", "status", "retry_after"),
    [
        (Status(401), 502, None),
        (Status(404), 404, None),
        (Status(404, body=b"<html>"), 502, None),  # not from the API: a wrong base URL
        (Status(429, retry_after=60), 503, "60"),
        (Status(503, retry_after=0.5), 503, "1"),
        (Status(500), 503, None),
    ],
)
def test_errors(
    siteassist_environment: Emulator,
    siteassist_clock: InstantClock,
    fault: Fault,
    status: int,
    retry_after: str | None,
) -> None:
    siteassist_environment.outage = fault
    with TestClient(app) as client:
        response = client.get(f"/conversations/{ID}")
    assert (response.status_code, response.headers.get("Retry-After")) == (status, retry_after)
