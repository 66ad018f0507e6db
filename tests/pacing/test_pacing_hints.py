"""The rate limit headers: many notations, one hint."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siteassist_async.pacing import RateLimitHint

EPOCH = 1_750_000_000.0


def hint(
    remaining: float | None = None,
    reset: float | None = None,
    quota: float | None = None,
    window: float | None = None,
) -> RateLimitHint:
    """What is expected."""
    return RateLimitHint(remaining, reset, quota, window)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"ratelimit": '"minute";r=50;t=30'}, hint(50, 30)),
        ({"ratelimit": "default;r=50;t=30"}, hint(50, 30)),
        ({"ratelimit": "limit=100, remaining=50, reset=30"}, hint(50, 30, 100)),
        ({"ratelimit": "Limit=100, Remaining = 50"}, hint(50, None, 100)),
        ({"ratelimit": '"a";r=50;t=30, "b";r=2;t=9'}, hint(2, 9)),
        ({"ratelimit": '"a,r=1";r=50;t=30'}, hint(50, 30)),
        ({"ratelimit": '"a";r=0'}, hint(0)),
        (
            {"ratelimit": '"a";r=5;t=3', "ratelimit-policy": '"a";q=100;w=60'},
            hint(5, 3, 100, 60),
        ),
        (
            {"ratelimit": '"a";r=5', "ratelimit-policy": '"h";q=900;w=3600, "a";q=100;w=60'},
            hint(5, None, 100, 60),
        ),
        ({"ratelimit": "r=5", "ratelimit-policy": "100;w=60"}, hint(5, None, None, 60)),
        (
            {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "7", "x-ratelimit-reset": "30"},
            hint(7, 30, 100),
        ),
        ({"ratelimit-limit": "100", "ratelimit-remaining": " 7 "}, hint(7, None, 100)),
        ({"x-ratelimit-remaining": "7", "ratelimit-remaining": "1"}, hint(7)),
        ({"x-ratelimit-remaining": "7", "x-ratelimit-reset": "soon"}, hint(7)),
        ({"ratelimit": "r=3", "x-ratelimit-remaining": "7"}, hint(3)),
        ({"ratelimit": "nothing", "x-ratelimit-remaining": "7"}, hint(7)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0.25"}, hint(0, 0.25)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{EPOCH + 9:.0f}"}, hint(0, 9)),
        (
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{EPOCH * 1000 + 9500:.0f}"},
            hint(0, 9.5),
        ),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{EPOCH - 9:.0f}"}, hint(0, 0)),
    ],
)
def test_each_notation_is_read(headers: dict[str, str], expected: RateLimitHint) -> None:
    """Structured, listed and separate headers say the same; a date becomes seconds from now."""
    assert RateLimitHint.from_headers(headers, epoch=EPOCH) == expected


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ratelimit": ""},
        {"ratelimit": "garbage"},
        {"ratelimit": '"a";t=30'},
        {"ratelimit": '"a";q=100'},
        {"ratelimit": "r=-1"},
        {"ratelimit": "r=1e9"},
        {"ratelimit": "r=nan"},
        {"ratelimit": "r=" + "9" * 400},
        {"ratelimit": "r=٣"},
        {"ratelimit": '"r=5'[1:].replace("=", "")},
        {"ratelimit-policy": '"a";q=100;w=60'},
        {"x-ratelimit-limit": "100", "x-ratelimit-reset": "30"},
        {"x-ratelimit-remaining": ""},
        {"x-ratelimit-remaining": "-5"},
        {"x-ratelimit-remaining": "inf"},
        {"x-ratelimit-remaining": "7, 8"},
        {"x-ratelimit-remaining": "9" * 400},
    ],
)
def test_where_nothing_is_said_of_what_remains_there_is_no_hint(headers: dict[str, str]) -> None:
    """A guess from a broken header would be worse than none."""
    assert RateLimitHint.from_headers(headers, epoch=EPOCH) is None


NAMES = st.sampled_from(
    ["ratelimit", "ratelimit-policy"]
    + [f"{x}ratelimit-{part}" for x in ("", "x-") for part in ("limit", "remaining", "reset")]
)
NUMBERS = st.floats().map(str) | st.integers().map(str) | st.text("0123456789.", max_size=30)
PARAMETERS = st.builds(
    "{}={}".format, st.sampled_from(["r", "t", "q", "w", "limit", "remaining", "reset"]), NUMBERS
)
VALUES = (
    st.text(max_size=40)
    | NUMBERS
    | st.lists(PARAMETERS | st.just('"a"'), max_size=6).map(";".join)
    | st.lists(PARAMETERS, max_size=6).map(", ".join)
)


@given(st.dictionaries(NAMES, VALUES), st.floats(0, 1e11))
def test_no_header_can_do_harm(headers: dict[str, str], epoch: float) -> None:
    """Whatever is sent, nothing is raised, and each number is finite and not below zero."""
    found = RateLimitHint.from_headers(headers, epoch=epoch)
    if found is None:
        return
    assert found.remaining is not None
    for number in (found.remaining, found.reset, found.quota, found.window):
        assert number is None or (math.isfinite(number) and number >= 0)
