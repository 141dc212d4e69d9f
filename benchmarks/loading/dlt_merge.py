"""dlt, in a process and an environment of its own: the same file, merged into PostgreSQL by primary key.

Runs where the platform is not installed. The settings are those that favour dlt: `orjson` is there, nested values stay
one column (`max_table_nesting=0`, as our payload does) unless the task says otherwise, no telemetry, no progress.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks._measure import measured
from benchmarks.loading.records import pages


def load(task: dict[str, Any]) -> None:
    """One pass. `task`: url, path, strategy, folder (of dlt's state), nested, file_format."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"

    import dlt
    import dlt.destinations.impl.postgres.postgres

    @dlt.resource(
        name="events",
        primary_key="id",
        write_disposition={"disposition": "merge", "strategy": task["strategy"]},
        max_table_nesting=None if task.get("nested") else 0,
    )
    def events() -> Iterator[list[dict[str, Any]]]:
        yield from pages(task["path"])

    with measured() as cost:
        pipeline = dlt.pipeline(
            "bench",
            pipelines_dir=task["folder"],
            destination=dlt.destinations.postgres(task["url"]),
            dataset_name="bench",
        )
        info = pipeline.run(events(), loader_file_format=task.get("file_format"))
        info.raise_on_failed_jobs()
    rows = pipeline.last_trace.last_normalize_info.row_counts
    cost.report(counts=None, said={name: count for name, count in rows.items() if not name.startswith("_dlt")})


if __name__ == "__main__":
    load(json.loads(sys.argv[1]))
