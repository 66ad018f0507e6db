"""The commands, their options and their help, in ASCII, which any terminal shows.

A command's module is imported when the command runs: `--help` waits for click alone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module
from inspect import cleandoc
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import click
from click.core import augment_usage_errors

from siteassist_async.cli.settings import (
    Option,
    Setting,
    TokenEnv,
    profile_names,
    token_place,
    token_source,
    use_profile,
)
from siteassist_async.cli.values import (
    File,
    Number,
    Proxy,
    Whole,
    duration,
    emulator_token,
    moment,
    not_empty,
)
from siteassist_async.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Options(SimpleNamespace):
    """The options of every command."""

    command: str
    command_line: Sequence[str]


def parse(arguments: Sequence[str]) -> Options:
    """Parse the command line.

    Raises:
        UsageError: It is wrong, or a setting of the environment or the profile is.
        Exit: Help or the version was printed.
    """
    with siteassist.make_context("siteassist", list(arguments)) as context:
        return Options(**siteassist.invoke(context), command_line=["siteassist", *arguments])


class _Formatter(click.HelpFormatter):
    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 26, col_spacing: int = 2
    ) -> None:
        super().write_dl([*rows], min(col_max, self.width // 3), col_spacing)


class _Context(click.Context):
    def make_formatter(self) -> click.HelpFormatter:
        """Fit the terminal, a narrow one too."""
        columns = 80
        with suppress(OSError, ValueError):
            columns = int(os.environ.get("COLUMNS") or os.get_terminal_size(1).columns)
        return _Formatter(width=max(20, min(columns, 80)))


class _Help(click.Command):
    context_class = _Context

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with augment_usage_errors(ctx):  # click leaves out whose option it is
            return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Wrap lists of terms; leave examples as they are, because they are there to be copied."""
        for section in cleandoc(self.epilog or "").split("\n\n"):
            heading, *lines = section.splitlines()
            with formatter.section(heading.rstrip(":")):
                if heading == "Examples:":
                    formatter.write("".join(f"{line}\n" for line in lines))
                else:
                    terms = (line.strip().partition("  ") for line in lines)
                    formatter.write_dl([(term, text.strip()) for term, _, text in terms])


class _Command(_Help):
    def invoke(self, ctx: click.Context) -> dict[str, object]:
        """Return the options: the command runs after click, which has its own way with Ctrl-C."""
        if self.callback is not None:
            self.callback(ctx)
        token = {"token_place": token_place(ctx), "token_source": token_source(ctx)}
        return {"command": self.name, **ctx.params, **token}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for title, are_settings in (
            ("Options", False),
            ("Settings, also from the environment or a profile", True),
        ):
            chosen = [option for option in options if isinstance(option, Setting) is are_settings]
            if rows := [row for option in chosen if (row := option.get_help_record(ctx))]:
                with formatter.section(title):
                    formatter.write_dl(rows)


class _Group(_Help, click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        return list(self.commands)  # as they are written here, not sorted


def _argument(name: str, text: str, **more: Any) -> click.Argument:  # noqa: ANN401 - click's
    return click.Argument([name.lower()], metavar=name, help=text, **more)


def _formats(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    formats = import_module("siteassist_async.formats.table").FORMATS
    if ctx.command.name == "convert":  # from JSON lines to something else
        formats = [form for form in formats if form.is_sink]
    return [form.name for form in formats if form.name.startswith(incomplete)]


def _check_period(ctx: click.Context) -> None:
    """Refuse a period that ends before it begins."""
    since, until = ctx.params["since"], ctx.params["until"]
    if since and until and until < since:
        raise click.UsageError(f"--until {until} is before --since {since}.", ctx)


def _check_export(ctx: click.Context) -> None:
    """Refuse options that exclude each other, or do not fit the output.

    Raises:
        UsageError: With the reason.
    """
    given = ctx.params
    output, everything = given["output"], given["all"]
    is_name = os.path.basename(output.rstrip("/")) not in {"", ".", ".."}  # noqa: PTH119 - pathlib takes time
    pipe = "--output: expected a file: resuming needs its content, which a pipe does not keep"
    name = f"--output: expected the name of a new file or folder, not {output!r}"
    once = [option for option in ("retry_failed", "restart", "rebuild_state") if given[option]]
    columns = given["column"] or given["updated_column"]
    filters = given["status"] or given["since"] or given["until"]
    _check_period(ctx)
    for is_wrong, problem in (
        (output == "-", pipe),
        (given["dask"] is None and not is_name, name),
        (len(once) > 1, "--retry-failed, --restart and --rebuild-state exclude each other"),
        (everything and given["inputs"], "--all takes no INPUT"),
        (everything and columns, "--column and --updated-column are for an INPUT"),
        (not (everything or given["inputs"]), "export needs an INPUT, or --all for all of them"),
        (filters and not everything, "--status, --since and --until are for --all"),
    ):
        if is_wrong:
            raise click.UsageError(f"{problem}.", ctx)


_ID = _argument("ID", "the conversation's ID, a UUID")
_EXPORTED = _argument("FILE", "exported conversations", type=File())
_SOURCE_FORMAT = Option(
    "--format FORMAT", "format of FILE, if its suffix does not say it", shell_complete=_formats
)
_FORMAT, _CONVERTED = (
    Option(
        "--format FORMAT",
        f"format of OUTPUT, if its suffix does not say it: {jsonl}parquet, sqlite, duckdb, csv, "
        "csv-conversations, excel-csv, excel-csv-conversations, markdown or html",
        shell_complete=_formats,
    )
    for jsonl in ("jsonl, ", "")
)
_QUIET = Option("--quiet", "print errors only")
_ONE_OBJECT = Option("--json", "print one JSON object to standard output")
_ABOVE_ZERO = Number(min=0, min_open=True)
_MAX_RATE = Setting("--max-rate R", "maximum requests per second (default: detected)", _ABOVE_ZERO)
_FILTER = (
    Option("--status", "only conversations with this status now", click.Choice(("open", "closed"))),
    Option("--since TIME", "only those created then or later: a date, or 2026-01-31T12:00", moment),
    Option("--until TIME", "only those created before; times are UTC unless they say else", moment),
)
_CONNECTION = (
    Option("-v --verbose", "log retries, waits and outages; -vv: every attempt", count=True),
    Setting("--log-file FILE", "append the log to FILE, instead of standard error", File()),
    Option(
        "--profile NAME",
        "profile of settings in config.toml (default: `default`, if there is one)",
        envvar="SITEASSIST_PROFILE",
        show_envvar=True,
        is_eager=True,
        callback=use_profile,
        shell_complete=profile_names,
    ),
    Setting("--token-file FILE", "file that contains only the token; - for standard input", File()),
    TokenEnv(
        "--token-env NAME",
        "environment variable with the token (default: SITEASSIST_TOKEN, or else a prompt)",
        not_empty,
    ),
    Setting(
        "--keyring NAME", "entry with the token in the keyring's service siteassist", not_empty
    ),
    Setting("--base-url URL", "API base URL (default: https://api.siteassist.io/v2)"),
    Setting("--ca FILE", "PEM file of additional CA certificates", File()),
    Setting(
        "--proxy URL",
        "URL of an HTTP proxy, or `env` for the one in HTTPS_PROXY, except for the hosts in "
        "NO_PROXY; only the environment may contain a password",
        Proxy(),
    ),
)

_COMMANDS = [
    _Command(
        "export",
        short_help="export all conversations, or those listed in a file of IDs",
        help="""
        Fetch the conversation of every ID in INPUT, or with --all every conversation, and
        write it to OUTPUT: to a .jsonl file one JSON document per line, exactly as the server
        sent it; to .parquet, .sqlite or .duckdb tables of conversations and messages.

        Run the same command again to resume after any interruption: nothing is fetched twice
        and nothing is lost. IDs that failed are written to the dead letters, a file beside
        OUTPUT (conversations.failed.jsonl), each with its reason. The export runs as fast as
        the API allows: it detects the rate limit and waits when the API asks it to.

        The first Ctrl-C, SIGTERM or SIGHUP stops the export: requests in flight have 8 seconds
        to finish. The second ends it at once. OUTPUT stays valid in any case, after kill -9 too.
        """,
        params=[
            click.Argument(
                ["inputs"],
                metavar="[INPUT]...",
                nargs=-1,
                type=File(),
                help="file of IDs, or several: text with one ID per line, a JSON array, or CSV or "
                "JSON with --column; may be compressed with gzip or zstd; - for standard input",
            ),
            Option(
                "-o --output OUTPUT",
                "file to write the conversations to; its suffix says the format; created if "
                "missing, never overwritten; JSON lines are compressed if it ends in .gz or .zst",
                File(),  # or, with --dask, a folder
                required=True,
            ),
            Option(
                "--column NAME",
                "CSV column or JSON key that contains the IDs: its name, its number from 1, or a "
                "path such as conversation.id",
                not_empty,
            ),
            Option(
                "--updated-column NAME",
                "column or key with the time at which a conversation changed; one that has not "
                "changed is not fetched again (default: updatedAt, if it is beside the IDs)",
                not_empty,
            ),
            _FORMAT,
            Option(
                "--all",
                "export all conversations that the token may list, instead of those of INPUT; a "
                "later run fetches what is new or has changed",
            ),
            *_FILTER,
            Option("--limit N", "fetch at most N, then stop; run again for the next N", Whole(1)),
            Option(
                "--refresh",
                "fetch those again, first, that were open when they were exported",
                click.Choice(("open",)),
            ),
            Option(
                "--any-input",
                "accept an INPUT that shares few IDs with the earlier one; otherwise it must have "
                "half of the IDs that were exported, or half of its own must have been",
            ),
            Option("--retry-failed", "retry the IDs in the dead letters first"),
            Option("--restart", "discard earlier results of this export and start over"),
            Option(
                "--rebuild-state",
                "rebuild the export's state from OUTPUT, its dead letters and INPUT, then resume: "
                "if the state is damaged or lost, or you edited OUTPUT on purpose",
            ),
            Option(
                "--dask CLUSTER",
                "export on a Dask cluster, to the folder OUTPUT that all its workers see, or to a "
                "URL such as s3://bucket/folder: the address of its scheduler; or `local` for "
                "processes on this machine",
                not_empty,
            ),
            Option(
                "--partitions P",
                "partitions of an export with --dask, fixed when it begins (default: 32 for each "
                "worker, and at least 64)",
                Whole(1, 99_999),
            ),
            _QUIET,
            Option(
                "--json",
                "print JSON lines to standard output: a `progress` event every second, and a "
                "`summary` or `error` event at the end; with --quiet only the last one",
            ),
            *_CONNECTION,
            # More connections need more file descriptors than a process has by default.
            Setting("--concurrency N", "maximum requests in flight", Whole(1, 1000), default=32),
            _MAX_RATE,
            Setting(
                "--wait DURATION",
                "how long to wait during an outage before stopping: seconds, or 90s, 5m, 2h; "
                "recognizing one takes a minute or two of retries",
                duration,
                default="5m",
            ),
        ],
        callback=_check_export,
        epilog="""
        Examples:
          siteassist export ids.txt -o conversations.jsonl
          siteassist export tickets.csv --column conversation_id -o conversations.jsonl
          siteassist export ids.txt -o conversations.parquet
          siteassist export 2026-*.json.gz --column conversation.id -o conversations.jsonl
          siteassist export ids.txt -o conversations.jsonl --retry-failed
          siteassist export today.csv --column id --updated-column changed_at -o all.jsonl
          siteassist export --all --since 2026-01-01 -o conversations.jsonl
          my-database-query | siteassist export - -o conversations.jsonl
          timeout --preserve-status 1h siteassist export ids.txt -o conversations.jsonl
          siteassist export ids.txt -o /shared/all/ --dask tcp://10.0.0.1:8786

        Exit codes:
          0  done: every conversation is in OUTPUT
          1  finished, but some IDs failed and are in the dead letters
          2  invalid options or input
          3  stopped: run the same command again to resume
          4  stopped: needs your attention (the token, the plan, the disk)
        """,
    ),
    _Command(
        "list",
        short_help="list the conversations of the project",
        help="""
        Print the ID of every conversation that the token may list, the oldest first, one per
        line. Conversations that start meanwhile come at the end; none comes twice.
        """,
        params=[
            *_FILTER,
            Option(
                "--offset N",
                "conversations to skip, of all statuses and times: where an earlier list ended",
                Whole(0),
                default=0,
            ),
            Option("--json", "print JSON lines: each as it is listed, with its last message"),
            *_CONNECTION,
            _MAX_RATE,
        ],
        callback=_check_period,
        epilog="""
        Examples:
          siteassist list > ids.txt
          siteassist list --status closed --since 2026-01-01
          siteassist list --json | jq -r 'select(.isHumanHandled) | .id'
          siteassist list | siteassist export - -o conversations.jsonl

        Exit codes:
          0  all conversations are listed
          1  incomplete: an unusable response; prints how to continue
          2  invalid options
          3  incomplete: no response in time, or interrupted; prints how to continue
          4  needs your attention (the token, the plan, a certificate, standard output)
        """,
    ),
    _Command(
        "convert",
        short_help="convert an export to another format",
        help="""
        Convert LOG, the JSON lines of an export, to tables of conversations and messages
        (.parquet, .sqlite, .duckdb), to CSV (.csv: the messages; .conversations.csv; and
        .excel.csv for Excel), or to a folder of transcripts to read (a name that ends in a
        slash: Markdown; with --format html: HTML). LOG may be the folder of an export with --dask.

        Run the same command again to add what LOG has grown by since; an export may be writing
        to it meanwhile. After any interruption, running it again completes OUTPUT: each
        conversation is in it once.
        """,
        params=[
            _argument("LOG", "the JSON lines of an export", type=File()),
            Option(
                "-o --output OUTPUT",
                "file or folder to write to; its suffix says the format",
                File(),
                required=True,
            ),
            _CONVERTED,
            Option("--rebuild", "convert all again; the old OUTPUT stays until that is complete"),
            _QUIET,
            _ONE_OBJECT,
        ],
        epilog="""
        Examples:
          siteassist convert conversations.jsonl -o conversations.parquet
          siteassist convert conversations.jsonl -o conversations.sqlite --rebuild
          siteassist convert conversations.jsonl -o transcripts --format html

        Exit codes:
          0  done
          2  invalid options, or LOG is not what OUTPUT was converted from
          3  another conversion is writing to OUTPUT, or it was interrupted: run it again
          4  OUTPUT cannot be written, or is damaged
        """,
    ),
    _Command(
        "verify",
        short_help="check that the files of an export are complete and unchanged",
        help="""
        Read OUTPUT, its dead letters and its state, and check that every line is complete, no
        record is there twice, and everything is as the export wrote it; of a table, that it has
        all conversations. Changes nothing.
        """,
        params=[
            _argument(
                "OUTPUT",
                "the export's file of conversations, its table, or the folder of a Dask export",
                type=File(),
            ),
            Option(
                "--format FORMAT",
                "format of OUTPUT, if its suffix does not say it",
                shell_complete=_formats,
            ),
            _ONE_OBJECT,
        ],
        epilog="""
        Examples:
          siteassist verify conversations.jsonl

        Exit codes:
          0  valid
          1  valid, but some IDs failed and are in the dead letters
          2  OUTPUT was not written by an export
          3  an export is running or did not finish: run the export again
          4  verification failed: prints what is wrong and how to repair it
        """,
    ),
    _Command(
        "get",
        short_help="print one conversation",
        help="Print the conversation with this ID as JSON: indented on a terminal, else one line.",
        params=[
            _ID,
            Option(
                "--raw",
                "print the response body unchanged, without a trailing newline; on a terminal, "
                "control characters are escaped",
            ),
            *_CONNECTION,
            Setting("--deadline S", "maximum seconds, retries included", _ABOVE_ZERO, default=60),
        ],
        epilog="""
        Examples:
          siteassist get 123e4567-e89b-12d3-a456-426614174000
          siteassist get 123e4567-e89b-12d3-a456-426614174000 | jq -r .status

        Exit codes:
          0  printed
          1  no such conversation, or an unusable response
          2  invalid options or ID
          3  no response in time: try again later
          4  needs your attention (the token, the plan, a certificate)
        """,
    ),
    _Command(
        "show",
        short_help="print one exported conversation as a transcript",
        help="""
        Print the conversation with this ID as text, from a file that an export or a conversion
        wrote: JSON lines (also .gz and .zst), Parquet, SQLite or DuckDB. Of several records the
        newest is printed. Control characters are escaped.
        """,
        params=[_EXPORTED, _ID, _SOURCE_FORMAT],
        epilog="""
        Examples:
          siteassist show conversations.jsonl 123e4567-e89b-12d3-a456-426614174000
          siteassist show conversations.parquet 123e4567-e89b-12d3-a456-426614174000 | less

        Exit codes:
          0  printed
          1  FILE has no such conversation; the dead letters may say why
          2  invalid options or ID, or FILE cannot be read
        """,
    ),
    _Command(
        "inspect",
        short_help="count what is in exported conversations",
        help="""
        Count the conversations of FILE by status, month and human agent, their messages by
        role, their lengths, and the failures in the dead letters by reason. FILE may be JSON
        lines (also .gz and .zst), Parquet, SQLite or DuckDB. Of several records of a
        conversation the newest counts.
        """,
        params=[_EXPORTED, _SOURCE_FORMAT, _ONE_OBJECT],
        epilog="""
        Examples:
          siteassist inspect conversations.jsonl
          siteassist inspect conversations.parquet --json | jq .roles

        Exit codes:
          0  counted
          2  invalid options, or FILE cannot be read
        """,
    ),
    _Command(
        "plan",
        short_help="plan an export: its time, memory, disk, and what stops it first",
        help="""
        Print how long the export of IDS conversations takes under a rate limit, how much memory
        and disk and how many tokens it needs, and how many IDs the deadline, the disk and the
        rest allow. Nothing is requested. What workers reach together is simulated.
        """,
        params=[
            click.Argument(
                ["ids"], metavar="IDS", type=Whole(1, 10**12), help="number of conversations"
            ),
            Option(
                "--rate R",
                "rate limit of the project in requests per second; an export estimates it",
                Number(min=0, min_open=True),
                required=True,
            ),
            Option("--size BYTES", "bytes of a record", Whole(min=1), default=5000),
            Option(
                "--workers N",
                "workers of a Dask cluster; 1 without Dask",
                Whole(1, 1000),
                default=1,
            ),
            Option(
                "--partitions P",
                "partitions of an export with --dask (default: one for ten minutes of a worker)",
                Whole(1, 99_999),
            ),
            Option("--deadline DURATION", "how long it may take: 90s, 5m, 2h or 7d", duration),
            Option(
                "-o --output OUTPUT",
                "where the conversations are to be written: its free space and inodes and the "
                "memory of this machine are compared, too",
                File(),
            ),
            _ONE_OBJECT,
        ],
        epilog="""
        Examples:
          siteassist plan 1000000 --rate 200
          siteassist plan 1000000000 --rate 500 --workers 4 --deadline 30d -o /shared/out

        Exit codes:
          0  nothing known stops it
          1  something does
          2  invalid options
        """,
    ),
    _Command(
        "emulator",
        short_help="run an emulator of the API on this machine",
        help="""
        Run an emulator of the API on 127.0.0.1, to test against. Every UUID has a conversation,
        which is the same each time; --conversations lists some. Press Ctrl-C to stop it.
        """,
        params=[
            Option("--port PORT", "port to listen on; 0 for any", Whole(0, 65535), default=8080),
            Option("--token TOKEN", "token to accept", emulator_token, default="sk_emulator"),
            Option("--rate R", "requests per second; more get a 429 (default: any)", _ABOVE_ZERO),
            Option("--latency S", "seconds before each response", Number(min=0), default=0),
            Option("--seed N", "seed of the conversations", Whole(0), default=0),
            Option("--conversations N", "number that is listed", Whole(0, 1_000_000), default=0),
            Option(
                "--changing",
                "after each page of the list, start a conversation, add a message, close another",
            ),
            Option(
                "--faults", "of 100 IDs, 3 get a 404, 2 a 403, and 5 a 503 or a disconnect at first"
            ),
        ],
        epilog="""
        Examples:
          siteassist emulator
          siteassist emulator --rate 50 --latency 0.08
          siteassist emulator --conversations 1000 --changing
          siteassist emulator --conversations 1000 --faults

        Exit codes:
          0  stopped by Ctrl-C or SIGTERM
          2  invalid options, or the port is in use
        """,
    ),
    _Command(
        "demo",
        short_help="export 1,000 conversations from the emulator, with injected faults",
        help="""
        Start the emulator in this process, export a thousand of its conversations to a file
        despite rate limiting and injected faults, and report what happened. Needs no account
        and no network, and takes a few seconds.
        """,
        params=[
            Option("--conversations N", "number to export", Whole(10, 1_000_000), default=1000),
            Option(
                "--output DIR",
                "new or empty folder (default: one in the temporary folder, which stays)",
                File(),
            ),
        ],
        epilog="""
        Examples:
          siteassist demo
          siteassist demo --conversations 5000 --output demo

        Exit codes:
          0  success: every conversation is in the file, and every fault was handled
          1  verification failed
          2  invalid options, or the folder cannot be used
          3  interrupted
        """,
    ),
]

siteassist = click.version_option(__version__, message="%(prog)s %(version)s")(
    _Group(
        commands=_COMMANDS,
        help="List, fetch and export conversations from the SiteAssist API.",
        epilog="""
        Examples:
          siteassist demo
          siteassist export ids.txt -o conversations.jsonl
          siteassist get 123e4567-e89b-12d3-a456-426614174000
          siteassist COMMAND --help

        Environment:
          SITEASSIST_TOKEN     API token (never passed as an argument)
          SITEASSIST_BASE_URL  API base URL (default: https://api.siteassist.io/v2)
          SITEASSIST_PROXY     HTTP proxy, as http://user:password@host:port
          SITEASSIST_PROFILE   profile of settings
          SITEASSIST_CONFIG    file of profiles (on Linux: ~/.config/siteassist/config.toml)
        """,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
)
