"""Which proxy a command uses, and that its password shows nowhere."""

from __future__ import annotations

import pytest
from command import siteassist

from siteassist_async.cli import main
from siteassist_async.cli.commands import parse
from siteassist_async.cli.connection import connection
from siteassist_async.cli.redaction import redact

GET = ("get", "123e4567-e89b-12d3-a456-426614174000")
NAMES = ("SITEASSIST_PROXY", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "NO_PROXY", "no_proxy")


@pytest.mark.parametrize(
    ("arguments", "environ", "proxy"),
    [
        ([], {}, None),
        ([], {"HTTPS_PROXY": "http://a:1"}, None),
        ([], {"SITEASSIST_PROXY": "http://a:1"}, "http://a:1"),
        ([], {"SITEASSIST_PROXY": ""}, None),
        (["--proxy", "https://b"], {"SITEASSIST_PROXY": "http://a:1"}, "https://b"),
        (["--proxy", "env"], {"SITEASSIST_PROXY": "http://a:1"}, None),
        (["--proxy", "env"], {"HTTPS_PROXY": "http://a:1"}, "http://a:1"),
        (["--proxy", "env"], {"https_proxy": "a:1"}, "http://a:1"),
        (["--proxy", "env"], {"HTTP_PROXY": "http://a:1"}, None),
        (["--proxy", "env"], {"HTTPS_PROXY": "http://a:1", "NO_PROXY": "example,x"}, None),
        (["--proxy", "env"], {"HTTPS_PROXY": "http://a:1", "NO_PROXY": "*"}, None),
        (["--proxy", "env"], {"HTTPS_PROXY": "http://a:1", "NO_PROXY": "y"}, "http://a:1"),
    ],
)
def test_a_proxy_is_used_where_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environ: dict[str, str],
    proxy: str | None,
) -> None:
    """The variables that other programs share count with `--proxy env` alone."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in {"SITEASSIST_TOKEN": "sk_test_proxy", **environ}.items():
        monkeypatch.setenv(name, value)
    options = parse([*GET, *arguments, "--base-url", "https://api.example/v2"])
    found = connection(options)
    assert found.proxy == proxy


def test_the_password_of_a_proxy_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as it is in the URL nor as it is sent."""
    monkeypatch.setenv("SITEASSIST_TOKEN", "sk_test_proxy")
    monkeypatch.setenv("SITEASSIST_PROXY", "http://me:p%40ssword@proxy:1")
    found = connection(parse(GET))
    assert "ssword" not in repr(found)
    assert "ssword" not in redact("me:p%40ssword, p@ssword, p%40ssword")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("http://me:p4ssword@proxy:1", "set SITEASSIST_PROXY to the whole URL"),
        ("proxy:1", "expected http://host:port, https://host:port or env, not 'proxy:1'"),
        ("socks5://proxy:1", "expected http://host:port"),
    ],
)
def test_what_cannot_be_a_proxy_here_is_refused(
    capsys: pytest.CaptureFixture[str], given: str, message: str
) -> None:
    """A password among the arguments too, which is not repeated."""
    code = main([*GET, "--proxy", given])
    shown = capsys.readouterr().err
    assert (code, message in shown, "p4ssword" in shown) == (2, True, False)


def test_a_proxy_that_is_not_there_is_named_alone() -> None:
    """On the terminal, by a whole command."""
    environ = {
        "SITEASSIST_TOKEN": "sk_test_proxy",
        "SITEASSIST_PROXY": "http://me:p4ssword@127.0.0.1:1",
    }
    with siteassist(*GET, "--deadline", "1", environ=environ) as command:
        out, err = command.communicate()
    assert "127.0.0.1:1: Connection refused" in err
    assert "p4ssword" not in out + err
