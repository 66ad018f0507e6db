"""PySpark: fetch the conversations of a DataFrame of IDs.

    ids = spark.read.csv("ids.csv", header=True).repartition(2)
    ids.mapInPandas(fetch, SCHEMA).write.parquet("conversations")

A task that fails is fetched again from its beginning. As many tasks run at once as there are
partitions and cores: give each client its part of the rate limit, as `SiteAssist(max_rate=100)`.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

from siteassist_async import Failed, Fetched, SiteAssist

SCHEMA = "id string, record string, error string"


def fetch(batches: Iterator[Any]) -> Iterator[Any]:
    """Fetch the DataFrames that one task is given; its client lives as long."""
    with asyncio.Runner() as runner:
        client = SiteAssist()  # reads $SITEASSIST_TOKEN, which each machine needs
        for batch in batches:
            rows = runner.run(fetch_all(client, [str(one) for one in batch["id"]]))
            yield type(batch)(rows, columns=["id", "record", "error"])
        runner.run(client.close())


async def fetch_all(client: SiteAssist, ids: list[str]) -> list[tuple[str, str | None, str | None]]:
    rows: list[tuple[str, str | None, str | None]] = []
    async for outcome in client.conversations.get_many(ids):
        match outcome:
            case Fetched(id=id, conversation=conversation):
                rows.append((id, conversation.to_json().decode(), None))
            case Failed(id=id, error=error):
                rows.append((id, None, str(error)))
    return rows
