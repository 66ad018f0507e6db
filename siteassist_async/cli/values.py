"""The values of options."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from math import isfinite

import click
from click.core import ParameterSource

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Whole(click.IntRange):
    """A whole number in a range."""

    name = "whole number"


class Number(click.FloatRange):
    """A finite number in a range."""

    name = "number"

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Refuse infinity and NaN too."""
        number = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


class File(click.Path):
    """The name of a file, which shells complete; whoever opens it says what is wrong with it."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str:
        """Refuse the empty name alone."""
        if not value:
            self.fail("expected a name, not an empty text.", param, ctx)
        return os.fspath(value)


class Proxy(click.ParamType[str]):
    """The URL of a proxy, or the word env."""

    name = "proxy"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse a password that others could read, and what is no URL."""
        if ctx and param and ctx.get_parameter_source(param.name) is ParameterSource.ENVIRONMENT:
            return value  # the client says what is wrong with it, and leaves out the password
        if "@" in value:
            raise click.BadParameter(
                "a user name and a password would be exposed here, in the process list and the "
                "shell's history, or in a file: set SITEASSIST_PROXY to the whole URL."
            )
        if value != "env" and not value.startswith(("http://", "https://")):
            raise click.BadParameter(
                f"expected http://host:port, https://host:port or env, not {value!r}."
            )
        return value


def duration(text: str) -> float:
    """Accept seconds, or a number followed by s, m, h or d."""
    unit = _UNITS.get(text[-1:], 0.0)
    try:
        value = float(text[:-1] if unit else text) * (unit or 1.0)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise click.BadParameter(f"expected a duration such as 90, 90s, 5m or 2h, not {text!r}.")
    return value


def moment(text: str) -> datetime:
    """Accept a date or time in ISO 8601; in UTC unless it says otherwise."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"expected a date or time such as 2026-01-31 or 2026-01-31T12:00:00Z, not {text!r}."
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def not_empty(text: str) -> str:
    """Accept any text that is not empty."""
    if not text:
        raise click.BadParameter("expected a value, not an empty text.")
    return text


def emulator_token(text: str) -> str:
    """Accept a token that fits into a header."""
    if not text or not all("!" <= character <= "~" for character in text):
        raise click.BadParameter("expected printable ASCII characters without spaces.")
    return text
