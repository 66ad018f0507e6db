"""The messages resource: list the messages of a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from siteassist_async.codec import decode_messages
from siteassist_async.ids import parse_id
from siteassist_async.listing import Growing, Listing, Sent, one_of, whole
from siteassist_async.models import Message
from siteassist_async.wire import Operation

if TYPE_CHECKING:
    from uuid import UUID

    from siteassist_async.wire import MakeRequest


LIST = Operation(
    "messages.list",
    "GET",
    "/conversations/{id}/messages",
    lambda response, asked: Sent(decode_messages(response.body, asked)),
)

ListedRole = Literal["user", "assistant", "human_agent"]
"""A role that messages can be listed by."""

ListedMessageStatus = Literal["complete", "streaming", "error"]
"""A status that messages can be listed by."""

MOST_MESSAGES = 1000
"""The documented maximum of messages in one page."""


class Messages:
    """The messages of conversations: `client.messages`."""

    def __init__(self, request: MakeRequest) -> None:
        self._request = request

    def list(  # noqa: PLR0913 - the documented parameters, each by its name
        self,
        conversation_id: str | UUID,
        *,
        role: ListedRole | None = None,
        status: ListedMessageStatus | None = None,
        limit: int | None = None,
        page_size: int = MOST_MESSAGES,
        offset: int = 0,
    ) -> Listing[Message]:
        """List the messages of a conversation, the oldest first.

        Args:
            conversation_id: The conversation.
            role: Only messages from them.
            status: Only messages with this status. A user's message may have none, so that
                "complete" may leave out the user's side.
            limit: Maximum number of messages in all.
            page_size: Messages per request, up to 1000. The API names no total: the first page that
                is shorter than this is the last.
            offset: Messages to skip.

        Raises:
            InvalidIdError: The ID is not a UUID.
            ConfigurationError: An argument is invalid. All other errors are raised as the listing
                is read, with `next_offset`: NotFoundError, for example.
        """
        query: dict[str, str] = {}
        if role is not None:
            query["role"] = one_of("role", role, ListedRole)
        if status is not None:
            query["status"] = one_of("status", status, ListedMessageStatus)
        subject = parse_id(conversation_id)
        return Listing(
            lambda at, size: self._request(
                LIST, subject, query={**query, "limit": size, "offset": at}
            ),
            Growing[Message],
            page_size=whole("page_size", page_size, 1, MOST_MESSAGES),
            offset=whole("offset", offset, 0),
            limit=None if limit is None else whole("limit", limit, 0),
        )
