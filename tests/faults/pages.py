"""Pages of lists: whole, and wrong in every way that a server may get them wrong."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import evolve, field, frozen

from siteassist_async import (
    AuthenticationError,
    BadRequestError,
    ConnectionFailedError,
    InternalServerError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    ResponseTooLargeError,
    SiteAssistError,
    UnexpectedStatusError,
    UnusablePageError,
    UnusableResponseError,
    WrongConversationError,
)
from siteassist_async.emulator import conversation_ids

from .raw_server import Play, Step
from .wire import ID, JSON, OTHER_ID, answer, chunked, conversation, error

Way = Literal["every", "list", "messages"]

IDS = list(conversation_ids(5))
"""Of the conversations of the project, in their order."""

AT = "2026-03-02T09:00:00.000Z"

SIZE = 2
"""Items asked for in each page."""


@frozen
class PageRow:
    """What is sent for each offset, and what the caller of each way gets.

    Attributes:
        plays: By offset, the answers one a request; the last for every further one.
        ids: What comes before the end or the error.
        error: The exact class; None: the listing ends in order.
        next_offset: Of the error.
        ways: In which it is read: both, where they judge pages each in its own way.
        requests: That it takes; None where what is fetched ahead may be thrown away.
        start: The offset to begin at.
    """

    name: str
    plays: Mapping[int, Sequence[Play]]
    ids: Sequence[str] = tuple(IDS)
    error: type[SiteAssistError] | None = None
    next_offset: int | None = None
    says: str = ""
    ways: Sequence[Way] = ("every", "list")
    requests: int | None = 3
    start: int = 0
    telling: Mapping[str, object] = field(factory=dict[str, object])

    def by(self, *ways: Way) -> PageRow:
        """This row, read in these ways only."""
        return evolve(self, ways=ways)


def summary(number: int, **changes: object) -> dict[str, Any]:
    """A conversation of the project as it is listed."""
    whole = json.loads(conversation(IDS[number], createdAt=f"2026-03-0{number + 1}T09:00:00.000Z"))
    del whole["messages"]
    return {**whole, "title": None, "lastMessage": None, **changes}


def page(offset: int, *numbers: int, **changes: object) -> dict[str, Any]:
    """A page of the project, with these conversations."""
    data = [summary(number) for number in numbers]
    sent = {"object": "list", "total": 5, "limit": SIZE, "offset": offset, "data": data}
    return {**sent, **changes}


def sent(value: object) -> Play:
    """A page as an answer."""
    return [answer(json.dumps(value).encode())]


FIRST, SECOND, THIRD = page(0, 0, 1), page(2, 2, 3), page(4, 4)
WHOLE = {0: [sent(FIRST)], 2: [sent(SECOND)], 4: [sent(THIRD)]}


def read(name: str, *steps: Step, **options: Any) -> PageRow:  # noqa: ANN401 - those of a row
    """A row whose second page is sent in this form, and read."""
    return evolve(PageRow(name, {**WHOLE, 2: [steps]}, ways=["every"]), **options)


def odd(name: str, **changes: object) -> PageRow:
    """A row whose second page has these fields, and is read."""
    return read(name, *sent({**SECOND, **changes}))


def without(value: dict[str, Any], *names: str) -> dict[str, Any]:
    """A copy that lacks these keys."""
    return {key: kept for key, kept in value.items() if key not in names}


def fails(
    name: str,
    value: object,
    path: str = "",
    error: type[SiteAssistError] = UnusableResponseError,
    **options: Any,  # noqa: ANN401 - those of a row
) -> PageRow:
    """A row whose second page is refused."""
    return fails_as(name, sent(value), error, path, **options)


def fails_as(
    name: str,
    play: Play,
    error: type[SiteAssistError] = UnusableResponseError,
    path: str = "",
    **options: Any,  # noqa: ANN401 - those of a row
) -> PageRow:
    """A row whose second page is sent in this form, and refused."""
    telling = {"path": path} if issubclass(error, UnusableResponseError) else {}
    row = PageRow(name, {**WHOLE, 2: [play]}, IDS[:2], error, 2, ways=["every"], telling=telling)
    return evolve(row, **{"requests": 2, **options})


def refuses(name: str, **changes: object) -> PageRow:
    """A row whose second page has a field of the wrong kind."""
    (path,) = changes
    return fails(name, {**SECOND, **changes}, path)


def refuses_item(name: str, path: str, item: object) -> PageRow:
    """A row whose second page has a conversation that is none."""
    return fails(name, {**SECOND, "data": [summary(2), item]}, f"data[1]{path}")


MESSAGE = {"object": "message", "id": "m0", "createdAt": AT, "chatId": ID, "role": "user"}

GOOD = [
    PageRow("as documented", WHOLE),
    read("no kind of list", *sent(without(SECOND, "object"))),
    odd("kind of list null", object=None),
    read("pretty-printed", answer(json.dumps(SECOND, indent=3).encode())),
    read("byte order mark", answer(b"\xef\xbb\xbf" + json.dumps(SECOND).encode())),
    read(
        "gzip",
        answer(
            gzip.compress(json.dumps(SECOND).encode()), headers=[*JSON, "Content-Encoding: gzip"]
        ),
    ),
    read("chunked", chunked(*[bytes([byte]) for byte in json.dumps(SECOND).encode()])),
    odd("unknown fields of the list", hasMore=True, links={"next": "/"}),
    odd("another limit", limit=50),
    read("no limit", *sent(without(SECOND, "limit"))),
    odd("limit of nonsense", limit="many"),
    odd("unknown fields of a conversation", data=[summary(2, tags=[["new"]]), summary(3)]),
    odd("unknown status", data=[summary(2, status="snoozed"), summary(3)]),
    odd("lone surrogate", data=[summary(2, title="\ud83d"), summary(3)]),
    odd("total with a fraction of 0", total=5.0),
    odd("total with a fraction of 0, and a lone surrogate", total=5.0, x="\ud83d"),
    odd(
        "current spelling",
        data=[without(summary(n, lastInteractionAt=AT), "lastInterationAt") for n in (2, 3)],
    ),
    odd(
        "neither title nor last message",
        data=[without(summary(2), "title", "lastMessage"), summary(3)],
    ),
    odd("last message", data=[summary(2, lastMessage={**MESSAGE, "mood": 1}), summary(3)]),
    read("key twice: the last counts", answer(json.dumps(SECOND).encode()[:-1] + b',"offset":2}')),
    evolve(PageRow("past the end", {40: [sent(page(40))]}, ()), start=40, requests=1),
    PageRow("no conversations", {0: [sent(page(0, total=0))]}, (), requests=1),
    PageRow(
        "a last page that is full",
        {0: [sent({**FIRST, "total": 4})], 2: [sent({**SECOND, "total": 4})]},
        IDS[:4],
        requests=2,
    ),
]

LENGTHS = [
    PageRow("one at a time", {n: [sent(page(n, n))] for n in range(5)}, requests=5),
    PageRow(
        "a first page that is short",
        {0: [sent(page(0, 0))], 1: [sent(page(1, 1, 2))], 3: [sent(page(3, 3, 4))]},
    ),
    PageRow(
        "a page in the middle that is short",
        {0: [sent(FIRST)], 2: [sent(page(2, 2))], 3: [sent(page(3, 3, 4))]},
    ),
    PageRow(
        "a page that is longer than asked for",
        {0: [sent(page(0, 0, 1, 2))], 3: [sent(page(3, 3, 4))]},
        requests=2,
    ),
    PageRow("all in one page", {0: [sent(page(0, 0, 1, 2, 3, 4))]}, requests=1),
    PageRow(
        "an empty page in the middle",
        {**WHOLE, 2: [sent(page(2))]},
        IDS[:2],
        UnusablePageError,
        2,
        "is empty, but others come after it",
        ways=["every"],
    ),
    PageRow(
        "an empty page in the middle of a list", {**WHOLE, 2: [sent(page(2))]}, IDS[:2], requests=2
    ).by("list"),
    PageRow(
        "an empty page at the beginning",
        {**WHOLE, 0: [sent(page(0))]},
        (),
        UnusablePageError,
        0,
        ways=["every"],
        requests=2,
    ),
    PageRow("nothing but a total", {0: [sent(page(0))], 4: [sent(page(4))]}, (), requests=2).by(
        "every"
    ),
]

TOTALS = [
    PageRow(
        "one too many",
        {0: [sent({**FIRST, "total": 6})], 2: [sent({**SECOND, "total": 6})]}
        | {4: [sent({**THIRD, "total": 6})], 5: [sent(page(5, total=6))]},
        requests=5,
    ).by("every"),
    PageRow(
        "one too many in a list",
        {0: [sent({**FIRST, "total": 6})], 2: [sent({**SECOND, "total": 6})]}
        | {4: [sent({**THIRD, "total": 6})], 5: [sent(page(5, total=6))]},
        requests=4,
    ).by("list"),
    PageRow(
        "too few",
        {0: [sent({**FIRST, "total": 1})], 2: [sent({**SECOND, "total": 1})]}
        | {4: [sent({**THIRD, "total": 1})], 5: [sent(page(5, total=1))]},
        requests=4,
    ).by("every"),
    PageRow("too few in a list", {0: [sent({**FIRST, "total": 1})]}, IDS[:2], requests=1).by(
        "list"
    ),
    PageRow(
        "of 0, with conversations",
        {0: [sent({**FIRST, "total": 0})], 2: [sent(page(2, total=0))]},
        IDS[:2],
        requests=2,
    ).by("every"),
    PageRow(
        "that shrinks",
        {0: [sent({**FIRST, "total": 9})], 2: [sent({**SECOND, "total": 7})], 4: [sent(THIRD)]},
    ),
    PageRow(
        "that grows",
        {0: [sent({**FIRST, "total": 3})], 2: [sent({**SECOND, "total": 4.0})]},
        IDS[:4],
        requests=2,
    ),
    PageRow(
        "that grows at the end",
        {0: [sent({**FIRST, "total": 3})], 2: [sent(SECOND)], 4: [sent(THIRD)]},
    ),
    PageRow(
        "of 2^70",
        {0: [sent({**FIRST, "total": 2**70})], 2: [sent(page(2, total=2**70))]}
        | {2**70 - 1: [sent(page(2**70 - 1))]},
        IDS[:2],
        requests=3,
    ).by("every"),
]

OFFSETS = [
    fails(
        "ignored: the first page again, and it says so",
        FIRST,
        "offset",
        UnusablePageError,
        says="asked for the page at offset 2, got the one at 0",
    ),
    fails(
        "ignored: the first page again, as if it were the second",
        {**FIRST, "offset": 2},
        "data",
        UnusablePageError,
        says="listed before",
    ).by("every"),
    PageRow(
        "ignored for ever, in a list: it ends by its total",
        {n: [sent({**FIRST, "offset": n})] for n in (0, 2, 4)},
        [*IDS[:2], *IDS[:2], *IDS[:2]],
    ).by("list"),
    PageRow(
        "ignored later: the page before again",
        {**WHOLE, 4: [sent({**SECOND, "offset": 4})]},
        IDS[:4],
        UnusablePageError,
        4,
        ways=["every"],
    ),
    fails("of the page after", {**THIRD}, "offset", UnusablePageError),
    fails("off by one", {**SECOND, "offset": 3}, "offset", UnusablePageError),
    fails("missing", without(SECOND, "offset"), "offset"),
    *[refuses(f"{value!r}", offset=value) for value in (None, "2", -2, True, 2.5, [2])],
    PageRow(
        "overlapping: an id comes once",
        {0: [sent(FIRST)], 2: [sent(page(2, 1, 2))], 4: [sent(page(4, 3, total=5))]},
        IDS[:4],
    ).by("every"),
    PageRow(
        "overlapping in a list: it gives what it gets",
        {0: [sent(FIRST)], 2: [sent(page(2, 1, 2))], 4: [sent(page(4, 3))]},
        [IDS[0], IDS[1], IDS[1], IDS[2], IDS[3]],
    ).by("list"),
    PageRow(
        "the same id twice in a page",
        {0: [sent(page(0, 0, 0))], 2: [sent(page(2, 1, 2))], 4: [sent(page(4, 3))]},
        IDS[:4],
    ).by("every"),
]

KINDS = [
    fails("no total", without(SECOND, "total"), "total"),
    *[refuses(f"total {value!r}", total=value) for value in (None, "5", -5, False, 0.5, [5])],
    fails_as(
        "total 1e400",
        [answer(json.dumps(SECOND).encode().replace(b'"total": 5', b'"total": 1e400'))],
    ),
    fails("no data", without(SECOND, "data"), "data"),
    *[refuses(f"data {value!r}", data=value) for value in (None, "x", 5, {"0": summary(2)})],
    *[
        refuses_item(f"{item!r} for a conversation", "", item)
        for item in (None, 5, "x", [summary(3)])
    ],
    refuses_item("a message for a conversation", "", MESSAGE),
    refuses_item("no kind of conversation", "", without(summary(3), "object")),
    refuses_item("no id", ".id", without(summary(3), "id")),
    refuses_item("id a number", ".id", summary(3, id=5)),
    refuses_item("no createdAt", ".createdAt", without(summary(3), "createdAt")),
    refuses_item("createdAt of nonsense", ".createdAt", summary(3, createdAt="yesterday")),
    refuses_item(
        "createdAt without a zone", ".createdAt", summary(3, createdAt="2026-03-02T09:00:00")
    ),
    refuses_item("status null", ".status", summary(3, status=None)),
    refuses_item(
        "no last interaction", ".lastInterationAt", without(summary(3), "lastInterationAt")
    ),
    refuses_item("humanAgent a list", ".humanAgent", summary(3, humanAgent=[])),
    refuses_item("lastMessage a text", ".lastMessage", summary(3, lastMessage="Hi")),
    refuses_item(
        "lastMessage of nobody",
        ".lastMessage.role",
        summary(3, lastMessage=without(MESSAGE, "role")),
    ),
    refuses_item(
        "lastMessage with a part that is none",
        ".lastMessage.parts[0]",
        summary(3, lastMessage={**MESSAGE, "parts": [5]}),
    ),
    fails("a conversation for a list", json.loads(conversation())),
    fails("a bare list", [summary(2)]),
    fails("null", None),
    fails_as("empty", [answer(b"")]),
    fails_as("a page of HTML", [answer(b"<h1>Hello</h1>", headers=["Content-Type: text/html"])]),
    fails(
        "more values than objects are made of",
        {**SECOND, "x": [0] * 200_001},
        error=ResponseTooLargeError,
        says="page_size",
    ),
]

ERRORS = [
    fails_as(
        "500 for ever",
        [answer(error(), 500)],
        error=InternalServerError,
        requests=6,
        says="continue at offset 2",
    ),
    fails_as("404", [answer(error(), 404)], error=NotFoundError),
    fails_as("400", [answer(error(details={"field": "offset"}), 400)], error=BadRequestError),
    fails_as("401", [answer(error(), 401)], error=AuthenticationError),
    fails_as("402", [answer(error(), 402)], error=PaymentRequiredError),
    fails_as("403", [answer(error(), 403)], error=PermissionDeniedError),
    fails_as("redirect", [answer(b"", 302, ["Location: /"])], error=UnexpectedStatusError),
    fails_as(
        "truncated JSON",
        [answer(json.dumps(SECOND).encode()[:-9])],
        error=ConnectionFailedError,
        requests=6,
    ),
    fails_as(
        "closed amid it",
        [answer(b"{", length=99), "close"],
        error=ConnectionFailedError,
        requests=6,
    ),
    PageRow(
        "500 once",
        {**WHOLE, 2: [[answer(error(), 500)], sent(SECOND)]},
        requests=4,
    ),
    PageRow(
        "429 with a time, twice",
        {**WHOLE, 0: [[answer(error(details={"retryAfter": 7}), 429)]] * 2 + [sent(FIRST)]},
        requests=5,
    ),
    PageRow(
        "reset once",
        {**WHOLE, 4: [[answer(b"{", length=99), "pause", "reset"], sent(THIRD)]},
        requests=4,
    ),
]


def messages(*numbers: int, **changes: object) -> Play:
    """A page of messages."""
    data = [{**MESSAGE, "id": IDS[number], **changes} for number in numbers]
    return sent({"object": "list", "data": data})


def of_messages(name: str, *pages: Play, **options: Any) -> PageRow:  # noqa: ANN401 - those of a row
    """A row of a list of messages."""
    plays = {SIZE * number: [play] for number, play in enumerate(pages)}
    row = PageRow(name, plays, ways=["messages"], requests=len(pages))
    return evolve(row, **options)


TWO, MORE, LAST = messages(0, 1), messages(2, 3), messages(4)

MESSAGES = [
    of_messages("messages", TWO, MORE, LAST),
    of_messages("messages: a last page that is full", TWO, messages(), ids=IDS[:2]),
    of_messages("no messages", messages(), ids=()),
    of_messages("messages: a short page is the last", messages(0), ids=IDS[:1]),
    of_messages("messages: a new role", TWO, MORE, messages(4, role="robot")),
    of_messages("messages: unknown fields", messages(0, mood=[1], x="\ud83d"), ids=IDS[:1]),
    of_messages(
        "messages: id of the conversation in upper case",
        messages(0, chatId=ID.upper()),
        ids=IDS[:1],
    ),
    PageRow(
        "messages: longer than asked for, then none",
        {0: [messages(0, 1, 2)], 3: [messages()]},
        IDS[:3],
        ways=["messages"],
        requests=2,
    ),
    of_messages(
        "messages: the first page for ever",
        TWO,
        TWO,
        ids=IDS[:2],
        error=UnusablePageError,
        next_offset=2,
        says="listed before",
    ),
    of_messages(
        "messages of another conversation",
        TWO,
        messages(2, chatId=OTHER_ID),
        ids=IDS[:2],
        error=WrongConversationError,
        next_offset=2,
        requests=6,
        telling={"path": "data[0].chatId"},
    ),
    of_messages(
        "messages of no conversation",
        messages(0, chatId=None),
        ids=(),
        error=UnusableResponseError,
        next_offset=0,
        telling={"path": "data[0].chatId"},
    ),
    of_messages(
        "messages: no data",
        sent({"object": "list"}),
        ids=(),
        error=UnusableResponseError,
        next_offset=0,
        telling={"path": "data"},
    ),
    of_messages(
        "messages: 404",
        [answer(error(code="CONVERSATION_NOT_FOUND", details={"conversationId": ID}), 404)],
        ids=(),
        error=NotFoundError,
        next_offset=0,
    ),
    of_messages(
        "messages: 500 for ever",
        TWO,
        [answer(error(), 500)],
        ids=IDS[:2],
        error=InternalServerError,
        next_offset=2,
        requests=6,
    ),
]

ROWS: dict[str, list[PageRow]] = {
    "good": GOOD,
    "length": LENGTHS,
    "total": TOTALS,
    "offset": OFFSETS,
    "kind": KINDS,
    "error": ERRORS,
    "messages": MESSAGES,
}
