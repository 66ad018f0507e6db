"""Threads that decode at once."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from threading import Barrier
from typing import Any

import pytest
from contract_bodies import wire, wire_message, without

from siteassist_async.codec import decode_conversation, decode_messages, decode_summaries

THREADS = 6


def decode_in_threads() -> None:
    """Decode bodies with unknown fields in threads that begin at the same time."""
    sys.setswitchinterval(1e-6)
    message = wire_message(new=1, parts=[{"type": "text", "text": "Hi"}, {"type": "x", "y": 1}])
    listed: dict[str, Any] = {**without(wire(), "messages"), "lastMessage": message}
    conversation = json.dumps(wire(messages=[message] * 9)).encode()
    summaries = json.dumps({"total": 9, "offset": 0, "data": [listed] * 9}).encode()
    messages = json.dumps({"data": [message] * 9}).encode()
    all_at_once = Barrier(THREADS)

    def decode(_: int) -> None:
        all_at_once.wait()
        for _ in range(9):
            assert len(decode_conversation(conversation).messages) == 9
            assert len(decode_summaries(summaries).data) == 9
            assert len(decode_messages(messages, message["chatId"])) == 9

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(decode, range(THREADS)))


@pytest.mark.parametrize("process", range(3))
def test_the_first_bodies_may_be_decoded_by_threads(process: int) -> None:
    """As large ones are. Without a lock, msgspec crashes: every second process of these."""
    child = get_context("spawn").Process(target=decode_in_threads, name=f"decoding {process}")
    child.start()
    child.join(60)
    assert child.exitcode == 0
