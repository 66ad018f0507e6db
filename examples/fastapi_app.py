"""FastAPI: one client for the life of the application, a deadline for each request.

SITEASSIST_TOKEN=sk_… uvicorn fastapi_app:app
"""

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from siteassist_async import (
    Conversation,
    DeadlineExceededError,
    InvalidIdError,
    NotFoundError,
    RateLimitError,
    ServerError,
    SiteAssist,
    SiteAssistError,
    ThrottledError,
    TransportError,
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with SiteAssist(deadline=2.0) as client:
        app.state.siteassist = client
        yield


app = FastAPI(lifespan=lifespan)


def siteassist(request: Request) -> SiteAssist:
    client: SiteAssist = request.app.state.siteassist
    return client


class Summary(BaseModel):
    """What this service says of a conversation."""

    id: str
    status: str
    updated_at: datetime
    messages: int

    @classmethod
    def of(cls, conversation: Conversation) -> "Summary":
        return cls(
            id=conversation.id,
            status=conversation.status,
            updated_at=conversation.updated_at,
            messages=len(conversation.messages),
        )


@app.get("/conversations/{conversation_id}", response_model=Summary)
async def summary(
    conversation_id: str, client: Annotated[SiteAssist, Depends(siteassist)]
) -> Summary:
    return Summary.of(await client.conversations.get(conversation_id))


@app.get("/conversations/{conversation_id}/full", response_model=None)
async def full(
    conversation_id: str, client: Annotated[SiteAssist, Depends(siteassist)]
) -> dict[str, object]:
    return (await client.conversations.get(conversation_id)).to_dict()


@app.exception_handler(SiteAssistError)
async def on_error(request: Request, error: SiteAssistError) -> JSONResponse:
    """Map errors to statuses; the messages of the API are for our log, not for our users."""
    wait = 0.0
    match error:
        case InvalidIdError():
            status, detail = 422, "not a conversation ID"
        case NotFoundError(code=str()):  # without a code, it is not from the API
            status, detail = 404, "no such conversation"
        case ThrottledError(wait=seconds):
            status, detail, wait = 503, "try again later", seconds
        case RateLimitError(retry_after=seconds) | ServerError(retry_after=seconds):
            status, detail, wait = 503, "try again later", seconds or 0.0
        case DeadlineExceededError() | TransportError():
            status, detail = 503, "try again later"
        case _:
            status, detail = 502, "the conversation service failed"
    headers = {"Retry-After": str(math.ceil(wait))} if wait else None
    return JSONResponse({"detail": detail}, status, headers)
