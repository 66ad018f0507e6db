"""An evaluation set for language models from an export: question, answer, and how it was rated.

siteassist export --all -o conversations.jsonl
python evaluation_set.py conversations.jsonl > evaluation.jsonl
"""

import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from siteassist_async import Conversation
from siteassist_async.formats import iter_export


def pairs(conversation: Conversation) -> Iterator[dict[str, object]]:
    """Yield each question that was answered, with the messages before it."""
    messages = conversation.messages
    for number, (question, answer) in enumerate(pairwise(messages)):
        if question.role == "user" and answer.role == "assistant":
            yield {
                "conversation": conversation.id,
                "history": [
                    {"role": message.role, "text": message.text} for message in messages[:number]
                ],
                "question": question.text,
                "answer": answer.text,
                "feedback": answer.feedback,
            }


def main(export: Path) -> None:
    for conversation in iter_export(export, latest=True):
        for pair in pairs(conversation):
            print(json.dumps(pair, ensure_ascii=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
