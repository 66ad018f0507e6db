"""The help, in ASCII: a terminal of any encoding shows it."""

from __future__ import annotations

SITEASSIST = "Fetch conversations from the SiteAssist API by their ids."
SITEASSIST_MORE = """\
examples:
  siteassist demo
  siteassist export ids.txt -o conversations.jsonl
  siteassist get 123e4567-e89b-12d3-a456-426614174000

environment:
  SITEASSIST_TOKEN     the token; it is never taken as an argument
  SITEASSIST_BASE_URL  the API, if not https://api.siteassist.io/v2

`siteassist COMMAND --help` has a command's options, examples and exit codes.
"""

EXPORT = "write the conversations of a file of ids to a file"
EXPORT_IS = """\
Write the conversation of every id in INPUT to OUTPUT, one JSON text a line, as the
server sent it.

Run the same command again and it goes on where the last run ended, however that
ended: nothing is fetched twice and nothing is lost. Ids that could not be had are in
the dead letters beside OUTPUT (conversations.failed.jsonl), each with its reason.
It runs as fast as the API allows: the limit is learned, and every wait that the API
asks for is kept.
"""
EXPORT_MORE = """\
examples:
  siteassist export ids.txt -o conversations.jsonl
  siteassist export tickets.csv --column conversation_id -o conversations.jsonl
  siteassist export ids.txt -o conversations.jsonl --retry-failed
  my-database-query | siteassist export - -o conversations.jsonl
  timeout --preserve-status 1h siteassist export ids.txt -o conversations.jsonl

exit codes:
  0  done: everything that was asked for is in the file
  1  finished, and some ids are in the dead letters
  2  the options or the input are wrong
  3  stopped: run the same command again
  4  stopped: a person must act (the token, the plan, the disk)

signals:
  Ctrl-C, SIGTERM and SIGHUP ask for no further ids and leave those in flight 8 seconds
  to end; a second one ends at once. Whatever happens, kill -9 too, the file is whole.

environment:
  SITEASSIST_TOKEN     the token; without it and --token-file, a terminal is asked for it
  SITEASSIST_BASE_URL  the API, if not https://api.siteassist.io/v2
"""
INPUT = (
    "ids: a text file with one a line, or a CSV or JSON-lines file with --column; "
    "- is standard input"
)
OUTPUT = "the file of conversations; made where it is missing, never overwritten"
COLUMN = "the CSV column or the JSON lines' key that holds the ids"
RETRY_FAILED = "first ask again for the ids in the dead letters"
RESTART = "throw away what earlier runs of this export wrote, and begin anew"
REBUILD_STATE = (
    "make the state anew from OUTPUT, its dead letters and INPUT, then go on: where the state is "
    "damaged or lost, or OUTPUT was edited on purpose"
)
CONCURRENCY = "requests in flight at once, at most (%(default)s)"
MAX_RATE = "requests a second, at most, where you know the limit; else it is learned"
WAIT = (
    "how long to wait while nothing is answered, before it stops: seconds, or 90s, 5m, 2h; "
    "0 waits for nothing (5m)"
)
QUIET = "print nothing but errors"
JSON = (
    "print JSON lines to standard output: an event `progress` each second, and one `summary` or "
    "`error` at the end; with --quiet the last one only"
)

TOKEN_FILE = "a file that holds the token and nothing else; - is standard input"  # noqa: S105 - help
BASE_URL = "another API; https, unless it is this machine"
CA = "certificates to trust besides the system's, as PEM"

VERIFY = "read all of an export's files, and tell whether they are whole"
VERIFY_IS = """\
Read OUTPUT, its dead letters and its state, and change nothing: whether each line is
whole, each id is there once, and all is as the export wrote it.
"""
VERIFY_MORE = """\
examples:
  siteassist verify conversations.jsonl

exit codes:
  0  all is whole
  1  all is whole, and some ids are in the dead letters
  2  no export wrote this file
  3  an export is at it or did not come to its end: run the export again
  4  something is not as it was written: what, and what to do, is told
"""
VERIFIED = "the file of conversations"
VERIFY_JSON = "print one JSON object to standard output"

GET = "print one conversation"
GET_IS = """\
Print the conversation of an id as JSON: indented on a terminal, on one line elsewhere.
"""
GET_MORE = """\
examples:
  siteassist get 123e4567-e89b-12d3-a456-426614174000
  siteassist get 123e4567-e89b-12d3-a456-426614174000 | jq -r .status

exit codes:
  0  printed
  1  there is no such conversation, or the API's answer cannot be used
  2  the options or the id are wrong
  3  no answer now: try again later
  4  a person must act (the token, the plan, a certificate)

environment:
  SITEASSIST_TOKEN     the token; without it and --token-file, a terminal is asked for it
  SITEASSIST_BASE_URL  the API, if not https://api.siteassist.io/v2
"""
ID = "the conversation's id, a UUID"
RAW = (
    "the bytes as they came, without a line break at the end; "
    "a terminal gets characters that could steer it escaped"
)
DEADLINE = "seconds until it gives up, waits and retries included (%(default)g)"

EMULATOR = "run the API on this machine, to test against"
EMULATOR_IS = """\
Run the API on 127.0.0.1. Every UUID has a conversation, the same one each time.
It runs until Ctrl-C.
"""
EMULATOR_MORE = """\
examples:
  siteassist emulator
  siteassist emulator --rate 50 --latency 0.08

exit codes:
  0  it was ended by Ctrl-C or SIGTERM
  2  the options are wrong, or the port is in use
"""
PORT = "0 is any free port (%(default)s)"
EMULATOR_TOKEN = "the token that it accepts; it opens nothing else (%(default)s)"  # noqa: S105 - help
RATE = "requests a second that it grants; more are refused with a 429 (no limit)"
LATENCY = "seconds before each answer (%(default)g)"
SEED = "another number, other conversations (%(default)s)"

DEMO = "export 1,000 conversations from the emulator, faults and all"
DEMO_IS = """\
Start the emulator in this process, export a thousand of its conversations to a file
through the ordinary path, with refusals and faults on the way, and print what
happened. It needs no account and no network, and takes some seconds.
"""
DEMO_MORE = """\
examples:
  siteassist demo
  siteassist demo --conversations 5000 --output demo

exit codes:
  0  every conversation is in the file, and every fault had the outcome that it should
  1  it was not so
  2  the options are wrong, or the folder cannot be used
  3  interrupted
"""
CONVERSATIONS = "how many (%(default)s)"
DEMO_OUTPUT = "a new or empty folder for the files (one among the temporary files)"
