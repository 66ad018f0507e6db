"""A plugin that looks for tokens in all that the package says, logs, raises and writes.

It fails a test in which one shows: in a record of any logger, in a warning, in what the test's
process or a program that it ran printed, in an error of ours with all that is chained to it. At the
end of the run it fails the run if one is in a file below the tests' temporary folders.
"""

from __future__ import annotations

import logging
import re
import subprocess
import traceback
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from siteassist_async import SiteAssistError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

TOKENS = re.compile(r"sk_test_\w+")
"""All that the tests use as tokens; a server of theirs may hold them, and nothing else.

The prefix is too long to be drawn by chance. Hypothesis, which also draws the constants of the
package, finds it nowhere there: `sk_emulator`, which opens nothing but the emulator, has it not.
"""

GIVEN_ON_PURPOSE = {"token", ".netrc"}
"""Files by which a test gives a token to the package."""


class Watch:
    """What was seen of tokens, each with the place."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.raised: deque[SiteAssistError] = deque()

    def look(self, where: str, text: object) -> None:
        """Look for a token in whatever text this has."""
        shown = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        for found in TOKENS.finditer(shown):
            around = shown[max(0, found.start() - 60) : found.end() + 20]
            self.seen.append(f"{where}: {around!r}")

    def look_at_errors(self, but: int = 0) -> None:
        """Look at the errors of ours that were made, as they are by now, but for the newest."""
        while len(self.raised) > but:
            for error in chain(self.raised.popleft()):
                self.look("traceback", "".join(traceback.format_exception(error)))
                self.look("exception", [str(error), repr(error), error.args, vars(error)])

    def look_at_files(self, folder: Path) -> None:
        """Look at every file below a folder, but for those by which a token was given."""
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.name not in GIVEN_ON_PURPOSE:
                self.look(str(path), path.read_bytes())

    def reported(self) -> str:
        """What was seen, and from now on is no more."""
        report, self.seen = "\n".join(self.seen), []
        return report


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that is behind it, once each: one that is raised again may form a ring."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


WATCH = Watch()


def _watching_calls(owner: Any, name: str, where: str) -> Callable[[], None]:  # noqa: ANN401 - any class
    """Look at what a method returns; the call that comes back ends it."""
    method = getattr(owner, name)

    def watched(self: object, *args: object, **kwargs: object) -> object:
        result = method(self, *args, **kwargs)
        WATCH.look(where, result)
        return result

    setattr(owner, name, watched)
    return lambda: setattr(owner, name, method)


def _watching_records() -> Callable[[], None]:
    make = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: ANN401 - as given
        record = make(*args, **kwargs)
        WATCH.look("log", [record.getMessage(), record.args])
        for error in chain(record.exc_info[1] if record.exc_info else None):
            WATCH.look("log", "".join(traceback.format_exception(error)))
        return record

    logging.setLogRecordFactory(factory)
    return lambda: logging.setLogRecordFactory(make)


def _watching_errors() -> Callable[[], None]:
    def remember(self: SiteAssistError, *args: object) -> None:
        Exception.__init__(self, *args)
        WATCH.raised.append(self)
        WATCH.look_at_errors(but=100)  # a property test makes thousands

    SiteAssistError.__init__ = remember  # type: ignore[method-assign,assignment]
    return lambda: delattr(SiteAssistError, "__init__")


@pytest.fixture(scope="session", autouse=True)
def _watching() -> Generator[None]:
    ends = [
        _watching_calls(pytest.CaptureFixture, "readouterr", "captured output"),
        _watching_calls(subprocess.Popen, "communicate", "a program's output"),
        _watching_records(),
        _watching_errors(),
    ]
    yield
    for end in ends:
        end()


@pytest.fixture(autouse=True)
def _no_token_shows(_watching: None) -> Generator[None]:
    yield
    WATCH.look_at_errors()
    assert not (report := WATCH.reported()), f"a token shows:\n{report}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look at what the test printed; a failed one is read by a person anyway."""
    report = yield
    if report.passed:
        WATCH.look(f"output of {report.nodeid}", [report.capstdout, report.capstderr])
    return report


def pytest_warning_recorded(warning_message: object) -> None:
    """Look at a warning."""
    WATCH.look("warning", warning_message)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look at what the tests left in their temporary folders, those of all workers at once."""
    if hasattr(session.config, "workerinput"):
        return
    factory = getattr(session.config, "_tmp_path_factory", None)
    if factory is not None:
        WATCH.look_at_files(factory.getbasetemp())
    if report := WATCH.reported():
        print(f"\na token shows:\n{report}")  # noqa: T201 - there is no test to fail any more
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
