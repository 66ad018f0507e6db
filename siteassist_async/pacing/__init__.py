"""Pacing: run as fast as an undocumented rate limit allows."""

from __future__ import annotations

from siteassist_async.pacing.adaptive import AdaptivePacer, pacer_for
from siteassist_async.pacing.hints import RateLimitHint
from siteassist_async.pacing.pace import Pace
from siteassist_async.pacing.pacer import Pacer, PaceSnapshot, Permit, Start, StartTooLateError
from siteassist_async.pacing.queue import Waiter, WaitQueue
from siteassist_async.pacing.rate import LearnedRate

__all__ = [
    "AdaptivePacer",
    "LearnedRate",
    "Pace",
    "PaceSnapshot",
    "Pacer",
    "Permit",
    "RateLimitHint",
    "Start",
    "StartTooLateError",
    "WaitQueue",
    "Waiter",
    "pacer_for",
]
