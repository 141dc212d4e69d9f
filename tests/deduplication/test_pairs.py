"""Hand-labelled pairs in French and English: realistic listings, each pair resolved alone with what is shipped."""

import csv
from datetime import date, time
from pathlib import Path

import pytest

from ingestion_assets.events.deduplication.records import Record
from ingestion_assets.events.deduplication.resolve import resolve

PAIRS = list(csv.DictReader(Path(__file__).with_name("pairs.csv").open(encoding="utf-8")))


def record(row: dict[str, str], side: str) -> Record:
    day, _, clock = row[f"start_{side}"].partition("T")
    return Record(
        source=f"source_{side}",
        source_id="1",
        title=row[f"title_{side}"],
        local_date=date.fromisoformat(day),
        local_time=time.fromisoformat(clock) if clock else None,
        zone="America/Toronto",
        venue_name=row[f"venue_{side}"] or None,
        city="Montréal",
    )


def joined(row: dict[str, str]) -> bool:
    return len(resolve([record(row, "a"), record(row, "b")]).clusters) == 1


@pytest.fixture(scope="module")
def outcomes() -> list[tuple[dict[str, str], bool]]:
    return [(row, joined(row)) for row in PAIRS]


def test_there_are_enough_pairs_of_both_sorts():
    assert sum(row["same"] == "1" for row in PAIRS) >= 75
    assert sum(row["same"] == "0" for row in PAIRS) >= 75


def test_what_is_joined_is_one_event(outcomes):
    wrong = [
        f"{row['kind']}: {row['title_a']} / {row['title_b']}" for row, one in outcomes if one and row["same"] == "0"
    ]
    assert len(wrong) <= 2, wrong


def test_most_pairs_that_are_one_event_are_joined(outcomes):
    missed = [
        f"{row['kind']}: {row['title_a']} / {row['title_b']}" for row, one in outcomes if not one and row["same"] == "1"
    ]
    wanted = sum(row["same"] == "1" for row in PAIRS)
    assert len(missed) <= 0.04 * wanted, missed


def test_showings_on_two_dates_are_never_joined(outcomes):
    assert not [row["title_a"] for row, one in outcomes if one and row["kind"] == "other date"]
