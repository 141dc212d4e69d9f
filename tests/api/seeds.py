"""Events in the tables, as deduplication and tagging leave them."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from ingestion_assets.events.model import week_of
from resources.postgres.database import Database

ZONE = "America/Toronto"


def add_event(
    database: Database,
    event_id: str,
    *,
    day: date,
    at: time | None = time(20),
    title: str = "Concert",
    city: str | None = "Montréal",
    sources: tuple[str, ...] = ("ics",),
    tags: dict[str, Any] | None = None,
    replaced_by: str | None = None,
    withdrawn: bool = False,
    **event: Any,
) -> None:
    local = datetime.combine(day, at) if at else None
    start = local.replace(tzinfo=ZoneInfo(ZONE)) if local else None
    body = {"source_id": event_id, "title": title, "status": "scheduled", **event}
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO deduplicated_events (event_id, week, local_date, start_local, start_at, timezone, precision,"
            " status, title, venue_name, city, event, provenance, nb_sources, nb_records, content_hash, replaced_by,"
            " withdrawn_at, first_job, last_change_job) VALUES (%s, %s, %s, %s, %s, %s, %s, 'scheduled', %s, %s, %s, %s,"
            " '{}', %s, %s, %s, %s, %s, 1, 1)",
            (
                *(event_id, week_of(day), day, local, start, ZONE, "datetime" if at else "date", title),
                *((event.get("venue") or {}).get("name"), city, Jsonb(body), len(sources), len(sources), b"0" * 16),
                *(replaced_by, datetime.now(ZoneInfo(ZONE)) if withdrawn else None),
            ),
        )
        for source in sources:
            connection.execute(
                "INSERT INTO raw_events (source, source_id, content_hash, record_version, week, local_date, precision,"
                " status, title, event, payload, first_job, last_change_job)"
                " VALUES (%s, %s, %s, 1, %s, %s, 'date', 'scheduled', %s, '{}', '{}', 1, 1)",
                (source, event_id, b"0" * 16, week_of(day), day, title),
            )
            connection.execute(
                "INSERT INTO event_links (source, source_id, event_id, score, reasons) VALUES (%s, %s, %s, 1, '[]')",
                (source, event_id, event_id),
            )
        if tags:
            connection.execute(
                "INSERT INTO tag_enrichments (event_id, week, status, input_hash, prompt_version, taxonomy_version, type,"
                " genres, ambiance, audience, first_job, last_change_job)"
                " VALUES (%s, %s, 'done', 'x', '1', '1', %s, %s, %s, %s, 1, 1)",
                (
                    *(event_id, week_of(day), tags["type"], tags.get("genres", []), tags.get("ambiance", [])),
                    tags.get("audience", []),
                ),
            )


def days(first: date, count: int) -> list[date]:
    return [first + timedelta(days=n) for n in range(count)]


def add_many(database: Database, count: int, *, day: date) -> None:
    """So many events of one day, without sources or tags, at a stroke."""
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO deduplicated_events (event_id, week, local_date, start_local, start_at, timezone, precision,"
            " status, title, event, provenance, nb_sources, nb_records, content_hash, first_job, last_change_job)"
            " SELECT 'many-' || n, %(week)s, %(day)s, %(day)s::date + n * interval '1 second', now(), %(zone)s, 'datetime',"
            " 'scheduled', 'Concert ' || n, '{}', '{}', 1, 1, %(hash)s, 1, 1 FROM generate_series(1, %(count)s) AS n",
            {"week": week_of(day), "day": day, "zone": ZONE, "hash": b"0" * 16, "count": count},
        )
