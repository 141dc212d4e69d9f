"""`ingest dedup learn`, `adopt` and `statistics`: what a corpus teaches is used when a person says so, and not before."""

from __future__ import annotations

import random

import pytest

from ingestion_assets.events.corpus_statistics import FEWEST, adopted
from ingestion_assets.events.deduplication.statistics import default_statistics
from ingestion_assets.events.deduplication_store import dirty_weeks, versions
from resources.postgres.database import Database
from tests.assets.parallel import Calendar, Town
from tests.cli.command import Command


@pytest.fixture
def town(database: Database) -> tuple[Town, Calendar]:
    """Weeks of records that are resolved; one source stores its evenings five hours late."""
    calendar, town = Calendar(random.Random(7)), Town(database)
    calendar.add(FEWEST)
    town.store(calendar)
    town.resolve(calendar.weeks)
    return town, calendar


def dirty(database: Database) -> int:
    with database.transaction() as connection:
        return len(dirty_weeks(connection, versions=versions(adopted(connection))))


def in_use(database: Database) -> str:
    with database.transaction() as connection:
        return adopted(connection).version


def test_too_few_records_teach_nothing(ingest: Command) -> None:
    done = ingest("dedup", "learn")
    assert done.status == 1
    assert "0 dated records are stored" in done.err


def test_what_is_learned_is_used_once_it_is_adopted(
    ingest: Command, database: Database, town: tuple[Town, Calendar]
) -> None:
    learned = ingest("dedup", "learn", "--json").report
    assert learned["sources_with_shifted_clocks"] == {"added": 1, "gone": 0, "changed": 0, "examples": ["shifted"]}
    assert (learned["new"], learned["adopted"], learned["records"]) == (True, False, learned["records"])
    assert learned["records"] >= FEWEST
    assert (in_use(database), dirty(database)) == (default_statistics().version, 0)

    again = ingest("dedup", "learn", "--json").report
    assert (again["new"], again["version"]) == (False, learned["version"])

    done = ingest("dedup", "adopt", learned["version"], "--who", "ada")
    calendar = town[1]
    assert f"{len(calendar.weeks)} weeks are resolved anew" in done.out
    assert (in_use(database), dirty(database)) == (learned["version"], len(calendar.weeks))
    town[0].resolve(calendar.weeks)
    assert dirty(database) == 0

    [kept] = ingest("dedup", "statistics", "--json").report["snapshots"]
    assert (kept["version"], kept["adopted_by"]) == (learned["version"], "ada")
    assert learned["version"] in ingest("dedup", "statistics").out

    ingest("dedup", "adopt", "shipped", "--who", "ada")
    assert in_use(database) == default_statistics().version
    assert dirty(database) == len(calendar.weeks)


def test_a_version_that_nobody_learned_is_refused(ingest: Command, database: Database) -> None:
    done = ingest("dedup", "adopt", "0123456789ab", "--who", "ada")
    assert done.status == 1
    assert "no snapshot has the version '0123456789ab'; there are: shipped" in done.err
    assert in_use(database) == default_statistics().version


def test_who_adopts_must_be_said(ingest: Command) -> None:
    done = ingest("dedup", "learn", "--adopt")
    assert done.status == 2
    assert "--who" in done.err


@pytest.mark.usefixtures("town")
def test_learning_and_adopting_in_one_go_shows_what_changes(ingest: Command, database: Database) -> None:
    done = ingest("dedup", "learn", "--adopt", "--who", "ada")
    assert "sources with shifted clocks" in done.out
    assert "shifted" in done.out
    assert in_use(database) != default_statistics().version
