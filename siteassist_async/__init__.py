"""The SiteAssist conversations API for asyncio; each name is imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from siteassist_async.version import __version__

if TYPE_CHECKING:
    from siteassist_async.client import (
        BASE_URL,
        SiteAssist,
    )
    from siteassist_async.clock import (
        Clock,
        SystemClock,
    )
    from siteassist_async.conversations import (
        Conversations,
        Failed,
        Fetched,
        ListedStatus,
        OrderBy,
    )
    from siteassist_async.errors import (
        APIError,
        AuthenticationError,
        BadGatewayError,
        BadRequestError,
        CertificateError,
        ClientClosedError,
        ClientError,
        ConfigurationError,
        ConflictDetails,
        ConflictError,
        ConnectionFailedError,
        ConversationDetails,
        DeadlineExceededError,
        DisconnectedError,
        FieldDetails,
        InternalServerError,
        InvalidIdError,
        NotFoundError,
        OutageError,
        PaymentRequiredError,
        PermissionDeniedError,
        PlanDetails,
        ProxyError,
        RateLimitError,
        ResponseTooLargeError,
        RetryDetails,
        ServerError,
        ServiceDetails,
        ServiceUnavailableError,
        SiteAssistError,
        ThrottledError,
        TimedOutError,
        TokenError,
        TransportError,
        UnexpectedStatusError,
        UnusablePageError,
        UnusableResponseError,
        ValidationDetails,
        ValidationError,
        WrongConversationError,
    )
    from siteassist_async.listing import Listing, Page
    from siteassist_async.messages import (
        ListedRole,
        Messages,
    )
    from siteassist_async.middleware.retry_policy import RetryPolicy
    from siteassist_async.models import (
        Conversation,
        ConversationSummary,
        HumanAgent,
        Message,
        OtherPart,
        Part,
        TextPart,
    )
    from siteassist_async.wire import (
        Middleware,
        Operation,
        Request,
        Response,
        Send,
        Timeout,
    )

__all__ = [
    "BASE_URL",
    "APIError",
    "AuthenticationError",
    "BadGatewayError",
    "BadRequestError",
    "CertificateError",
    "ClientClosedError",
    "ClientError",
    "Clock",
    "ConfigurationError",
    "ConflictDetails",
    "ConflictError",
    "ConnectionFailedError",
    "Conversation",
    "ConversationDetails",
    "ConversationSummary",
    "Conversations",
    "DeadlineExceededError",
    "DisconnectedError",
    "Failed",
    "Fetched",
    "FieldDetails",
    "HumanAgent",
    "InternalServerError",
    "InvalidIdError",
    "ListedRole",
    "ListedStatus",
    "Listing",
    "Message",
    "Messages",
    "Middleware",
    "NotFoundError",
    "Operation",
    "OrderBy",
    "OtherPart",
    "OutageError",
    "Page",
    "Part",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "PlanDetails",
    "ProxyError",
    "RateLimitError",
    "Request",
    "Response",
    "ResponseTooLargeError",
    "RetryDetails",
    "RetryPolicy",
    "Send",
    "ServerError",
    "ServiceDetails",
    "ServiceUnavailableError",
    "SiteAssist",
    "SiteAssistError",
    "SystemClock",
    "TextPart",
    "ThrottledError",
    "TimedOutError",
    "Timeout",
    "TokenError",
    "TransportError",
    "UnexpectedStatusError",
    "UnusablePageError",
    "UnusableResponseError",
    "ValidationDetails",
    "ValidationError",
    "WrongConversationError",
    "__version__",
]

# `siteassist --help` should not wait for aiohttp, which takes eight times as long as Python itself.
_HOMES = {
    "client": (
        "BASE_URL",
        "SiteAssist",
    ),
    "clock": (
        "Clock",
        "SystemClock",
    ),
    "conversations": (
        "Conversations",
        "Failed",
        "Fetched",
        "ListedStatus",
        "OrderBy",
    ),
    "errors": (
        "APIError",
        "AuthenticationError",
        "BadGatewayError",
        "BadRequestError",
        "CertificateError",
        "ClientClosedError",
        "ClientError",
        "ConfigurationError",
        "ConflictDetails",
        "ConflictError",
        "ConnectionFailedError",
        "ConversationDetails",
        "DeadlineExceededError",
        "DisconnectedError",
        "FieldDetails",
        "InternalServerError",
        "InvalidIdError",
        "NotFoundError",
        "OutageError",
        "PaymentRequiredError",
        "PermissionDeniedError",
        "PlanDetails",
        "ProxyError",
        "RateLimitError",
        "ResponseTooLargeError",
        "RetryDetails",
        "ServerError",
        "ServiceDetails",
        "ServiceUnavailableError",
        "SiteAssistError",
        "ThrottledError",
        "TimedOutError",
        "TokenError",
        "TransportError",
        "UnexpectedStatusError",
        "UnusablePageError",
        "UnusableResponseError",
        "ValidationDetails",
        "ValidationError",
        "WrongConversationError",
    ),
    "listing": (
        "Listing",
        "Page",
    ),
    "messages": (
        "ListedRole",
        "Messages",
    ),
    "middleware.retry_policy": ("RetryPolicy",),
    "models": (
        "Conversation",
        "ConversationSummary",
        "HumanAgent",
        "Message",
        "OtherPart",
        "Part",
        "TextPart",
    ),
    "wire": (
        "Middleware",
        "Operation",
        "Request",
        "Response",
        "Send",
        "Timeout",
    ),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


# A type checker that saw this would take any name for one of the package's.
if not TYPE_CHECKING:  # pragma: no branch - it always runs

    def __getattr__(name: str) -> object:
        module = _MODULES.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(f"{__name__}.{module}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
