"""What helps while one types: completion by the shell, and suggestions."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from siteassist_async import __version__
from siteassist_async.cli import main

if TYPE_CHECKING:
    from pathlib import Path


def completions(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """What bash is offered after a line, whose last word is not complete."""
    monkeypatch.setenv("_SITEASSIST_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("siteassist ex", ["plain,export"]),
        ("siteassist export --max", ["plain,--max-rate"]),
        ("siteassist export --status o", ["plain,open"]),
        ("siteassist export --ca certific", ["file,certific"]),
        ("siteassist export id", ["file,id"]),
        ("siteassist convert log.jsonl --format sq", ["plain,sqlite"]),
        ("siteassist convert log.jsonl --format js", []),
        ("siteassist export ids.txt --format js", ["plain,jsonl"]),
        ("siteassist get --profile st", ["plain,staging"]),
        ("siteassist get --token", ["plain,--token-file", "plain,--token-env"]),
    ],
)
def test_completion(
    line: str,
    offered: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Commands, options, their values, files and profiles; a word that controls no terminal."""
    (tmp_path / "config.toml").write_text('[staging]\n["st\\u001b[2J"]\n[default]\nnonsense = 1')
    monkeypatch.setenv("SITEASSIST_CONFIG", str(tmp_path / "config.toml"))
    assert completions(line, monkeypatch, capsys) == offered


def test_completion_with_a_file_that_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is quiet: the prompt is no place for an error."""
    (tmp_path / "config.toml").write_text("wrong")
    monkeypatch.setenv("SITEASSIST_CONFIG", str(tmp_path / "config.toml"))
    assert completions("siteassist get --profile ", monkeypatch, capsys) == []
    assert completions("siteassist get --ba", monkeypatch, capsys) == ["plain,--base-url"]


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("zsh", "compdef _siteassist_completion siteassist"),
        ("fish", "complete --no-files --command siteassist"),
    ],
)
def test_scripts_of_shells(
    shell: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each has one to source."""
    monkeypatch.setenv("_SITEASSIST_COMPLETE", f"{shell}_source")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert line in capsys.readouterr().out


def test_bash(tmp_path: Path) -> None:
    """As the documentation says, in a real one."""
    command = tmp_path / "siteassist"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m siteassist_async "$@"\n')
    command.chmod(0o755)
    script = (
        'eval "$(_SITEASSIST_COMPLETE=bash_source siteassist)"\n'
        "COMP_WORDS=(siteassist verify --js) COMP_CWORD=2\n"
        '_siteassist_completion siteassist && echo "${COMPREPLY[@]}"\n'
    )
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("--json\n", "")


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["exprot"], "No such command 'exprot'. Did you mean 'export'?"),
        (["export", "--concurency", "3"], "(Did you mean one of: '--column', '--concurrency'?)"),
        (["get", "--token-fil=x"], "'--log-file', '--token-env', '--token-file'?)"),
        (["get", "--deadlin", "3"], "No such option '--deadlin'. Did you mean '--deadline'?"),
        (["--quiet", "export"], "No such option '--quiet'. Options of a command follow its name."),
    ],
)
def test_suggestions(
    arguments: list[str], suggestion: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of what is spelt alike; nothing is taken for an abbreviation."""
    assert main(arguments) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(suggestion)
    assert second.endswith(" --help")


def test_as_a_module() -> None:
    """`python -m siteassist_async` is the command."""
    program = [sys.executable, "-m", "siteassist_async", "--version"]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert done.stdout == f"siteassist {__version__}\n"
    assert subprocess.run(program[:-1], capture_output=True, check=False).returncode == 2
