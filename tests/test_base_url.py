"""The base URL: https or this machine, and nothing but a place."""

from __future__ import annotations

import pytest
from fakes import (
    ID,
    TOKEN,
    Recorder,
)

from siteassist_async import (
    BASE_URL,
    ConfigurationError,
    SiteAssist,
)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SITEASSIST_TOKEN", raising=False)
    monkeypatch.delenv("SITEASSIST_BASE_URL", raising=False)


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.example.com",
        "https://api.example.com/v2",
        "https://api.example.com:8443/a/b",
        "HTTPS://api.example.com/v2",
        "http://localhost:8080/v2",
        "http://LOCALHOST/v2",
        "http://127.0.0.1/v2",
        "http://127.8.8.8:1/v2",
        "http://[::1]:8080/v2",
    ],
)
async def test_a_base_url_is_https_or_this_machine(base_url: str) -> None:
    """Its path is kept, with one slash before what follows."""
    for given in (base_url, f"{base_url}/"):
        record = Recorder()
        await SiteAssist(TOKEN, base_url=given, middleware=[record]).conversations.get(ID)
        assert record.requests[0].url == f"{base_url}/conversations/{ID}"


@pytest.mark.parametrize(
    ("base_url", "reason"),
    [
        ("http://api.example.com", "must be https"),
        ("http://127.0.0.1.example.com", "must be https"),
        ("http://localhost.example.com", "must be https"),
        ("http://192.168.0.1", "must be https"),
        ("http://[2001:db8::1]", "must be https"),
        ("http://0.0.0.0", "must be https"),
        ("api.example.com", "expected https://host/path"),
        ("//api.example.com", "expected https://host/path"),
        ("ftp://api.example.com", "expected https://host/path"),
        ("file:///etc/passwd", "expected https://host/path"),
        ("https://", "expected https://host/path"),
        ("https:///v2", "expected https://host/path"),
        ("https://:443", "expected https://host/path"),
        ("https://api.example.com:x", "Port could not be cast"),
        ("https://api.example.com:65536", "Port out of range"),
        ("https://[::1", "Invalid IPv6 URL"),
    ],
)
def test_a_base_url_that_cannot_work_is_refused(base_url: str, reason: str) -> None:
    """Before anything is sent, with the URL and the reason."""
    with pytest.raises(ConfigurationError, match=reason) as caught:
        SiteAssist(TOKEN, base_url=base_url)
    assert base_url in str(caught.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "https://user:hunter2@api.example.com",
        "https://hunter2@api.example.com",
        "https://@api.example.com",
        "https://user:hunter2@api.example.com:x",
        "https://api.example.com?key=hunter2",
        "https://api.example.com/v2?",
        "https://api.example.com/#hunter2",
        "https://api.example.com/v2#",
        "https://api.example.com\\@evil.example",
        "https://api.example.com /v2",
        " https://api.example.com",
        "https://api.exa\nmple.com",
        "https://api.example.com/v2\r\nX-Evil: 1",
        "https://äpi.example.com",
        "https://api.example.com/v\u200b2",
    ],
)
def test_a_base_url_is_nothing_but_a_place(base_url: str) -> None:
    """Credentials, query, fragment, white space and non-ASCII are refused, and not shown."""
    with pytest.raises(ConfigurationError, match="base_url must not contain credentials") as caught:
        SiteAssist(TOKEN, base_url=base_url)
    assert "hunter2" not in str(caught.value)


async def test_the_base_url_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument goes before it, and it before the API's own."""
    assert repr(SiteAssist(TOKEN)) == f"<SiteAssist {BASE_URL}>"
    monkeypatch.setenv("SITEASSIST_BASE_URL", "")
    assert repr(SiteAssist(TOKEN)) == f"<SiteAssist {BASE_URL}>"
    monkeypatch.setenv("SITEASSIST_BASE_URL", "https://env.example/")
    assert repr(SiteAssist(TOKEN)) == "<SiteAssist https://env.example>"
    given = SiteAssist(TOKEN, base_url="https://argument.example")
    assert repr(given) == "<SiteAssist https://argument.example>"
    monkeypatch.setenv("SITEASSIST_BASE_URL", "http://env.example")
    with pytest.raises(ConfigurationError, match="must be https"):
        SiteAssist(TOKEN)
