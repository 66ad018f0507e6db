"""Settings: options that may also come from the environment, or from a profile in a file."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import click
from click.core import ParameterSource

from siteassist_async.cli.values import File

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TOKEN_PLACES = ("token_file", "token_env", "keyring")

_DEFAULT = "default"


class Option(click.Option):
    """An option by its names and metavar, such as "-o --output FILE"; without metavar, a flag."""

    def __init__(
        self,
        declared: str,
        text: str,
        type: click.ParamType[Any] | Callable[[str], Any] | None = None,  # noqa: A002 - click's
        **more: Any,  # noqa: ANN401 - click's
    ) -> None:
        names = declared.split()
        metavar = None if names[-1].startswith("-") else names.pop()
        is_flag = True if type is None and metavar is None and "count" not in more else None
        super().__init__(
            names,
            help=text,
            metavar=metavar,
            type=type,
            is_flag=is_flag,
            show_default="count" not in more,
            **more,
        )


class Setting(Option):
    """An option that may also come from the environment, or from the profile.

    Its own value counts before that of the environment, and that before the profile's. But a
    profile that the command line names counts before the environment: a token that is exported
    there may be of another project.
    """

    def __init__(self, *declared: Any, **more: Any) -> None:  # noqa: ANN401 - as `Option`
        super().__init__(*declared, **more)
        self.envvar = f"SITEASSIST_{self.name.upper()}"
        self.show_envvar = True

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Pass over the environment where the profile that the command line names has a value."""
        named = ctx.get_parameter_source("profile") is ParameterSource.COMMANDLINE
        if named and self.name in (ctx.default_map or {}):
            return None
        return super().resolve_envvar_value(ctx)

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Say where a wrong value is."""
        source = ctx and ctx.get_parameter_source(self.name)
        if ctx and source is ParameterSource.DEFAULT_MAP:
            return f"{self.name} in the profile {ctx.params['profile']} of {config_file()}"
        if source is ParameterSource.ENVIRONMENT:
            return f"${self.envvar}"
        return f"'{self.opts[0]}'"


class TokenEnv(Setting):
    """The variable with the token; in the environment that is `SITEASSIST_TOKEN`, if it is set."""

    def __init__(self, *declared: Any, **more: Any) -> None:  # noqa: ANN401 - as `Option`
        super().__init__(*declared, **more)
        self.envvar, self.show_envvar = "SITEASSIST_TOKEN", False

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the name of the variable, so that no option's value is a token."""
        return "SITEASSIST_TOKEN" if (super().resolve_envvar_value(ctx) or "").strip() else None


def token_place(ctx: click.Context) -> tuple[str, str] | None:
    """Return where the token is: one of `TOKEN_PLACES`, and its value.

    Raises:
        UsageError: The command line or the profile names two.
    """
    found = [p for p in ctx.command.params if p.name in TOKEN_PLACES and ctx.params[p.name]]
    if not found:
        return None
    sources = [cast("ParameterSource", ctx.get_parameter_source(p.name)) for p in found]
    if sources.count(min(sources)) > 1:
        places = " and ".join(place.get_error_hint(ctx) for place in found)
        raise click.UsageError(f"{places}: name one place of the token", ctx)
    name = found[sources.index(min(sources))].name
    return name, ctx.params[name]


def token_source(ctx: click.Context) -> str | None:
    """Return the profile that says where the token is, for errors; None if it is not one."""
    name, _ = token_place(ctx) or ("", "")
    if name and ctx.get_parameter_source(name) is ParameterSource.DEFAULT_MAP:
        return f"in the profile {ctx.params['profile']} of {config_file()}"
    return None


def config_file() -> str:
    """Return the path of the file of profiles."""
    folder = click.get_app_dir("siteassist")
    return os.environ.get("SITEASSIST_CONFIG") or os.path.join(folder, "config.toml")  # noqa: PTH118 - pathlib takes time


def use_profile(ctx: click.Context, _: click.Parameter, named: str | None) -> str | None:
    """Make the profile's values the defaults; returns its name, or None if there is none.

    Raises:
        UsageError: The file cannot be read, has no such profile, or one with an unknown key.
    """
    if ctx.resilient_parsing:
        return named
    profiles = _profiles()
    if named is None and _DEFAULT not in profiles:
        return None
    name = named or _DEFAULT
    if name not in profiles:
        there = ", ".join(profiles) or "none"
        raise click.UsageError(f"{config_file()} has no profile {name!r}; it has: {there}", ctx)
    ctx.default_map = dict(_defaults(profiles[name], f"{config_file()}: {name}", ctx))
    return name


def _profiles() -> Mapping[str, Any]:
    import tomllib  # noqa: PLC0415 - `--help` needs none

    try:
        with open(config_file(), "rb") as file:  # noqa: PTH123 - as above
            return tomllib.load(file)
    except FileNotFoundError:
        if not os.environ.get("SITEASSIST_CONFIG"):
            return {}
        raise click.UsageError(f"SITEASSIST_CONFIG: there is no {config_file()}") from None
    except (OSError, ValueError) as error:  # of what is no TOML, or no UTF-8
        reason = error.strerror if isinstance(error, OSError) else error
        raise click.UsageError(f"{config_file()}: {reason}") from error


def _defaults(profile: object, where: str, ctx: click.Context) -> Iterator[tuple[str, str | None]]:
    """Yield the values of a profile as the command line would have them."""
    known = settings(ctx)
    if not isinstance(profile, dict):
        raise click.UsageError(
            f"{where}: expected a table of settings, as [{_DEFAULT}] begins", ctx
        )
    if not profile.keys().isdisjoint(TOKEN_PLACES):
        yield from dict.fromkeys(TOKEN_PLACES).items()
    for key, value in cast("dict[str, object]", profile).items():
        if key not in known:
            advice = "; a token is named by one of: token_file, token_env, keyring"
            raise click.UsageError(
                f"{where}.{key}: unknown{advice if key == 'token' else ''}; known are: "
                f"{', '.join(known)}",
                ctx,
            )
        text = str(value)
        if not isinstance(value, str | int | float) or not text.isprintable():
            raise click.UsageError(f"{where}.{key}: expected a text or a number", ctx)
        if isinstance(known[key].type, File) and text not in {"", "-"}:
            folder = os.path.dirname(config_file())  # noqa: PTH120 - as above
            text = os.path.join(folder, os.path.expanduser(text))  # noqa: PTH111, PTH118 - as above
        yield key, text


def settings(ctx: click.Context) -> dict[str, Setting]:
    """Return the settings of all commands by their names."""
    root = cast("click.Group", ctx.find_root().command)
    options = [param for command in root.commands.values() for param in command.params]
    return {option.name: option for option in options if isinstance(option, Setting)}


def profile_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a profile."""
    with suppress(click.UsageError):  # the shell is the wrong place to tell
        return [name for name in _profiles() if name.isprintable() and name.startswith(incomplete)]
    return []
