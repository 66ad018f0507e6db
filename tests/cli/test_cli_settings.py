"""Settings: what an option, the environment and a profile say, and which of them counts."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING
from unittest.mock import Mock

import click
import pytest

from siteassist_async.cli import main
from siteassist_async.cli.commands import Options, parse
from siteassist_async.cli.connection import connection
from siteassist_async.cli.settings import config_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ID = "123e4567-e89b-12d3-a456-426614174000"
TOKEN = "sk_test_cli_settings"


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes the file of profiles, of somebody whose environment is otherwise empty."""
    for name in ("TOKEN", "BASE_URL", "PROFILE", "MAX_RATE"):
        monkeypatch.delenv(f"SITEASSIST_{name}", raising=False)
    monkeypatch.setenv("SITEASSIST_CONFIG", str(tmp_path / "config.toml"))

    def write(text: str) -> None:
        (tmp_path / "config.toml").write_text(text)

    write("")
    return write


def export(*arguments: str) -> Options:
    """The options of an export."""
    return parse(["export", "ids.txt", "-o", "out.jsonl", *arguments])


def get(*arguments: str) -> Options:
    """The options of a command that has fewer settings."""
    return parse(["get", ID, *arguments])


PROFILES = """
[default]
max_rate = 1
concurrency = 5

[staging]
base_url = "https://staging.example/v2"
token_env = "STAGING_TOKEN"
max_rate = 2.5
wait = "2m"
deadline = 5
"""


def test_an_option_counts_most(
    config: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the environment, then the profile, then the default."""
    config(PROFILES)
    assert (export().max_rate, export().concurrency, export().wait) == (1.0, 5, 300.0)
    monkeypatch.setenv("SITEASSIST_MAX_RATE", "3")
    assert (export().max_rate, export("--max-rate", "4").max_rate) == (3.0, 4.0)
    monkeypatch.setenv("SITEASSIST_MAX_RATE", "")
    assert export().max_rate == 1.0


def test_a_profile_that_is_named(
    config: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the environment it only replaces the default one; as an option it counts more than it."""
    config(PROFILES)
    monkeypatch.setenv("SITEASSIST_TOKEN", TOKEN)
    monkeypatch.setenv("SITEASSIST_MAX_RATE", "3")
    assert export().token_place == ("token_env", "SITEASSIST_TOKEN")
    monkeypatch.setenv("SITEASSIST_PROFILE", "staging")
    options = export()
    assert (options.profile, options.wait, options.concurrency) == ("staging", 120.0, 32)
    assert (options.max_rate, options.token_place) == (3.0, ("token_env", "SITEASSIST_TOKEN"))
    options = export("--profile", "staging")
    assert (options.max_rate, options.token_place) == (2.5, ("token_env", "STAGING_TOKEN"))
    assert export("--profile", "default").token_place == ("token_env", "SITEASSIST_TOKEN")
    assert get("--profile", "staging").deadline == 5.0  # and nothing of those that it has not


def test_no_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file, or a default profile in it, there are the defaults."""
    assert (export().profile, export().max_rate, export().token_place) == (None, None, None)
    monkeypatch.delenv("SITEASSIST_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    assert export().profile is None


def test_a_file_that_was_named_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise its settings would be missing, and nobody would know."""
    monkeypatch.setenv("SITEASSIST_CONFIG", "none.toml")
    assert main(["list"]) == 2
    assert "SITEASSIST_CONFIG: there is no none.toml" in capsys.readouterr().err


def test_files_are_beside_the_profiles(
    config: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If their names say no more; `~` is the user's folder."""
    monkeypatch.setenv("HOME", "/home/me")
    config('[default]\ntoken_file = "token"\nca = "~/ca.pem"\nlog_file = "/var/log/s"')
    options = get()
    assert options.token_place == ("token_file", str(tmp_path / "token"))
    assert (options.ca, options.log_file) == ("/home/me/ca.pem", "/var/log/s")
    config('[default]\ntoken_file = "-"')
    assert get().token_place == ("token_file", "-")


def test_the_place_of_a_token_replaces_another(
    config: Callable[[str], None], tmp_path: Path
) -> None:
    """An option replaces what the profile says, of another kind too."""
    config('[default]\nkeyring = "me"')
    assert get().token_place == ("keyring", "me")
    assert get("--token-file", "token").token_place == ("token_file", "token")
    assert get("--token-env", "MINE").token_place == ("token_env", "MINE")
    with pytest.raises(click.UsageError, match="'--token-env' and '--keyring': name one"):
        get("--token-env", "MINE", "--keyring", "me")
    config('[default]\nkeyring = "me"\ntoken_file = "token"')
    with pytest.raises(click.UsageError, match=r"token_file in the profile default .* and keyring"):
        get()
    assert tmp_path


@pytest.mark.parametrize(
    ("text", "arguments", "reason"),
    [
        ("", ["--profile", "x"], "has no profile 'x'; it has: none"),
        (PROFILES, ["--profile", "prod"], "has no profile 'prod'; it has: default, staging"),
        ("[default", [], "Expected ']' at the end of a table"),
        ("\udcff", [], "utf-8"),
        ("max_rate = 5\ndefault = 3", [], "default: expected a table of settings"),
        ("[default]\nmaxrate = 5", [], "default.maxrate: unknown; known are: log_file, token_"),
        (
            '[default]\ntoken = "secret_in_the_clear"',
            [],
            "token: unknown; a token is named by one of: token",
        ),
        ('[default]\nproxy = "http://me:p4ssword@proxy"', [], "set SITEASSIST_PROXY to the whole"),
        ("[default]\nmax_rate = 0", [], "max_rate in the profile default of "),
        ("[default]\nca = ''", [], "config.toml: expected a name"),
        ("[default]\nconcurrency = 2.5", [], "'2.5' is not a valid whole number"),
        ("[default]\nconcurrency = true", [], "'True' is not a valid whole number"),
        ("[default]\nca = ['x']", [], "default.ca: expected a text or a number"),
        ('[default]\nca = "\\u001b[2J"', [], "default.ca: expected a text or a number"),
        ('[default]\n"\\u001b[2J" = 1', [], r"default.\x1b[2J: unknown"),
    ],
)
def test_a_wrong_profile_is_one_line(
    text: str,
    arguments: list[str],
    reason: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the file and the key, and no secret."""
    (tmp_path / "config.toml").write_bytes(text.encode(errors="surrogateescape"))
    assert main(["export", "ids.txt", "-o", "out.jsonl", *arguments]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "config.toml") in first or "SITEASSIST_PROXY" in first
    assert reason in first
    assert second == "see siteassist export --help"
    assert "secret_in_the_clear" not in first
    assert "p4ssword" not in first


def test_a_file_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Is named with the system's reason."""
    (tmp_path / "config.toml").unlink()
    (tmp_path / "config.toml").mkdir()
    assert main(["get", ID]) == 2
    assert f"{tmp_path / 'config.toml'}: Is a directory" in capsys.readouterr().err


def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not an option that nobody gave."""
    monkeypatch.setenv("SITEASSIST_CONCURRENCY", "many")
    assert main(["export", "ids.txt", "-o", "out.jsonl"]) == 2
    said = capsys.readouterr().err
    assert "Invalid value for $SITEASSIST_CONCURRENCY: 'many' is not" in said
    assert main(["export", "ids.txt", "-o", "out.jsonl", "--concurrency", "0"]) == 2
    assert "Invalid value for '--concurrency': 0 is not" in capsys.readouterr().err


def test_a_command_without_settings_reads_no_profile(
    config: Callable[[str], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong with a file that it does not need is nothing to it."""
    config("wrong")
    assert main(["verify", str(tmp_path / "out.jsonl")]) == 2
    assert "config.toml" not in capsys.readouterr().err


def test_where_the_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system keeps such files."""
    monkeypatch.delenv("SITEASSIST_CONFIG")
    monkeypatch.setattr(click.utils, "WIN", False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/me/.config")
    assert config_file() == "/home/me/.config/siteassist/config.toml"
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setenv("HOME", "/Users/me")
    assert config_file() == "/Users/me/Library/Application Support/siteassist/config.toml"


class KeyringError(Exception):
    """As the library's."""


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """The library keyring, with entries that a test gives it."""
    fake = Mock(ModuleType, errors=SimpleNamespace(KeyringError=KeyringError))
    fake.get_password = Mock(return_value=f"{TOKEN}\n")
    monkeypatch.setitem(sys.modules, "keyring", fake)
    return fake


def test_a_token_of_the_keyring(keyring: Mock, config: Callable[[str], None]) -> None:
    """From the service `siteassist`."""
    config('[default]\nkeyring = "me"')
    assert connection(get()).token == TOKEN
    keyring.get_password.assert_called_once_with("siteassist", "me")


def test_a_keyring_without_the_token(keyring: Mock, capsys: pytest.CaptureFixture[str]) -> None:
    """How to store it, or what the keyring says, or how to install the library."""
    keyring.get_password.return_value = None
    assert main(["get", ID, "--keyring", "me"]) == 2
    assert "has no token; store it with: keyring set siteassist me" in capsys.readouterr().err
    keyring.get_password.side_effect = KeyringError("locked\x1b[2J")
    assert main(["get", ID, "--keyring", "me"]) == 2
    assert capsys.readouterr().err == "siteassist: --keyring me: locked\\x1b[2J\n"


def test_no_keyring(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """How to install it."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert main(["get", ID, "--keyring", "me"]) == 2
    assert "pip install keyring" in capsys.readouterr().err


def test_a_variable_that_is_not_set(
    config: Callable[[str], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is prompted who named where the token is; the profile is named that does."""
    config('[default]\ntoken_env = "MYTOK"')
    assert main(["get", ID]) == 2
    assert capsys.readouterr().err == (
        f"siteassist: token_env in the profile default of {tmp_path / 'config.toml'}: the variable "
        "MYTOK is not set\n"
    )
    assert main(["get", ID, "--token-env", "MINE"]) == 2
    assert capsys.readouterr().err == "siteassist: --token-env: the variable MINE is not set\n"
