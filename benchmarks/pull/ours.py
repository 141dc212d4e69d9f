"""Ours, in a process of its own: `EventbriteSource` over `OutboundClient` into our tables, as the asset does it."""

from __future__ import annotations

import json
import sys
from datetime import date, timedelta
from typing import Any

from benchmarks._measure import measured
from benchmarks.pull.service import WINDOW


def pull(task: dict[str, Any]) -> None:
    """One pass. `task`: url of the database, run (its name). The environment names the service."""
    # What a run has imported before its step begins, and what its first request imports: a peer's imports are not
    # counted either.
    import httpx  # noqa: F401
    import idna  # noqa: F401
    import psycopg  # noqa: F401
    import selectolax.lexbor  # noqa: F401

    import resources.http.retry
    import resources.http.wire  # noqa: F401
    from ingestion_assets.events.loading import load_pages
    from ingestion_assets.events.model import FetchWindow
    from ingestion_assets.events.sources.eventbrite import EventbriteSettings, EventbriteSource
    from ingestion_assets.ledger.import_jobs import ImportJob
    from resources.http import OutboundClient
    from resources.postgres.database import Database

    first, end = map(date.fromisoformat, WINDOW)
    with measured() as cost:
        source = EventbriteSource(EventbriteSettings())
        with (
            ImportJob(Database(task["url"]), source=source.name, run_id=task["run"]) as job,
            OutboundClient(source.policy) as client,
        ):
            result = load_pages(
                source.fetch(FetchWindow(first, end, "America/Toronto"), client),
                job,
                volatile_paths=source.volatile_paths,
                record_version=source.record_version,
                weeks=(first, end - timedelta(days=7)),
                today=first,
            )
    counts = result.counts
    cost.report(
        counts={"created": counts.created, "updated": counts.updated, "skipped": counts.skipped},
        requests=client.stats.requests,
    )


if __name__ == "__main__":
    pull(json.loads(sys.argv[1]))
