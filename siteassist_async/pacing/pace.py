"""The pacing decisions: when the next request may start, with the time passed in."""

from __future__ import annotations

import math
import random as random_module
from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.events import GateClosed, PaceEvent, RateChanged, WindowChanged
from siteassist_async.pacing.gate import LONGEST_PAUSE, Backoff, Gate, is_usable, pause_after
from siteassist_async.pacing.hints import HeaderHints
from siteassist_async.pacing.isolation import Isolation
from siteassist_async.pacing.latency import Latency
from siteassist_async.pacing.learner import CREDIT, Learner, restored
from siteassist_async.pacing.pacer import PaceSnapshot, Permit
from siteassist_async.pacing.rate import LearnedRate, Rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from siteassist_async.pacing.hints import RateLimitHint

# Slow start: requests in flight at first; of these so many at once, and then so many a second,
# twice as many after each window's worth of grants, until so many are granted. Small jobs stay
# near full speed, and a refusal, which takes some 25 ms to come back, does not find a whole window
# of requests on their way.
FIRST_WINDOW, FIRST_BURST, FIRST_RATE, SLOW_START = 32, 14, 420.0, 128
# From this many refusals in a row on, one request goes ahead alone; another follows where it has
# had no answer for so many seconds, so that a slow answer never holds up all others.
ALONE, ALONE_FOR = 2, 2.0
# While calls come that somebody waits for, one in so many seconds, bulk work leaves them one in so
# many of the requests that may be in flight.
URGENT_FOR, RESERVED = 10.0, 4
# Of so many requests one is timed: it tells as much, and each costs.
SAMPLED = 4
# So many 429s may turn out to have been their ids' own.
MOST_BLAMED = 8
# Seconds after which a rate that an earlier run learned may be of another time of the API, and
# after which it says nothing.
STALE, FORGOTTEN = 300.0, 86_400.0


@frozen
class _Blamed:
    """The id whose 429 taught the rate, and what was known before it."""

    subject: Hashable
    learner: Learner


class Pace:
    """A gate, a window and a rate; no I/O, no clock, no lock.

    Each permit that `start` gives is followed by exactly one `succeeded`, `throttled` or
    `abandoned`. `random` gives numbers from [0, 1).
    """

    def __init__(
        self,
        *,
        concurrency: int = 64,
        max_rate: float | None = None,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._concurrency = concurrency
        self._random = random
        self._window = concurrency if max_rate else min(concurrency, FIRST_WINDOW)
        self._limit = self._window
        self._in_flight = 0
        self._in_a_row = 0
        # Of those in flight, those that started after the last refusal of everyone; the last start.
        self._since_cut = self._cut_number = self._forgotten = 0
        self._last_start = -math.inf
        self._earliest = -math.inf
        self._urgent_until = -math.inf
        self._gate = Gate()
        self._backoff = Backoff()
        self._learner = Learner(max_rate)
        self._blamed: deque[_Blamed] = deque(maxlen=MOST_BLAMED)
        self._hints = HeaderHints()
        self._isolation = Isolation()
        self._latency = Latency()
        self._started = 0
        self._granted = 0
        self._refused = 0

    @property
    def limit(self) -> int:
        """Requests that may be in flight."""
        return self._limit

    @property
    def opens(self) -> float:
        """The time at which the next request may pass the gate, or might have."""
        return self._gate.probes()

    def adjust(self, *, concurrency: int, max_rate: float | None) -> None:
        """Let the window grow to at least `concurrency`; a `max_rate` replaces the one before."""
        self._concurrency = max(self._concurrency, concurrency)
        if max_rate is not None:
            self._learner.max_rate = max_rate

    def forget_flights(self) -> None:
        """Count nothing as in flight, as in a process that was forked."""
        self._in_flight = self._since_cut = 0
        self._cut_number = self._forgotten = self._started

    def parked_until(self, subject: Hashable) -> float:
        """When an id that was refused may be asked again, as it asked; 0 where it was not."""
        return self._isolation.parked_until(subject) if self._isolation.parked else 0.0

    def was_refused(self, subject: Hashable) -> bool:
        """Whether an id was refused and not answered since."""
        return subject in self._isolation.parked

    def is_telling(self, subject: Hashable) -> bool:
        """Whether another refusal of an id would be its own."""
        return not self._in_a_row and self._isolation.is_telling(subject)

    def start_at(self, now: float, *, bulk: bool = False) -> float:
        """The earliest time for the next start; infinite until a slot is free."""
        limit = self._limit
        if bulk and now < self._urgent_until:
            limit -= limit // RESERVED
        if self._in_a_row >= ALONE:
            if self._since_cut:
                return max(self._from(now), self._last_start + ALONE_FOR)
        elif self._in_flight >= limit:
            return math.inf
        return self._from(now)

    def try_start(self, now: float, subject: Hashable, *, bulk: bool) -> Permit | None:
        """Count a request that starts now, if one may; most do, so this takes no detour."""
        limit = self._limit
        if bulk and now < self._urgent_until:
            limit -= limit // RESERVED
        if now < self._earliest:
            return None
        if self._since_cut if self._in_a_row >= ALONE else self._in_flight >= limit:
            return None
        if self._isolation.parked and self._isolation.parked_until(subject) > now:
            return None
        return self.start(now, subject, bulk=bulk)

    def start(self, now: float, subject: Hashable = None, *, bulk: bool = False) -> Permit:
        """Count a request that starts now; without a subject it is about something of its own."""
        if not bulk:
            self._urgent_until = now + URGENT_FOR
        self._in_flight += 1
        self._since_cut += 1
        self._started += 1
        self._last_start = now
        if now < self._gate.until:
            self._gate.probe(now)
        self._learner.start(now, self._earliest)
        self._plan(now)
        return Permit(now, subject or object(), bulk, self._started)

    def expected_start(self, now: float, ahead: int, *, shared: bool = False) -> float:
        """When a request would start behind `ahead` others, as it looks now.

        `shared` where bulk work waits too, for it has a share of the starts.
        """
        rate = min(self._learner.current or math.inf, self._limit / self._latency.mean)
        if shared:
            rate *= 1 - 1 / RESERVED
        return self._from(now) + ahead / rate

    def latest_start(self, now: float, deadline: float) -> float:
        """When a call must start, so that it is answered by its deadline."""
        # No more than half of the time is kept back: else, once answers took too long, none would
        # ever be sent again to find out that they no longer do.
        return deadline - min(self._latency.high, (deadline - now) / 2)

    def spare(self, left: float) -> float:
        """Seconds to keep back, of those `left` for waiting, for an answer that takes long."""
        return min(self._latency.high, left / 4)

    def succeeded(
        self, permit: Permit, now: float, hint: RateLimitHint | None = None
    ) -> tuple[PaceEvent, ...]:
        """An answer that is no refusal came."""
        number = permit.number
        self._in_flight -= number > self._forgotten
        self._since_cut -= number > self._cut_number
        self._granted += 1
        if number % SAMPLED == 0 or number < FIRST_WINDOW:
            self._latency.add(now - permit.sent)
        is_over = self._isolation.watch and self._isolation.granted(permit)
        counts = self._learner.granted(permit.sent, now)
        if now < self._gate.until and (is_over or counts) and self._gate.open(now):
            self._earliest = now
            self._learner.resume(now)
        events = () if hint is None else self._heed(permit.sent, now, hint)
        if self._window == self._concurrency and not (counts and self._in_a_row):
            return events
        self._window = min(self._concurrency, self._window + 1)
        if counts:
            self._in_a_row = 0
            self._backoff.end(now)
        return (*events, *self._window_change())

    def throttled(
        self,
        permit: Permit,
        now: float,
        retry_after: float | None,
        *,
        limited: bool,
        hint: RateLimitHint | None = None,
    ) -> tuple[bool, tuple[PaceEvent, ...]]:
        """A refusal came: `limited` for a 429, else a 503. Whether it is this subject's alone.

        One that is not everyone's parks its id and changes nothing else. Of everyone's, one to a
        request sent before the last only extends the gate, and a 503 only closes it. Where
        `retry_after` names no time, a header's is taken, or a backoff.
        """
        self._settle(permit)
        self._refused += 1
        if not is_usable(retry_after) and hint is not None:
            retry_after = self._hints.wait(hint)
        verdict = self._isolation.refused(
            permit,
            now,
            now + min(retry_after, LONGEST_PAUSE)
            if retry_after is not None and is_usable(retry_after)
            else now,
            limited=limited,
            started=self._started,
            in_a_row=self._in_a_row,
        )
        if verdict.own and limited and any(one.subject == permit.subject for one in self._blamed):
            return verdict.alone, self._take_back(permit.subject, now)
        if not verdict.general:
            return verdict.alone, ()
        return False, self._close(permit, now, retry_after, limited=limited)

    def abandoned(self, permit: Permit) -> None:
        """A request ended in a way that teaches nothing."""
        self._settle(permit)

    def learned(self, epoch: float) -> LearnedRate | None:
        """What is worth keeping for the next run, at this Unix time; None before the first 429."""
        rate = self._learner.rate
        return None if rate is None else LearnedRate(rate.ceiling, rate.period, epoch)

    def restore(self, learned: LearnedRate, now: float, *, epoch: float) -> tuple[PaceEvent, ...]:
        """Begin at a rate that an earlier run learned, unless this one has learned one.

        One that is older than a few minutes is probed upwards from the first grants on, and one of
        another day is forgotten; `epoch` is the Unix time.
        """
        rate = self._learner.rate
        age = epoch - learned.at
        if rate is not None or not learned.is_usable() or not age < FORGOTTEN:
            return ()
        begun = restored(learned.rate, learned.period, climbing=not -STALE < age < STALE)
        self._learner.restore(begun, now)
        self._window = self._concurrency
        return (*self._rate_change(rate), *self._window_change())

    def snapshot(self, now: float) -> PaceSnapshot:
        """The state for people and progress lines."""
        rate = self._learner.rate
        return PaceSnapshot(
            rate=self._learner.current,
            ceiling=None if rate is None else rate.ceiling,
            gate=self._gate.left(now),
            in_flight=self._in_flight,
            limit=self._limit,
            succeeded=self._granted,
            throttled=self._refused,
            waited=self._gate.waited(now),
            parked=len(self._isolation.parked),
        )

    def _from(self, now: float) -> float:
        """The earliest time by the gate and the rate alone."""
        opens = self._gate.until
        if now >= opens:
            return max(now, self._earliest)
        probe = self._gate.probes()
        return max(now, probe) if probe < opens else max(opens, self._earliest)

    def _plan(self, now: float) -> None:
        rate, credit = self._learner.current, CREDIT
        if rate is None:
            if self._granted >= SLOW_START:
                return
            rate = FIRST_RATE * 2.0 ** (self._granted // FIRST_WINDOW)
            credit = FIRST_BURST / FIRST_RATE
        self._earliest = max(self._earliest, now - credit) + 1 / rate

    def _settle(self, permit: Permit) -> None:
        self._in_flight -= permit.number > self._forgotten
        self._since_cut -= permit.number > self._cut_number

    def _close(
        self, permit: Permit, now: float, retry_after: float | None, *, limited: bool
    ) -> tuple[PaceEvent, ...]:
        """Take a refusal for everyone's."""
        rate = self._learner.rate
        counts = self._learner.refused(permit.sent, now)
        self._in_a_row += counts
        self._hints.refused(permit.sent)
        pause = self._pause(retry_after, now, limited=limited)
        closed = self._gate.close(now, pause, strict=limited)
        if counts and limited:
            self._blamed.append(_Blamed(permit.subject, self._learner.copy()))
            named = is_usable(retry_after)
            at_once = self._in_flight / self._latency.mean if self._granted else 0.0  # Little's law
            until, flying = self._gate.until, (self._in_flight, at_once)
            self._learner.learn(permit.sent, now, until, flying, named=named)
        if counts:
            self._cut(now)
        if counts or closed:
            self._rest(limited=limited)
        gate = GateClosed(pause, asked=is_usable(retry_after))
        return (*_if(gate, when=closed), *self._rate_change(rate), *self._window_change())

    def _cut(self, now: float) -> None:
        """Let what was sent before now count no more."""
        self._learner.cut(now)
        self._since_cut, self._cut_number = 0, self._started

    def _take_back(self, subject: Hashable, now: float) -> tuple[PaceEvent, ...]:
        """Unlearn what was taught by an id that is refused by itself, and since then."""
        before = self._learner.rate
        while (blamed := self._blamed.pop()).subject != subject:
            pass
        blamed.learner.max_rate = self._learner.max_rate  # it may have been set since
        blamed.learner.resume(now)
        self._learner = blamed.learner
        self._cut(now)
        self._earliest = min(self._earliest, now)
        return self._rate_change(before)

    def _heed(self, sent: float, now: float, hint: RateLimitHint) -> tuple[PaceEvent, ...]:
        wait = self._hints.granted(sent, now, hint)
        if not wait or not self._gate.close(now, wait):
            return ()
        self._rest(limited=False)
        return (GateClosed(wait),)

    def _pause(self, retry_after: float | None, now: float, *, limited: bool) -> float:
        if retry_after is None or not is_usable(retry_after):
            return self._backoff.after(now, self._in_a_row, self._random(), limited=limited)
        return pause_after(retry_after, self._in_a_row, self._random())

    def _rest(self, *, limited: bool) -> None:
        until = self._gate.until
        self._learner.rest(until, limited=limited, calm=self._last_start < self._urgent_until)
        # Somewhere in the first interval, so that many clients do not start in step.
        rate = self._learner.current
        self._earliest = until if rate is None else until + self._random() / rate

    def _rate_change(self, before: Rate | None) -> tuple[PaceEvent, ...]:
        after, current = self._learner.rate, self._learner.current
        if after is None or current is None:
            return ()
        return _if(RateChanged(current), when=before is None or before.floor != after.floor)

    def _window_change(self) -> tuple[PaceEvent, ...]:
        before = self._limit
        self._limit = 1 if self._in_a_row >= ALONE else self._window
        return _if(WindowChanged(self._limit), when=self._limit != before)


def _if(event: PaceEvent, *, when: bool) -> tuple[PaceEvent, ...]:
    return (event,) if when else ()
