"""Full speed against a limit that nobody tells: a gate, a window and a learned rate."""

from __future__ import annotations

from siteassist_async.pacing.events import GateClosed, PaceEvent, RateChanged, WindowChanged
from siteassist_async.pacing.hints import RateLimitHint
from siteassist_async.pacing.learned import LearnedRate
from siteassist_async.pacing.pace import Pace, PaceSnapshot
from siteassist_async.pacing.pacer import AdaptivePacer, Pacer
from siteassist_async.pacing.permit import Permit
from siteassist_async.pacing.queue import StartTooLateError, Waiter, WaitQueue
from siteassist_async.pacing.registry import pacer_for

__all__ = [
    "AdaptivePacer",
    "GateClosed",
    "LearnedRate",
    "Pace",
    "PaceEvent",
    "PaceSnapshot",
    "Pacer",
    "Permit",
    "RateChanged",
    "RateLimitHint",
    "StartTooLateError",
    "WaitQueue",
    "Waiter",
    "WindowChanged",
    "pacer_for",
]
