"""Ours, in a process of its own: records of a file through `ImportJob` and `load_pages` into our tables.

With `parser`, the Eventbrite parser makes the events: prices, venues, clean text, warnings, rejection of bad records.
Without, they are given what every table row needs (id, title, start), as a peer is told its primary key: that is the
load path alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from benchmarks._eventbrite import WINDOW
from benchmarks._measure import measured
from benchmarks.loading.records import pages


def load(task: dict[str, Any]) -> None:
    """One pass. `task`: url, path, run (its name), parser."""
    # What a run has imported before its step begins.
    import psycopg  # noqa: F401

    from ingestion_assets.events.loading import load_pages
    from ingestion_assets.events.model import Event, FetchWindow, Json, Moment, Page
    from ingestion_assets.events.sources.eventbrite import EventbriteSource
    from ingestion_assets.events.sources.eventbrite_records import read_event
    from ingestion_assets.events.sources.fields import LeftOut, PageReader
    from ingestion_assets.ledger.import_jobs import ImportJob
    from resources.postgres.database import Database

    first, end = map(date.fromisoformat, WINDOW)
    window = FetchWindow(first, end, "America/Toronto")

    def read(record: dict[str, Json]) -> Event | LeftOut:
        return read_event(record, default_zone=window.zone)

    def bare(record: dict[str, Json]) -> Event:
        start = record["start"]
        local = datetime.fromisoformat(start["local"])
        moment = Moment(local.date(), local.time(), start["timezone"])
        return Event(source_id=record["id"], title=record["name"]["text"], payload=record, start=moment)

    def made() -> Iterator[Page]:
        for records in pages(task["path"]):
            if not task["parser"]:
                yield Page(records=[bare(record) for record in records])
                continue
            reader = PageReader(window)
            for record in records:
                reader.add(record, read)
            yield reader.page()

    with measured() as cost, ImportJob(Database(task["url"]), source="eventbrite", run_id=task["run"]) as job:
        result = load_pages(
            made(),
            job,
            volatile_paths=EventbriteSource.volatile_paths,
            record_version=EventbriteSource.record_version,
            weeks=(first, end - timedelta(days=7)),
            today=first,
        )
    counts = result.counts
    cost.report(
        counts={"created": counts.created, "updated": counts.updated, "skipped": counts.skipped},
        errors=counts.errors,
    )


if __name__ == "__main__":
    load(json.loads(sys.argv[1]))
