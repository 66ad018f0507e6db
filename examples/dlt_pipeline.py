"""dlt: load an export into any destination, again and again; changed conversations are merged.

siteassist export --all -o conversations.jsonl && python dlt_pipeline.py conversations.jsonl
"""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from siteassist_async.formats import iter_export


def conversations(export: Path) -> Iterator[dict[str, object]]:
    for conversation in iter_export(export, latest=True):
        yield conversation.to_dict()


def main(export: Path) -> None:
    dlt: Any = import_module("dlt")  # here, so that the function above needs no dlt

    pipeline = dlt.pipeline("siteassist", destination="duckdb", dataset_name="exported")
    rows = dlt.resource(
        conversations(export),
        name="conversations",
        primary_key="id",
        write_disposition="merge",
    )
    print(pipeline.run(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
