"""Metadata that people look at: counts that plot, small tables, column schemas. Same names on every asset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from ingestion_assets.counts import Counts
from resources.postgres.database import Database


def counts_metadata(counts: Counts) -> dict[str, int]:
    """The five counts under the names that every asset uses."""
    return {
        "fetched": counts.fetched,
        "created": counts.created,
        "updated": counts.updated,
        "skipped": counts.skipped,
        "errors": counts.errors,
    }


def run_counts(counts: Counts) -> dict[str, int]:
    """The counts of a whole run, and in front of them the keys that each partition replaces by its own.

    Dagster shows metadata in the order of the run's keys; without these the figures of the partition would come last.
    """
    own = counts_metadata(counts)
    return {**own, **{f"run_{name}": value for name, value in own.items()}}


def table(rows: Sequence[Mapping[str, Any]]) -> dg.MetadataValue[Any]:
    """A table of text and numbers. Its cells are shown as text, whatever they hold."""
    if not rows:
        return dg.MetadataValue.text("none")
    records = [
        dg.TableRecord({key: value if isinstance(value, int | float) else str(value) for key, value in row.items()})
        for row in rows
    ]
    numeric = {key for key, value in rows[0].items() if isinstance(value, int | float)}
    return dg.MetadataValue.table(
        records=records,
        schema=dg.TableSchema(
            columns=[dg.TableColumn(name=key, type="number" if key in numeric else "string") for key in rows[0]]
        ),
    )


def rejected_preview(database: Database, job_id: int, *, limit: int = 10) -> list[dict[str, Any]]:
    """The first rejected records of a job, with what was wrong with each."""
    return database.fetch_all(
        "SELECT reason, coalesce(source_id, '') AS source_id, left(detail, 200) AS detail,"
        " left(payload::text, 120) AS payload FROM rejected_records WHERE job_id = %(job)s ORDER BY id LIMIT %(limit)s",
        {"job": job_id, "limit": limit},
    )


_SCHEMAS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "raw_events": (
        ("source", "text", "Name of the source"),
        ("source_id", "text", "Id within the source; occurrences and types are part of it"),
        ("week", "date", "Partition: Monday of the local start date, empty until dated"),
        ("local_date", "date", "Local start date"),
        ("start_local", "timestamp", "Wall clock at the venue, empty when only the day is known"),
        ("start_at", "timestamptz", "The instant"),
        ("timezone", "text", "IANA zone"),
        ("precision", "text", "datetime, date or tba"),
        ("status", "text", "scheduled, tentative, rescheduled, postponed or cancelled"),
        ("title", "text", "Title"),
        ("event", "jsonb", "The normalised event"),
        ("payload", "jsonb", "The record as the source gave it"),
        ("withdrawn_at", "timestamptz", "When the source stopped listing it"),
    ),
    "deduplicated_events": (
        ("event_id", "text", "Opaque, stable, never reused"),
        ("week", "date", "Partition: Monday of the local start date"),
        ("title", "text", "Title that survived"),
        ("start_at", "timestamptz", "The instant, empty when only the day is known"),
        ("venue_name", "text", "Venue that survived"),
        ("nb_sources", "integer", "Distinct sources that list the event"),
        ("provenance", "jsonb", "For each field, the record that it came from"),
        ("replaced_by", "text", "The event it was merged into"),
        ("split_from", "text", "The event it was part of"),
        ("withdrawn_at", "timestamptz", "When its last source stopped listing it"),
    ),
    "tag_enrichments": (
        ("event_id", "text", "Deduplicated event"),
        ("status", "text", "pending, done or error"),
        ("type", "text", "One of the taxonomy"),
        ("genres", "text[]", "Of the taxonomy"),
        ("ambiance", "text[]", "Of the taxonomy"),
        ("audience", "text[]", "Of the taxonomy"),
        ("provider", "text", "Who answered"),
        ("model", "text", "Which model, or which rules"),
        ("explanation", "jsonb", "Which rule or term gave each tag"),
        ("not_before", "timestamptz", "When a pending event is tried again"),
    ),
}


def table_schema(name: str) -> dg.TableSchema:
    """The columns of a table that readers use, with what they mean."""
    return dg.TableSchema(
        columns=[dg.TableColumn(name=column, type=kind, description=text) for column, kind, text in _SCHEMAS[name]]
    )
