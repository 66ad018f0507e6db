"""A pacer that several processes share. It pays where each of them has few requests a second.

`python shared_pacer.py 9000` serves permits. `SiteAssist(pacer=SharedPacer("127.0.0.1", 9000))`
asks for them, and so does `Project(…, pacer=shared)` on each worker of Dask. Whoever reaches the
port may use up the limit: bind it to a network of your own. It is not encrypted, and carries no
token.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from siteassist_async import ConnectionFailedError
from siteassist_async.pacing import Pace, Pacer, Permit, RateLimitHint, Start, StartTooLateError

LEASE = 60.0  # seconds after which a request is given up that nothing was heard of
LATER = 0.02  # seconds to ask again in, while too many requests are in flight


class Permits:
    """The decisions: one `Pace` for all. A permit is a lease, because its process may hang."""

    def __init__(self, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        self.pace = pace
        self.clock = clock
        self.leases: dict[int, Permit] = {}

    def start(self, subject: str) -> Permit | float:
        """Return a permit, or the seconds to wait before asking again."""
        now = self.clock()
        for permit in [one for one in self.leases.values() if one.sent < now - LEASE]:
            self.give_up(permit.number)
        at = self.pace.start_at(now, bulk=True)
        if at > now:
            return min(at - now, 1.0) if at < float("inf") else LATER
        permit = self.pace.start(now, subject, bulk=True)
        self.leases[permit.number] = permit
        return permit

    def succeeded(self, number: int) -> None:
        if permit := self.leases.pop(number, None):
            self.pace.succeeded(permit, self.clock())

    def throttled(self, number: int, retry_after: float | None, *, limited: bool) -> None:
        if permit := self.leases.pop(number, None):
            self.pace.throttled(permit, self.clock(), retry_after, limited=limited)

    def give_up(self, number: int) -> None:
        if permit := self.leases.pop(number, None):
            self.pace.abandoned(permit)


async def serve(permits: Permits, port: int, host: str = "127.0.0.1") -> asyncio.Server:
    """Serve permits; those of a process whose connection ends are given up at once."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held: set[int] = set()
        with suppress(ConnectionError, ValueError):
            while line := await reader.readline():
                match json.loads(line):
                    case ["start", str(subject)]:
                        found = permits.start(subject)
                        if isinstance(found, Permit):
                            held.add(found.number)
                            found = found.number  # an int; seconds are a float
                        writer.write(json.dumps(found).encode() + b"\n")
                    case ["succeeded", int(number)] if number in held:
                        permits.succeeded(number)
                    case ["throttled", int(number), retry_after, limited] if number in held:
                        permits.throttled(number, retry_after, limited=bool(limited))
                    case ["abandoned", int(number)] if number in held:
                        permits.give_up(number)
                    case _:
                        break
        for number in held:
            permits.give_up(number)
        writer.close()

    return await asyncio.start_server(handle, host, port)


class SharedPacer(Pacer):
    """Asks for a permit before each request: a round trip of a millisecond or two.

    An ID that the API throttles by itself is not told from a limit that is reached.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self._address = host, port
        self._asking = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def acquire(self, start: Start) -> Permit:
        await start.slots.acquire()
        try:
            while True:
                found = await self._ask("start", str(start.subject))
                now = time.monotonic()
                if isinstance(found, int):
                    return Permit(now, start.subject, start.bulk, found, self)
                if now + found > start.latest:
                    raise StartTooLateError(found)  # noqa: TRY301 - the slot is released below
                await asyncio.sleep(found)
        except BaseException:
            start.slots.release()
            raise

    def succeeded(self, permit: Permit, hint: RateLimitHint | None) -> None:
        self._tell("succeeded", permit.number)

    def throttled(
        self,
        permit: Permit,
        retry_after: float | None,
        *,
        limited: bool,
        hint: RateLimitHint | None,
    ) -> bool:
        self._tell("throttled", permit.number, retry_after, limited)
        return False

    def abandoned(self, permit: Permit) -> None:
        self._tell("abandoned", permit.number)

    async def _ask(self, *message: object) -> int | float:
        async with self._asking:
            try:
                if self._streams is None:
                    self._streams = await asyncio.open_connection(*self._address)
                self._tell(*message)
                answer: int | float = json.loads(await self._streams[0].readline())
            except (OSError, ValueError) as error:
                self.close()
                # As if the API were down: bulk work waits until the server is back.
                raise ConnectionFailedError("no permit from the shared pacer") from error
            except BaseException:
                self.close()  # its answer is not to be taken for that of the next question
                raise
            return answer

    def _tell(self, *message: object) -> None:
        if self._streams is not None:
            self._streams[1].write(json.dumps(message).encode() + b"\n")

    def close(self) -> None:
        """Close the connection: what is in flight is given up, the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def shared() -> Pacer:
    """As `Project(…, pacer=shared)`; each worker calls it once."""
    return SharedPacer("127.0.0.1", 9000)


async def main(port: int) -> None:
    async with await serve(Permits(Pace()), port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
