"""The error tree: classes by status, one safe line each, whole after a pickle or a copy."""

from __future__ import annotations

import copy
import pickle
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import PROPERTY

from siteassist_async import errors
from siteassist_async.errors import (
    DOCUMENTED,
    APIError,
    BadGatewayError,
    ClientError,
    ConfigurationError,
    DeadlineExceededError,
    InternalServerError,
    InvalidIdError,
    NotFoundError,
    OutageError,
    RateLimitError,
    ServerError,
    SiteAssistError,
    ThrottledError,
    TimedOutError,
    TokenError,
    UnexpectedStatusError,
    UnusableResponseError,
    WrongConversationError,
    error_class,
    printable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE = re.compile(r"^(?P<branch>[│├└─ ]*)(?P<name>\w+)(?: +(?P<note>.*))?$", re.MULTILINE)
LONGEST = 4_000
"""How long an error's line can get where all that is shown of it must be escaped."""

NASTY = "\x1b[2J\x1b]0;evil\x07\r\n\u202e\u2066\u2028\x85\x00\ud83d" + "a" * 100_000


def drawn() -> Iterator[tuple[str, str, str]]:
    """The tree as the module's docstring draws it: name, parent, note."""
    above: list[str] = []
    assert errors.__doc__ is not None
    _, tree = errors.__doc__.split("\n\n", 1)
    for line in LINE.finditer(tree):
        depth = len(line["branch"]) // 4
        above[depth:] = [line["name"]]
        yield line["name"], above[depth - 1] if depth else "Exception", line["note"] or ""


def classes(root: type[SiteAssistError] = SiteAssistError) -> list[type[SiteAssistError]]:
    """The tree as it is in the module, a class before its children."""
    here = [root] if root.__module__ == errors.__name__ else []
    return here + [cls for child in root.__subclasses__() for cls in classes(child)]


def full(cls: type[SiteAssistError], text: str = "Later.", attempts: int = 3) -> SiteAssistError:
    """An error with all that one of its class can have."""
    error: SiteAssistError
    if issubclass(cls, APIError):
        error = cls(
            text,
            status=cls.status or 418,
            code=text,
            details=errors.RetryDetails(1.5),
            raw_details={"retryAfter": "1.5", "new": [text]},
            retry_after=1.5,
            headers={"x-request-id": text, "retry-after": "1"},
        )
    elif issubclass(cls, UnusableResponseError):
        error = cls(text, path="messages[3].createdAt", excerpt=text[:200])
    elif issubclass(cls, ThrottledError):
        error = cls(text, reason="gate", wait=1.5)
    elif issubclass(cls, OutageError):
        error = cls(InternalServerError(text), 1.5)
    else:
        error = cls(text)
    error.attempts, error.elapsed = attempts, 12.5
    return error


def bare(cls: type[SiteAssistError]) -> SiteAssistError:
    """An error with as little as one of its class can have."""
    return cls(SiteAssistError(), 0.0) if issubclass(cls, OutageError) else cls()


each_class = pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.__name__)


def test_the_tree_is_as_drawn() -> None:
    """The module's docstring draws every class below its parent, in the order of the code."""
    assert {name: parent for name, parent, _ in drawn()} == {
        cls.__name__: cls.__bases__[0].__name__ for cls in classes()
    }
    assert [name for name, _, _ in drawn()] == [cls.__name__ for cls in classes()]


@pytest.mark.parametrize(("name", "note"), [(name, note) for name, _, note in drawn()])
def test_the_notes_beside_the_tree_are_true(name: str, note: str) -> None:
    """The status of each documented class, and the builtin that a class is as well."""
    cls = getattr(errors, name)
    if note.isdigit():
        assert cls.status == int(note)
        assert DOCUMENTED[int(note)] is cls
    builtin = re.search(r"\(a (\w+)\)", note)
    others = [base.__name__ for base in cls.__bases__ if not issubclass(base, SiteAssistError)]
    assert others == ([builtin[1]] if builtin else ["Exception"] if cls is SiteAssistError else [])


def test_an_except_clause_of_a_builtin_catches_ours() -> None:
    """Timeouts as TimeoutError, bad arguments as ValueError."""
    assert issubclass(TimedOutError, TimeoutError)
    assert issubclass(DeadlineExceededError, TimeoutError)
    assert issubclass(InvalidIdError, ValueError)
    assert issubclass(ConfigurationError, ValueError)


@pytest.mark.parametrize("status", [*range(100, 600), -1, 0, 1, 99, 600, 999, 10**9])
def test_the_status_decides_the_class(status: int) -> None:
    """A documented one has its own, another one its family's."""
    families = {4: ClientError, 5: ServerError}
    expected = DOCUMENTED.get(status, families.get(status // 100, UnexpectedStatusError))
    assert error_class(status) is expected
    assert error_class(status)("", status=status).status == status


@each_class
@pytest.mark.parametrize("way", ["copy", "deepcopy", *range(pickle.HIGHEST_PROTOCOL + 1)])
def test_an_error_is_whole_after_a_pickle_or_a_copy(
    cls: type[SiteAssistError], way: str | int
) -> None:
    """It can come from another process, its attributes, its line and its notes with it."""
    for error in (full(cls), bare(cls)):
        error.add_note("while exporting")
        other = _copied(error, way)
        assert type(other) is cls
        assert str(other) == str(error)
        assert repr(other) == repr(error)
        if isinstance(error, OutageError):  # the error within is another one, and looks the same
            assert repr((other.args, vars(other))) == repr((error.args, vars(error)))
        else:
            assert other.args == error.args
            assert vars(other) == vars(error)


def _copied(error: SiteAssistError, way: str | int) -> SiteAssistError:
    if isinstance(way, int):
        copied = pickle.loads(pickle.dumps(error, way))
    else:
        copied = getattr(copy, way)(error)
    assert isinstance(copied, SiteAssistError)
    return copied


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (SiteAssistError(), "SiteAssistError"),
        (SiteAssistError("No."), "No."),
        (InvalidIdError("not an id"), "not an id"),
        (NotFoundError("Not here.", code="GONE"), "404 GONE: Not here."),
        (NotFoundError("Not here."), "404: Not here."),
        (NotFoundError("Not here.", code="A" * 99), f"404 {'A' * 59}…: Not here."),
        (NotFoundError(), "404"),
        (BadGatewayError(code="BAD"), "502 BAD"),
        (ClientError("Teapot.", status=418), "418: Teapot."),
        (RateLimitError("Later.", retry_after=60), "429: Later. (retry after 60 s)"),
        (RateLimitError("Later.", retry_after=0.25), "429: Later. (retry after 0.25 s)"),
        (RateLimitError("Later.", retry_after=0.0), "429: Later. (retry after 0 s)"),
        (UnusableResponseError("it is empty"), "unusable response: it is empty"),
        (
            UnusableResponseError("missing", path="id", excerpt="{'a':\n\x1b"),
            r"""unusable response at id: missing (body starts with "{'a':\n\x1b")""",
        ),
        (WrongConversationError("a, not b"), "unusable response: a, not b"),
        (full(TokenError), "Later. (3 attempts in 12.50 s)"),
        (full(TokenError, attempts=1), "Later. (1 attempt in 12.50 s)"),
        (
            full(RateLimitError),
            "429 Later.: Later. (3 attempts in 12.50 s; retry after 1.5 s; request id Later.)",
        ),
    ],
    ids=str,
)
def test_an_errors_line(error: SiteAssistError, line: str) -> None:
    """One line that a person understands: what, how often, how long, and what to quote."""
    assert str(error) == line
    assert repr(error) == f"{type(error).__name__}({line!r})"


@each_class
@pytest.mark.parametrize("text", [NASTY, NASTY[::-1], "\ud800" * 300, "\U000e0041" * 10**6])
def test_no_text_from_outside_gets_through(cls: type[SiteAssistError], text: str) -> None:
    """No escape of a terminal, no change of direction, no second line, no lone surrogate."""
    error = full(cls, text)
    for shown in (str(error), repr(error)):
        assert shown.isprintable()
        assert shown.encode().decode() == shown
        assert len(shown) <= LONGEST


@PROPERTY
@given(st.sampled_from(classes()), st.text(st.characters()), st.floats(0, 1e300), st.integers(0))
def test_every_errors_line_is_printable(
    cls: type[SiteAssistError], text: str, seconds: float, attempts: int
) -> None:
    """Whatever came."""
    error = full(cls, text)
    error.attempts, error.elapsed = attempts, seconds
    assert str(error).isprintable()
    assert repr(error).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("Größe 10 €, 🎨", "Größe 10 €, 🎨"),
        ("a\tb\r\nc", r"a\tb\r\nc"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\u202eabc\u2069", r"\u202eabc\u2069"),
        ("\x85\u2028\xa0", r"\x85\u2028\xa0"),
        ("\ud83d", r"\ud83d"),
        ("a" * 200, "a" * 200),
        ("a" * 201, "a" * 199 + "…"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    """What a terminal would act on is escaped, and what is long is cut."""
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [
        (None, None),
        ({}, None),
        ({"x-request-id": "a", "request-id": "b"}, "a"),
        ({"x-request-id": "", "request-id": "b"}, "b"),
        ({"request-id": "b"}, "b"),
    ],
)
def test_the_request_id_is_one_of_two_headers(
    headers: dict[str, str] | None, request_id: str | None
) -> None:
    """No such header is documented; either is read if it comes."""
    error = NotFoundError("Not here.", headers=headers)
    assert error.request_id == request_id
    assert error.headers == (headers or {})
    assert error.headers is not headers


def test_what_an_error_was_not_given_has_its_default() -> None:
    """A user may make one in a test."""
    error = NotFoundError()
    assert vars(error) == {
        **dict.fromkeys(("code", "details", "raw_details", "retry_after", "request_id")),
        "message": "",
        "headers": {},
    }
    assert (error.status, error.attempts, error.elapsed) == (404, 0, 0.0)


def test_whether_another_time_may_succeed() -> None:
    """Not if the API says that it fails for this ID or plan, and not with invalid arguments."""
    lasting = [
        NotFoundError(code="CONVERSATION_NOT_FOUND"),
        errors.PaymentRequiredError(),
        InvalidIdError(),
        ConfigurationError(),
    ]
    assert not any(error.retryable for error in lasting)
    assert all(error.retryable for error in [NotFoundError(), ServerError(), TimedOutError()])
