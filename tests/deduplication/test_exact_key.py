"""A plain repeat is one event, whatever weights were fitted."""

from __future__ import annotations

from datetime import date, time
from typing import Any

from ingestion_assets.events.deduplication.records import Record
from ingestion_assets.events.deduplication.resolve import resolve

SHARED = {
    "title": "Heure du conte : Les ours polaires",
    "local_date": date(2026, 12, 12),
    "venue_name": "Bibliothèque Mordecai-Richler",
    "city": "Montréal",
}


def record(source: str, source_id: str, **changes: Any) -> Record:
    return Record(source=source, source_id=source_id, **{**SHARED, **changes})


def clusters(*records: Record) -> list[set[str]]:
    return sorted(({key.source_id for key in cluster.members} for cluster in resolve(records).clusters), key=sorted)


def test_two_sources_with_one_title_day_and_venue_list_one_event() -> None:
    assert clusters(
        record("ics", "a", title="HEURE DU CONTE : LES OURS POLAIRES", local_time=time(10, 30), organizer="La ville"),
        record("open_data_montreal", "b", organizer="Ville de Montréal – Le Plateau", url="https://example.org/b"),
    ) == [{"a", "b"}]


def test_another_day_or_another_hour_is_another_event() -> None:
    assert clusters(record("ics", "a"), record("meetup", "b", local_date=date(2026, 12, 13))) == [{"a"}, {"b"}]
    assert clusters(record("ics", "a", local_time=time(14)), record("meetup", "b", local_time=time(20))) == [
        {"a"},
        {"b"},
    ]


def test_a_source_that_lists_the_key_twice_knows_of_two_showings() -> None:
    found = clusters(
        record("ics", "matinee", local_time=time(14)),
        record("ics", "evening", local_time=time(20)),
        record("meetup", "other", local_time=time(20)),
    )
    assert {"matinee"} in found
