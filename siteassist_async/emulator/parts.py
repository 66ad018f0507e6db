"""The parts of a message, in the forms of the Vercel AI SDK that the service's widget renders."""

from __future__ import annotations

from siteassist_async.emulator import phrases

__all__ = ["of_assistant", "of_user"]


def of_user(choice: int, kind: int) -> list[dict[str, object]]:
    """A question, and with one message in 32 a picture."""
    text: dict[str, object] = {"type": "text", "text": phrases.QUESTIONS[choice & 31]}
    if kind < 8:
        return [text, _file(choice)]
    return [text]


def of_assistant(choice: int, detail: int, kind: int) -> list[dict[str, object]]:
    """An answer, and with one message in five what the model thought, looked up or showed."""
    answer = phrases.ANSWERS[choice & 31] + phrases.DETAILS[detail & 15]
    text: dict[str, object] = {"type": "text", "text": answer}
    if kind >= 52:
        return [text]
    if kind < 16:
        return [_STEP_START, _reasoning(choice), text]
    if kind < 34:
        return [text, _source_url(choice), _source_url(choice + 1)]
    if kind < 46:
        return [_STEP_START, _tool(choice), _STEP_START, text]
    return [text, _data(detail)]


_STEP_START: dict[str, object] = {"type": "step-start"}


def _reasoning(choice: int) -> dict[str, object]:
    question = phrases.QUESTIONS[choice & 31]
    return {"type": "reasoning", "text": f"The visitor asks: {question!r}", "state": "done"}


def _source_url(choice: int) -> dict[str, object]:
    url, title = phrases.SOURCES[choice & 3]
    return {"type": "source-url", "sourceId": f"src_{choice}", "url": url, "title": title}


def _tool(choice: int) -> dict[str, object]:
    url, title = phrases.SOURCES[choice & 3]
    return {
        "type": "tool-searchDocs",
        "toolCallId": f"call_{choice:03d}",
        "state": "output-available",
        "input": {"query": phrases.QUESTIONS[choice & 31], "limit": 3},
        "output": {"results": [{"score": 0.5 + choice / 512, "title": title, "url": url}]},
    }


def _data(choice: int) -> dict[str, object]:
    order = {"number": 10_482 + choice, "total": 19.9, "shipped": choice % 2 == 0, "note": None}
    return {"type": "data-order", "id": f"order-{choice}", "data": order}


def _file(choice: int) -> dict[str, object]:
    name = f"screenshot-{choice}.png"
    return {
        "type": "file",
        "mediaType": "image/png",
        "filename": name,
        "url": f"https://example.com/uploads/{name}",
    }
