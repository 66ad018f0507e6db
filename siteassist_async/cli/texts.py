"""The help texts, in ASCII, so that a terminal of any encoding shows them.

They are kept apart from the commands, whose imports `--help` should not wait for.
"""

from __future__ import annotations

SITEASSIST = "List, fetch and export conversations from the SiteAssist API."
SITEASSIST_MORE = """\
examples:
  siteassist demo
  siteassist export ids.txt -o conversations.jsonl
  siteassist get 123e4567-e89b-12d3-a456-426614174000

environment:
  SITEASSIST_TOKEN     API token (never passed as an argument)
  SITEASSIST_BASE_URL  API base URL (default: https://api.siteassist.io/v2)
  SITEASSIST_PROXY     HTTP proxy, as http://user:password@host:port

Run `siteassist COMMAND --help` for a command's options, examples and exit codes.
"""

EXPORT = "export all conversations, or those listed in a file of IDs"
EXPORT_IS = """\
Fetch the conversation of every ID in INPUT, or with --all every conversation, and write
it to OUTPUT: to a .jsonl file one JSON document per line, exactly as the server sent it;
to .parquet, .sqlite or .duckdb tables of conversations and messages.

Run the same command again to resume after any interruption: nothing is fetched twice
and nothing is lost. IDs that failed are written to the dead letters, a file beside
OUTPUT (conversations.failed.jsonl), each with its reason.
The export runs as fast as the API allows: it detects the rate limit and waits when the
API asks it to.
"""
EXPORT_MORE = """\
examples:
  siteassist export ids.txt -o conversations.jsonl
  siteassist export tickets.csv --column conversation_id -o conversations.jsonl
  siteassist export ids.txt -o conversations.parquet
  siteassist export 2026-*.json.gz --column conversation.id -o conversations.jsonl
  siteassist export ids.txt -o conversations.jsonl --retry-failed
  siteassist export today.csv --column id --updated-column changed_at -o conversations.jsonl
  siteassist export --all --since 2026-01-01 -o conversations.jsonl
  my-database-query | siteassist export - -o conversations.jsonl
  timeout --preserve-status 1h siteassist export ids.txt -o conversations.jsonl
  siteassist export ids.txt -o /shared/conversations/ --dask tcp://10.0.0.1:8786

exit codes:
  0  done: every conversation is in OUTPUT
  1  finished, but some IDs failed and are in the dead letters
  2  invalid options or input
  3  stopped: run the same command again to resume
  4  stopped: needs your attention (the token, the plan, the disk)

signals:
  The first Ctrl-C, SIGTERM or SIGHUP stops the export: requests in flight have 8 seconds
  to finish. The second ends it at once. OUTPUT stays valid in any case, after kill -9 too.

environment:
  SITEASSIST_TOKEN     API token; without it and --token-file, you are prompted for it
  SITEASSIST_BASE_URL  API base URL (default: https://api.siteassist.io/v2)
  SITEASSIST_PROXY     HTTP proxy, as http://user:password@host:port
"""
INPUT = (
    "file of IDs, or several: plain text with one ID per line, a JSON array, or CSV or JSON with "
    "--column; may be compressed with gzip or zstd; - for standard input"
)
OUTPUT = (
    "file to write the conversations to; its suffix says the format; created if missing, never "
    "overwritten; JSON lines are compressed if the name ends in .gz or .zst"
)
FORMAT = "format of OUTPUT, if its suffix does not say it: jsonl, parquet, sqlite, duckdb, csv, ..."
ALL = (
    "export all conversations that the token may list, instead of those of INPUT; a later run "
    "fetches what is new or has changed"
)
COLUMN = (
    "CSV column or JSON key that contains the IDs: its name, its number from 1, or a path such as "
    "conversation.id"
)
UPDATED_COLUMN = (
    "column or key with the time at which a conversation changed; one that has not changed is not "
    "fetched again (default: updatedAt, if there is one beside the IDs)"
)
LIMIT = "fetch at most N conversations, then stop; run again for the next N"
RETRY_FAILED = "retry the IDs in the dead letters first"
REFRESH = "fetch those conversations again, first, that were open when they were exported"
ANY_INPUT = (
    "accept an INPUT that shares few IDs with the earlier one; otherwise it must have half of the "
    "IDs that were exported, or half of its own must have been"
)
RESTART = "discard earlier results of this export and start over"
REBUILD_STATE = (
    "rebuild the export's state from OUTPUT, its dead letters and INPUT, then resume: if the "
    "state is damaged or lost, or you edited OUTPUT on purpose"
)
CONCURRENCY = "maximum requests in flight (default: %(default)s)"
MAX_RATE = "maximum requests per second (default: detected)"
WAIT = (
    "how long to wait during an outage before stopping: seconds, or 90s, 5m, 2h; "
    "0 to stop at once (default: 5m)"
)
DASK = (
    "export on a Dask cluster, to the folder OUTPUT that all its workers see: the address of its "
    "scheduler, such as tcp://10.0.0.1:8786; or `local` for processes on this machine"
)
PARTITIONS = (
    "partitions of an export with --dask, fixed when it begins (default: 32 for each worker, and "
    "at least 64)"
)
QUIET = "print errors only"
JSON = (
    "print JSON lines to standard output: a `progress` event every second, and a `summary` or "
    "`error` event at the end; with --quiet only the last one"
)

TOKEN_FILE = "file that contains only the token; - for standard input"  # noqa: S105 - help
BASE_URL = "API base URL; must be https, except on this machine"
CA = "PEM file of additional CA certificates"
PROXY = (
    "URL of an HTTP proxy; `env` for the one in HTTPS_PROXY, except for the hosts in NO_PROXY "
    "(default: $SITEASSIST_PROXY, which may contain a password, or else none)"
)

CONVERT = "convert an export to another format"
CONVERT_IS = """\
Convert LOG, the JSON lines of an export, to tables of conversations and messages.

Run the same command again to add what LOG has grown by since; an export may be writing to
it meanwhile. After any interruption, running it again completes OUTPUT: each conversation
is in it once.
"""
CONVERT_MORE = """\
examples:
  siteassist convert conversations.jsonl -o conversations.parquet
  siteassist convert conversations.jsonl -o conversations.sqlite --rebuild

exit codes:
  0  done
  2  invalid options, or LOG is not what OUTPUT was converted from
  3  another conversion is writing to OUTPUT, or it was interrupted: run it again
  4  OUTPUT cannot be written, or is damaged
"""
CONVERTED = "the JSON lines of an export"
CONVERT_TO = "file or folder to write to; its suffix says the format"
REBUILD = "convert all of LOG again; the old OUTPUT stays until the new one is complete"
CONVERT_JSON = "print one JSON object to standard output"

LIST = "list the conversations of the project"
LIST_IS = """\
Print the ID of every conversation that the token may list, the oldest first, one per
line. Conversations that start meanwhile come at the end; none comes twice.
"""
LIST_MORE = """\
examples:
  siteassist list > ids.txt
  siteassist list --status closed --since 2026-01-01
  siteassist list --json | jq -r 'select(.isHumanHandled) | .id'
  siteassist list | siteassist export - -o conversations.jsonl

exit codes:
  0  all conversations are listed
  1  incomplete: an unusable response; prints how to continue
  2  invalid options
  3  incomplete: no response in time, or interrupted; prints how to continue
  4  needs your attention (the token, the plan, a certificate, standard output)

environment:
  SITEASSIST_TOKEN     API token; without it and --token-file, you are prompted for it
  SITEASSIST_BASE_URL  API base URL (default: https://api.siteassist.io/v2)
"""
STATUS = "only conversations with this status now"
SINCE = (
    "only conversations created at this time or later: a date, or a time such as 2026-01-31T12:00"
)
UNTIL = "only conversations created before this time; times are UTC unless they say otherwise"
OFFSET = "conversations to skip, of all statuses and times: where an earlier list ended"
LIST_JSON = "print JSON lines: each conversation as it is listed, with its last message"

VERIFY = "check that the files of an export are complete and unchanged"
VERIFY_IS = """\
Read OUTPUT, its dead letters and its state, and check that every line is complete, no
record is there twice, and everything is as the export wrote it. Changes nothing.
"""
VERIFY_MORE = """\
examples:
  siteassist verify conversations.jsonl

exit codes:
  0  valid
  1  valid, but some IDs failed and are in the dead letters
  2  OUTPUT was not written by an export
  3  an export is running or did not finish: run the export again
  4  verification failed: prints what is wrong and how to repair it
"""
VERIFIED = "the export's file of conversations"
VERIFY_JSON = "print one JSON object to standard output"

GET = "print one conversation"
GET_IS = """\
Print the conversation with this ID as JSON: indented on a terminal, else on one line.
"""
GET_MORE = """\
examples:
  siteassist get 123e4567-e89b-12d3-a456-426614174000
  siteassist get 123e4567-e89b-12d3-a456-426614174000 | jq -r .status

exit codes:
  0  printed
  1  no such conversation, or an unusable response
  2  invalid options or ID
  3  no response in time: try again later
  4  needs your attention (the token, the plan, a certificate)

environment:
  SITEASSIST_TOKEN     API token; without it and --token-file, you are prompted for it
  SITEASSIST_BASE_URL  API base URL (default: https://api.siteassist.io/v2)
  SITEASSIST_PROXY     HTTP proxy, as http://user:password@host:port
"""
ID = "the conversation's ID, a UUID"
RAW = (
    "print the response body unchanged, without a trailing newline; "
    "on a terminal, control characters are escaped"
)
DEADLINE = "maximum seconds for the command, retries included (default: %(default)g)"

SHOW = "print one exported conversation as a transcript"
SHOW_IS = """\
Print the conversation with this ID as text, from a file that an export or a conversion
wrote: JSON lines (also .gz and .zst), Parquet, SQLite or DuckDB. Of several records the
newest is printed. Control characters are escaped.
"""
SHOW_MORE = """\
examples:
  siteassist show conversations.jsonl 123e4567-e89b-12d3-a456-426614174000
  siteassist show conversations.parquet 123e4567-e89b-12d3-a456-426614174000 | less

exit codes:
  0  printed
  1  FILE has no such conversation; the dead letters may say why
  2  invalid options or ID, or FILE cannot be read
"""
INSPECT = "count what is in exported conversations"
INSPECT_IS = """\
Count the conversations of FILE by status, month and human agent, their messages by role,
their lengths, and the failures in the dead letters by reason. FILE may be JSON lines
(also .gz and .zst), Parquet, SQLite or DuckDB. Of several records of a conversation the
newest counts.
"""
INSPECT_MORE = """\
examples:
  siteassist inspect conversations.jsonl
  siteassist inspect conversations.parquet --json | jq .roles

exit codes:
  0  counted
  2  invalid options, or FILE cannot be read
"""
EXPORTED = "exported conversations"
SOURCE_FORMAT = "format of FILE, if its suffix does not say it"

EMULATOR = "run an emulator of the API on this machine"
EMULATOR_IS = """\
Run an emulator of the API on 127.0.0.1, to test against. Every UUID has a conversation,
which is the same each time; --conversations lists some. Press Ctrl-C to stop it.
"""
EMULATOR_MORE = """\
examples:
  siteassist emulator
  siteassist emulator --rate 50 --latency 0.08
  siteassist emulator --conversations 1000 --changing

exit codes:
  0  stopped by Ctrl-C or SIGTERM
  2  invalid options, or the port is in use
"""
PORT = "port to listen on; 0 for any free port (default: %(default)s)"
EMULATOR_TOKEN = "token to accept (default: %(default)s)"  # noqa: S105 - help
RATE = "rate limit in requests per second; excess requests get a 429 (default: no limit)"
LATENCY = "seconds before each response (default: %(default)g)"
LISTED = "number of conversations that the project lists (default: %(default)s)"
CHANGING = "after each page of the list, start a conversation, add a message, and close another"
SEED = "seed of the generated conversations (default: %(default)s)"

DEMO = "export 1,000 conversations from the emulator, with injected faults"
DEMO_IS = """\
Start the emulator in this process, export a thousand of its conversations to a file
despite rate limiting and injected faults, and report what happened. Needs no account
and no network, and takes a few seconds.
"""
DEMO_MORE = """\
examples:
  siteassist demo
  siteassist demo --conversations 5000 --output demo

exit codes:
  0  success: every conversation is in the file, and every fault was handled
  1  verification failed
  2  invalid options, or the folder cannot be used
  3  interrupted
"""
CONVERSATIONS = "number of conversations (default: %(default)s)"
DEMO_OUTPUT = "new or empty folder for the files (default: a temporary folder)"
