"""Ray Data: fetch the conversations of a data set of IDs.

    ds = ray.data.read_csv("ids.csv").map_batches(Fetch, concurrency=2, batch_size=500)
    ds.write_parquet("conversations")

A batch that fails is fetched again from its beginning. With `concurrency=2`, give each client half
of the rate limit: `SiteAssist(max_rate=100)`.
"""

import asyncio
from collections.abc import Iterable

from siteassist_async import Failed, Fetched, SiteAssist


class Fetch:
    """One for each actor: its client keeps its connections and what it learns of the limit."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.client = SiteAssist()  # reads $SITEASSIST_TOKEN, which each machine needs

    def __call__(self, batch: dict[str, Iterable[object]]) -> dict[str, list[str | None]]:
        return self.runner.run(self.fetch([str(one) for one in batch["id"]]))

    async def fetch(self, ids: list[str]) -> dict[str, list[str | None]]:
        found: dict[str, list[str | None]] = {"id": [], "record": [], "error": []}
        async for outcome in self.client.conversations.get_many(ids):
            found["id"].append(outcome.id)
            match outcome:
                case Fetched(conversation=conversation):
                    found["record"].append(conversation.to_json().decode())
                    found["error"].append(None)
                case Failed(error=error):
                    found["record"].append(None)
                    found["error"].append(str(error))
        return found
