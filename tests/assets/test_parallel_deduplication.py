"""Several resolutions at once: whatever the order in which they meet, the result is that of one after the other."""

from __future__ import annotations

import random
import re
import threading
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.events import deduplicated_events as asset
from ingestion_assets.events import deduplication_locks
from ingestion_assets.events.checks import _EVENT_RULES, evaluate
from ingestion_assets.ledger.import_jobs import ImportJob
from resources.errors import TransientError
from resources.postgres.database import Database
from tests.assets.parallel import FIRST, Calendar, Listing, Town, dawdling

QUICK = range(6)
LONG = range(6, 72)


def several_at_once(database: Database, seed: int) -> None:
    """Two rounds of changes, resolved by runs of neighbouring weeks at once; then a third while imports go on."""
    chance = random.Random(seed)
    calendar, town = Calendar(chance), Town(database)
    calendar.add(24)
    with dawdling(chance):
        for _ in range(2):
            town.store(calendar)
            town.at_once([partial(town.resolve, weeks) for weeks in calendar.ranges()])
            town.assert_sound()
            calendar.change(10)
            calendar.add(3)

        def keep_importing() -> None:
            for _ in range(2):
                town.store(calendar)
                calendar.change(5)

        town.at_once([keep_importing, *(partial(town.resolve, weeks) for weeks in calendar.ranges())])
    # What an import changed behind a resolution's back is dirty, and found by the next run.
    town.resolve(calendar.weeks)
    town.resolve(calendar.weeks)
    town.assert_sound()
    before, events = town.ids(), database.fetch_all("SELECT event_id, xmin::text FROM deduplicated_events ORDER BY 1")
    town.at_once([partial(town.resolve, weeks) for weeks in calendar.ranges()])
    town.assert_sound()
    assert town.ids() == before
    assert database.fetch_all("SELECT event_id, xmin::text FROM deduplicated_events ORDER BY 1") == events


@pytest.mark.parametrize("seed", QUICK)
def test_runs_of_neighbouring_weeks_give_what_one_run_gives(database: Database, seed: int) -> None:
    several_at_once(database, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", LONG)
def test_runs_of_neighbouring_weeks_give_what_one_run_gives_many_times(database: Database, seed: int) -> None:
    several_at_once(database, seed)


def small_town(database: Database) -> tuple[Calendar, Town]:
    """Six weeks with a few events each, not resolved yet."""
    calendar, town = Calendar(random.Random(1)), Town(database)
    calendar.add(20)
    town.store(calendar)
    return calendar, town


def listed(calendar: Calendar, week: int, source: str) -> Listing:
    """A record of the middle of a week."""
    weeks = calendar.weeks
    return next(
        one
        for key, one in sorted(calendar.listings.items())
        if one.source == source and one.day is not None and weeks[week] < one.day < weeks[week] + timedelta(days=6)
    )


def test_an_event_that_an_import_moves_into_a_later_week_of_the_run_is_created_once(database: Database) -> None:
    calendar, town = small_town(database)
    moved = listed(calendar, 0, "city")
    event = [key for key in calendar.listings if key[1] == moved.number]
    job = ImportJob(database, source=asset.NAME, run_id="run", partition_start=FIRST, partition_end=calendar.weeks[1])
    with job:
        weeks = asset.resolve_weeks(job, calendar.weeks[:2])
        first = next(weeks)
        for key in event:
            calendar.listings[key] = replace(calendar.listings[key], day=calendar.weeks[1] + timedelta(days=3))
        town.store(calendar)
        second = next(weeks)
        for _ in weeks:
            pass
        job.commit(job.succeed)
    assert first.counts.created > 0
    assert second.counts.updated > 0
    town.resolve(calendar.weeks)
    town.assert_sound()


def test_a_week_waits_for_the_far_week_that_its_ids_are_of(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the id goes with the record that moved or stays with the others is for one resolution to say."""
    monkeypatch.setattr(deduplication_locks, "LOOK_AFTER", 0.05)
    calendar, town = small_town(database)
    town.resolve(calendar.weeks)
    before = town.ids()
    moved = listed(calendar, 0, "city")
    calendar.listings["city", moved.number] = replace(moved, day=calendar.weeks[4] + timedelta(days=3))
    town.store(calendar)
    waited = threading.Event()
    end_silent = deduplication_locks.end_silent_sessions

    def look(*arguments: Any) -> int:
        waited.set()
        return end_silent(*arguments)

    monkeypatch.setattr(deduplication_locks, "end_silent_sessions", look)
    with database.transaction(role="another resolution") as connection:
        deduplication_locks._lock(connection, [calendar.weeks[0]])
        thread = threading.Thread(target=town.resolve, args=([calendar.weeks[4]],))
        thread.start()
        assert waited.wait(20), "it did not wait"
        waiting = town.ids()
    thread.join(20)
    assert waiting == before, "nothing is written before the lock is there"
    town.resolve(calendar.weeks)
    town.assert_sound()


def test_a_record_that_two_resolutions_see_in_different_weeks_gets_one_event(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It moved while its old week was resolved, and its new week was resolved in that moment as well."""
    calendar, town = small_town(database)
    record = listed(calendar, 0, "city")
    write, calls = asset.write_week, iter(range(100))

    def write_late(*positional: Any, **arguments: Any) -> Any:
        if next(calls) == 0:
            calendar.listings["city", record.number] = replace(record, day=calendar.weeks[4] + timedelta(days=3))
            town.store(calendar)
            town.resolve([calendar.weeks[4]])
        return write(*positional, **arguments)

    monkeypatch.setattr(asset, "write_week", write_late)
    town.resolve([FIRST])
    given = town.ids()["city", str(record.number)]
    town.resolve(calendar.weeks)
    town.assert_sound()
    assert town.ids()["city", str(record.number)] == given
    events = database.fetch_all("SELECT event_id FROM deduplicated_events WHERE withdrawn_at IS NOT NULL")
    assert events == [], "nobody is left behind with an event that has no record"


def test_a_week_that_stays_locked_is_said_and_the_step_tried_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deduplication_locks, "LOOK_AFTER", 0.05)
    monkeypatch.setattr(deduplication_locks, "PATIENCE", 0.1)
    calendar, town = small_town(database)
    with database.transaction(role="an analyst's shell") as connection:
        deduplication_locks._lock(connection, [calendar.weeks[3]])
        with pytest.raises(TransientError, match=r"week of 2026-11-16 is locked by another resolution"):
            town.resolve(calendar.weeks)
    town.resolve(calendar.weeks)
    town.assert_sound()


def test_records_that_never_come_to_rest_end_the_attempt(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    calendar, town = small_town(database)
    far = (FIRST - timedelta(weeks=n) for n in range(100, 200))
    monkeypatch.setattr(asset, "weeks_of_ids", lambda *_: {next(far)})
    with pytest.raises(TransientError, match=r"keep moving while it is resolved \(1 more weeks"):
        town.resolve(calendar.weeks)
    assert town.ids() == {}


def test_a_record_of_a_monday_may_wait_for_the_week_before_it(database: Database) -> None:
    """The week before is another run's; a check that failed meanwhile would end this one."""
    [rule] = [rule for rule in _EVENT_RULES if rule.name == "every_dated_record_has_an_event"]
    calendar, town = Calendar(random.Random(0)), Town(database)
    monday = FIRST + timedelta(weeks=1)
    for source in ("city", "shifted"):
        evening = Listing(source, 1, "Abricot Brume Opus", monday - timedelta(days=1), "Club Soda")
        calendar.listings[source, 1] = evening
    town.store(calendar)
    with ImportJob(database, source=asset.NAME, run_id="r", partition_start=monday, partition_end=monday) as job:
        work = partial(asset._resolve, job=job, week=monday, asked_for=True)
        deduplication_locks.holding_weeks(job, monday, work)
        job.commit(job.succeed)
    assert town.ids() == {}
    assert evaluate(database, rule, {}).passed
    town.resolve([FIRST])
    assert len(set(town.ids().values())) == 1
    with database.transaction() as connection:
        connection.execute("DELETE FROM event_links WHERE source = 'shifted'")
    assert not evaluate(database, rule, {}).passed


def test_the_runbook_shows_who_holds_which_weeks(database: Database) -> None:
    page = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
    [query] = [block for block in re.findall(r"```sql\n(.*?)```", page, re.DOTALL) if "classid" in block]
    weeks = [FIRST, FIRST + timedelta(weeks=9)]
    with database.transaction(role="import deduplicated_events 1234") as connection:
        deduplication_locks._lock(connection, weeks)
        found = connection.execute(query).fetchall()
    assert [(row[0], row[1], row[2]) for row in found] == [
        (week, True, "ingestion/import deduplicated_events 1234") for week in weeks
    ]
