"""dlt's rest_api source, in a process and an environment of its own: the same lists, merged by primary key.

Runs where the platform is not installed. As in `benchmarks/loading/dlt_merge.py`, the settings are the defaults or
those that favour dlt.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from benchmarks._measure import measured


def pull(task: dict[str, Any]) -> None:
    """One pass. `task`: url, folder (of the state), base_url, token, lists, parameters, strategy, nested, file_format."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"

    import dlt
    import dlt._workspace.cli  # what it would import in its run
    import dlt.destinations.impl.postgres.postgres
    import pluggy  # noqa: F401
    from dlt.sources.rest_api import rest_api_source

    with measured() as cost:
        source = rest_api_source(
            {
                "client": {
                    "base_url": task["base_url"],
                    "auth": {"type": "bearer", "token": task["token"]},
                    "paginator": {
                        "type": "cursor",
                        "cursor_path": "pagination.continuation",
                        "cursor_param": "continuation",
                    },
                },
                "resource_defaults": {
                    "primary_key": "id",
                    "table_name": "events",
                    "write_disposition": {"disposition": "merge", "strategy": task["strategy"]},
                    "endpoint": {"params": task["parameters"], "data_selector": "events"},
                },
                "resources": [
                    {"name": f"organizer_{key}", "endpoint": {"path": f"organizers/{key}/events/"}}
                    for key in task["lists"]
                ],
            },
            max_table_nesting=None if task.get("nested") else 0,
        )
        pipeline = dlt.pipeline(
            "bench",
            pipelines_dir=task["folder"],
            destination=dlt.destinations.postgres(task["url"]),
            dataset_name="bench",
        )
        pipeline.run(source, loader_file_format=task.get("file_format")).raise_on_failed_jobs()
    cost.report(counts=None)


if __name__ == "__main__":
    pull(json.loads(sys.argv[1]))
