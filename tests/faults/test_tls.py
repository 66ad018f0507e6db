"""TLS: verified, by a private authority too, and refused at the first attempt."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

import aiohttp
import pytest
import trustme
from fakes import TOKEN

from siteassist_async import (
    CertificateError,
    ConnectionFailedError,
    DisconnectedError,
    RetryPolicy,
    SiteAssist,
    SiteAssistError,
    TimedOutError,
    Timeout,
)

from .rows import PATIENT
from .wire import BODY, GOOD, ID, answer, head

if TYPE_CHECKING:
    from collections.abc import Callable

    from fakes import FakeClock

    from .raw_server import RawServer

pytestmark = pytest.mark.usefixtures("public_only")

AUTHORITY = trustme.CA()
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


def trusting(authority: trustme.CA = AUTHORITY) -> ssl.SSLContext:
    """What a user of a private authority gives to the client."""
    return ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())


def presenting(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's context."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    load(context, certificate.private_key_and_cert_chain_pem.bytes())
    return context


def load(context: ssl.SSLContext, pem: bytes) -> None:
    """Present this certificate, whose key comes with it."""
    with NamedTemporaryFile() as file:
        Path(file.name).write_bytes(pem)
        context.load_cert_chain(file.name)


async def get(
    url: str,
    clock: FakeClock,
    *,
    tls: ssl.SSLContext | None = None,
    times: Timeout = PATIENT,
    attempts: int = 3,
) -> object:
    """The conversation or the error, of a client that has several attempts."""
    retry = RetryPolicy(attempts=attempts)
    async with SiteAssist(
        TOKEN, base_url=url, tls=tls, timeout=times, retry=retry, clock=clock
    ) as client:
        try:
            return await client.conversations.get(ID)
        except SiteAssistError as error:
            return error


async def test_a_private_authority_can_be_given(server: RawServer, clock: FakeClock) -> None:
    """Its certificates are accepted, for the name that was asked for."""
    await restart(server, presenting(AUTHORITY.issue_cert("127.0.0.1")))
    outcome = await get(server.url, clock, tls=trusting())
    assert not isinstance(outcome, SiteAssistError), outcome
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("issue", "tls", "reason"),
    [
        (lambda: AUTHORITY.issue_cert("127.0.0.1"), None, "unable to get local issuer"),
        (lambda: trustme.CA().issue_cert("127.0.0.1"), trusting(), "unable to get local issuer"),
        (
            lambda: AUTHORITY.issue_cert("api.siteassist.io"),
            trusting(),
            "not valid for '127.0.0.1'",
        ),
        (
            lambda: AUTHORITY.issue_cert(
                "127.0.0.1", not_before=YESTERDAY - timedelta(days=9), not_after=YESTERDAY
            ),
            trusting(),
            "certificate has expired",
        ),
        (
            lambda: AUTHORITY.issue_cert(
                "127.0.0.1",
                not_before=YESTERDAY + timedelta(days=9),
                not_after=YESTERDAY + timedelta(days=99),
            ),
            trusting(),
            "certificate is not yet valid",
        ),
    ],
    ids=["unknown authority", "another authority", "another name", "expired", "not yet valid"],
)
async def test_a_certificate_that_cannot_be_trusted_ends_it(
    server: RawServer,
    clock: FakeClock,
    issue: Callable[[], trustme.LeafCert],
    tls: ssl.SSLContext | None,
    reason: str,
) -> None:
    """One attempt, no request, and so no token."""
    await restart(server, presenting(issue()))
    outcome = await get(server.url, clock, tls=tls)
    assert type(outcome) is CertificateError, outcome
    assert isinstance(outcome, CertificateError)
    assert reason in str(outcome)
    assert (outcome.attempts, server.connections, len(server.requests)) == (1, 0, 0)


async def test_a_self_signed_certificate_ends_it(server: RawServer, clock: FakeClock) -> None:
    """As above; the authority presents itself."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    load(context, AUTHORITY.private_key_pem.bytes() + AUTHORITY.cert_pem.bytes())
    await restart(server, context)
    outcome = await get(server.url, clock)
    assert type(outcome) is CertificateError, outcome
    assert "self-signed certificate" in str(outcome)


async def test_a_server_without_tls_is_a_failed_connection(
    server: RawServer, clock: FakeClock
) -> None:
    """It answers in the clear, or waits for a request."""
    url = server.url.replace("http:", "https:")
    server.greeting = [answer(b"", 400), "silence"]
    outcome = await get(url, clock)
    assert type(outcome) is ConnectionFailedError, outcome
    assert "SSL" in str(outcome)
    server.greeting = ["silence"]
    outcome = await get(url, clock, times=Timeout(connect=0.03), attempts=2)
    assert type(outcome) is TimedOutError, outcome
    assert server.requests == []


async def test_a_server_with_tls_cannot_be_asked_in_the_clear(
    server: RawServer, clock: FakeClock
) -> None:
    """It takes the request for a broken handshake."""
    await restart(server, presenting(AUTHORITY.issue_cert("127.0.0.1")))
    outcome = await get(server.url.replace("https:", "http:"), clock)
    assert isinstance(outcome, DisconnectedError), outcome
    assert server.requests == []


async def test_a_certificate_of_the_clients_own_can_be_given(
    server: RawServer, clock: FakeClock
) -> None:
    """By the same context; without it the server breaks off, and nothing is told but that."""
    asking = presenting(AUTHORITY.issue_cert("127.0.0.1"))
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_verify_locations(cadata=AUTHORITY.cert_pem.bytes().decode())
    await restart(server, asking)
    outcome = await get(server.url, clock, tls=trusting())
    assert isinstance(outcome, ConnectionFailedError), outcome
    assert server.requests == []
    tls = trusting()
    certificate = AUTHORITY.issue_cert("client@example.com")
    load(tls, certificate.private_key_and_cert_chain_pem.bytes())
    outcome = await get(server.url, clock, tls=tls)
    assert not isinstance(outcome, SiteAssistError), outcome


@pytest.mark.parametrize(
    "cut", [GOOD[:-9], head() + BODY[:-9]], ids=["with a length", "without a length"]
)
async def test_an_attacker_who_cuts_the_connection_cannot_shorten_a_body(
    server: RawServer, clock: FakeClock, cut: bytes
) -> None:
    """TLS would say that it ends, and has not; aiohttp does not ask."""
    await restart(server, presenting(AUTHORITY.issue_cert("127.0.0.1")))
    server.script[ID].append([cut, "pause", "reset"])
    server.forever = True
    outcome = await get(server.url, clock, tls=trusting())
    assert isinstance(outcome, ConnectionFailedError), outcome
    assert "the response is truncated" in str(outcome)
    assert len(server.requests) == 3


async def restart(server: RawServer, tls: ssl.SSLContext) -> None:
    """Speak TLS from now on."""
    await server.stop()
    await server.start(tls)


async def test_a_certificate_that_is_not_the_pinned_one_ends_it(
    server: RawServer, clock: FakeClock
) -> None:
    """A session of the user's may pin it; nothing is sent, and trying again is no help."""
    await restart(server, presenting(AUTHORITY.issue_cert("127.0.0.1")))
    connector = aiohttp.TCPConnector(ssl=aiohttp.Fingerprint(bytes(32)))
    async with aiohttp.ClientSession(connector=connector) as session:
        client = SiteAssist(TOKEN, base_url=server.url, session=session, clock=clock)
        with pytest.raises(CertificateError) as caught:
            await client.conversations.get(ID)
    assert caught.value.attempts == 1
    assert server.requests == []
