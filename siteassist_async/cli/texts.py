"""The help texts, in ASCII, so that a terminal of any encoding shows them.

They are kept apart from the commands, whose imports `--help` should not wait for.
"""

from __future__ import annotations

SITEASSIST = "Fetch conversations from the SiteAssist API by their IDs."
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

EXPORT = "export the conversations listed in a file of IDs"
EXPORT_IS = """\
Fetch the conversation of every ID in INPUT and write it to OUTPUT, one JSON document
per line, exactly as the server sent it.

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
  siteassist export 2026-*.json.gz --column conversation.id -o conversations.jsonl
  siteassist export ids.txt -o conversations.jsonl --retry-failed
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
    "file to write the conversations to; created if missing, never overwritten; compressed if "
    "its name ends in .gz or .zst"
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

VERIFY = "check that the files of an export are complete and unchanged"
VERIFY_IS = """\
Read OUTPUT, its dead letters and its state, and check that every line is complete, every
ID occurs once, and everything is as the export wrote it. Changes nothing.
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

EMULATOR = "run an emulator of the API on this machine"
EMULATOR_IS = """\
Run an emulator of the API on 127.0.0.1, to test against. Every UUID has a conversation,
which is the same each time. Press Ctrl-C to stop it.
"""
EMULATOR_MORE = """\
examples:
  siteassist emulator
  siteassist emulator --rate 50 --latency 0.08

exit codes:
  0  stopped by Ctrl-C or SIGTERM
  2  invalid options, or the port is in use
"""
PORT = "port to listen on; 0 for any free port (default: %(default)s)"
EMULATOR_TOKEN = "token to accept (default: %(default)s)"  # noqa: S105 - help
RATE = "rate limit in requests per second; excess requests get a 429 (default: no limit)"
LATENCY = "seconds before each response (default: %(default)g)"
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
