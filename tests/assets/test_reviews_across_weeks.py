"""Doubts about two records on either side of the night from Sunday to Monday."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time, timedelta

from ingestion_assets.events.deduplication.records import Record
from ingestion_assets.events.deduplication.resolve import resolve
from ingestion_assets.events.deduplication_store import _write_reviews
from resources.postgres.database import Database

SUNDAY = date(2024, 11, 24)
WEEK = SUNDAY - timedelta(days=6)
COMMON = {"zone": "America/Toronto", "city": "Toronto"}
TITLE = "Béatrice Pemberton"
CITY = Record(
    source="open_data_montreal",
    source_id="1",
    title=f"[COMPLET] {TITLE}",
    local_date=SUNDAY,
    lang="fr",
    venue_name="AAuditorium Outaouais-Haddad, Toronto",
    address="5791, rue Rachel Est",
    lat=43.65075,
    lon=-79.41044,
    **COMMON,  # type: ignore[arg-type]
)
CALENDAR = Record(
    source="ics",
    source_id="2",
    title=f"{TITLE} - 1re représentation",
    local_date=SUNDAY + timedelta(days=1),
    local_time=time(0, 0),
    venue_name="Auditorium Outaouais-Haddad",
    **COMMON,  # type: ignore[arg-type]
)


def outcomes(database: Database, *records: Record, week: date = WEEK) -> list[str]:
    """What the review queue of a week says."""
    owned = resolve(list(records), overrides=[]).owned(week, week + timedelta(days=7))
    assert len(owned.review) == 1, "the pair must be a doubt of this week, or this test shows nothing"
    with database.transaction() as connection:
        _write_reviews(connection, week, owned)
        return [row[0] for row in connection.execute("SELECT outcome FROM match_reviews WHERE week = %s", (week,))]


def test_a_doubt_about_a_record_of_the_next_week_is_written_with_the_earlier_one(database: Database) -> None:
    """It ended the run with a KeyError, and the week was never resolved."""
    assert outcomes(database, CITY, CALENDAR) == ["kept apart"]


def test_the_same_doubt_within_a_week_reads_the_same(database: Database) -> None:
    shifted = [replace(record, local_date=record.local_date - timedelta(days=2)) for record in (CITY, CALENDAR)]
    assert outcomes(database, *shifted) == ["kept apart"]
