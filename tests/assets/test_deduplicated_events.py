"""Deduplication through Dagster: what a run resolves, and what ids do from run to run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest

from ingestion_assets.events import deduplicated_events as module
from ingestion_assets.events.deduplication_store import fingerprints
from tests.assets.runs import CALENDAR, CITY, EVENTS, TAGS, Runs

COUNTS = ("fetched", "created", "updated", "skipped", "errors")


def _ids(runs: Runs) -> dict[str, str]:
    """Event ids by record: `source:number`."""
    rows = runs.query("SELECT source, source_id, event_id FROM event_links")
    return {f"{row['source']}:{re.findall('[0-9]+', row['source_id'])[-1]}": row["event_id"] for row in rows}


def _run(said: dict[str, Any]) -> list[int]:
    return [said[f"run_{name}"] for name in COUNTS]


def test_the_records_of_two_sources_become_one_event_each(runs: Runs) -> None:
    runs.csv.numbers, runs.calendar.numbers = range(30), range(20, 40)
    runs.ok(CITY, CALENDAR)
    said = runs.ok(EVENTS)
    assert _run(said) == [40, 40, 0, 0, 0]
    assert (said["records"], said["events_in_several_sources"]) == (50, 10)
    by_week = runs.materializations(EVENTS)
    assert len(by_week) == 3
    assert sum(week["fetched"] for week in by_week.values()) == 40
    rows = runs.query("SELECT nb_sources, count(*) AS n FROM deduplicated_events GROUP BY 1 ORDER BY 1")
    assert rows == [{"nb_sources": 1, "n": 30}, {"nb_sources": 2, "n": 10}]


def test_a_second_run_on_the_same_records_writes_nothing(runs: Runs) -> None:
    runs.csv.numbers = runs.calendar.numbers = range(12)
    runs.ok(CITY, CALENDAR, EVENTS)
    before = runs.query("SELECT event_id, changed_at, xmin::text FROM deduplicated_events ORDER BY 1")
    said = runs.ok(EVENTS)
    assert _run(said) == [12, 0, 0, 12, 0]
    assert said["weeks_unchanged"] == 3
    assert runs.query("SELECT event_id, changed_at, xmin::text FROM deduplicated_events ORDER BY 1") == before


def test_ids_outlive_updates_new_sources_and_moves_to_another_week(runs: Runs) -> None:
    runs.csv.numbers = range(12)
    runs.ok(CITY, EVENTS)
    first = _ids(runs)
    runs.csv.texts = {3: "Le programme a changé."}
    runs.csv.days = {4: runs.first + timedelta(days=18)}
    runs.calendar.numbers = range(6)
    runs.calendar.days = dict(runs.csv.days)
    runs.ok(CITY, CALENDAR)
    said = runs.ok(EVENTS)
    now = _ids(runs)
    assert {key: now[key] for key in first} == first
    assert said["run_created"] == 0
    assert said["ids_replaced"] == said["ids_split"] == 0
    moved = runs.query(
        "SELECT week FROM deduplicated_events WHERE event_id = %(id)s", id=now["open_data_montreal:100004"]
    )
    assert moved == [{"week": runs.first + timedelta(weeks=2)}]


def test_an_event_is_withdrawn_with_its_last_record_and_comes_back_under_its_id(runs: Runs) -> None:
    late = list(range(14, 21))
    runs.csv.numbers, runs.calendar.numbers = late, [14]
    runs.ok(CITY, CALENDAR, EVENTS)
    ids = _ids(runs)
    runs.csv.numbers = late[2:]
    runs.ok(CITY, config={"accept_withdrawals": True})
    runs.ok(EVENTS)
    withdrawn = {
        row["event_id"] for row in runs.query("SELECT event_id FROM deduplicated_events WHERE withdrawn_at IS NOT NULL")
    }
    assert withdrawn == {ids["open_data_montreal:100015"]}, "the other one is still listed by the calendar"
    runs.csv.numbers = late
    runs.ok(CITY, EVENTS)
    assert runs.query("SELECT event_id FROM deduplicated_events WHERE withdrawn_at IS NOT NULL") == []
    assert _ids(runs) == ids


def test_the_neighbour_of_a_changed_week_is_resolved_with_it(runs: Runs) -> None:
    """A Sunday record and a Monday record may be one event, and the earlier week owns both."""
    sunday = runs.first + timedelta(days=6)
    runs.csv.numbers, runs.csv.days = [1], {1: sunday}
    runs.calendar.numbers, runs.calendar.days = [2], {2: sunday + timedelta(days=1)}
    runs.ok(CITY, CALENDAR, EVENTS)
    runs.csv.texts = {1: "Un nouveau texte pour dimanche."}
    runs.ok(CITY)
    second = runs.first + timedelta(weeks=1)
    said = runs.ok(EVENTS, weeks=(second, second))
    assert said["run_updated"] == 1
    rows = runs.query(
        "SELECT event ->> 'description' AS text FROM deduplicated_events WHERE week = %(week)s", week=runs.first
    )
    assert rows == [{"text": "Un nouveau texte pour dimanche."}]
    assert runs.ok(EVENTS)["weeks_unchanged"] == 3


def test_what_became_of_a_neighbour_is_told_so_that_tags_follow(runs: Runs) -> None:
    """Its events were counted with the week beside it, and nobody asked for their tags."""
    sunday, second = runs.first + timedelta(days=6), runs.first + timedelta(weeks=1)
    runs.csv.numbers, runs.csv.days = [1], {1: sunday}
    runs.calendar.numbers, runs.calendar.days = [2, 3], {2: sunday + timedelta(days=1), 3: sunday + timedelta(days=3)}
    runs.ok(CITY, CALENDAR)
    runs.execute(
        "INSERT INTO match_overrides (a_source, a_id, b_source, b_id, decision, decided_by, why) SELECT a.source,"
        " a.source_id, b.source, b.source_id, 'merge', 'someone', 'one night' FROM raw_events a, raw_events b"
        " WHERE a.source < b.source AND a.local_date = b.local_date + 1"
    )
    runs.ok(EVENTS)
    selection = dg.AssetSelection.assets(TAGS)
    before = dg.evaluate_automation_conditions(runs.defs, runs.instance, asset_selection=selection)
    runs.execute("DELETE FROM match_overrides")
    runs.ok(EVENTS, weeks=(runs.first, runs.first))
    said = runs.materializations(EVENTS)
    figures = ("created", "updated", "skipped", "dagster/partition_row_count")
    assert {week: [said[week][name] for name in figures] for week in said} == {
        runs.first.isoformat(): [1, 0, 0, 1],
        second.isoformat(): [0, 1, 1, 2],
    }
    after = dg.evaluate_automation_conditions(runs.defs, runs.instance, asset_selection=selection, cursor=before.cursor)
    assert after.get_requested_partitions(dg.AssetKey(TAGS)) == set(said)
    assert runs.ok(EVENTS)["weeks_unchanged"] == 3
    assert set(runs.materializations(EVENTS)) == {(runs.first + timedelta(weeks=n)).isoformat() for n in range(3)}


def test_people_decide_and_their_decision_makes_the_week_dirty(runs: Runs) -> None:
    runs.csv.numbers = runs.calendar.numbers = [1, 2]
    runs.ok(CITY, CALENDAR, EVENTS)
    pair = runs.query(
        "SELECT l.source, l.source_id FROM event_links l JOIN raw_events r USING (source, source_id)"
        " WHERE r.title LIKE '%%Bababake' ORDER BY l.source",
        unused=1,
    )
    (a, b) = pair
    runs.execute(
        "INSERT INTO match_overrides (a_source, a_id, b_source, b_id, decision, decided_by, why)"
        " VALUES (%(as)s, %(ai)s, %(bs)s, %(bi)s, 'split', 'someone', 'two different workshops')",
        **{"as": a["source"], "ai": a["source_id"], "bs": b["source"], "bi": b["source_id"]},
    )
    said = runs.ok(EVENTS)
    assert (said["run_created"], said["ids_split"]) == (1, 1)
    assert len(set(_ids(runs).values())) == 3
    runs.execute("DELETE FROM match_overrides")
    said = runs.ok(EVENTS)
    assert said["ids_replaced"] == 1
    [replaced] = runs.query("SELECT event_id, replaced_by FROM deduplicated_events WHERE replaced_by IS NOT NULL")
    assert replaced["replaced_by"] in set(_ids(runs).values())


def test_a_decision_makes_the_weeks_of_its_records_dirty_and_no_other(runs: Runs) -> None:
    """It used to be every week that there is."""
    weeks = [runs.first + timedelta(weeks=n) for n in range(30)]
    runs.csv.weeks = len(weeks)
    runs.csv.numbers = range(7 * len(weeks))
    runs.ok(CITY)

    def fingerprinted() -> Mapping[date, str]:
        with runs.database.transaction() as connection:
            return fingerprints(connection, weeks, versions=["v"])

    def record(day: date) -> str:
        [row] = runs.query("SELECT min(source_id) AS id FROM raw_events WHERE local_date = %(day)s", day=day)
        return str(row["id"])

    before = fingerprinted()
    # A Wednesday concerns its week alone, a Monday also the week before it, which may own its event.
    for source_id in (record(weeks[3] + timedelta(days=2)), record(weeks[20]), "of no record"):
        runs.execute(
            "INSERT INTO match_overrides (a_source, a_id, b_source, b_id, decision, decided_by, why)"
            " VALUES ('open_data_montreal', %(id)s, 'ticketmaster', 'of no record', 'split', 'someone', 'different')",
            id=source_id,
        )
    after = fingerprinted()
    assert {week for week in weeks if after[week] != before[week]} == {weeks[3], weeks[19], weeks[20]}
    runs.execute("DELETE FROM match_overrides")
    assert fingerprinted() == before


def test_undated_records_wait_outside(runs: Runs) -> None:
    runs.csv.numbers = range(3)
    runs.ok(CITY, EVENTS)
    runs.execute(
        "UPDATE raw_events SET week = NULL, local_date = NULL, start_local = NULL, start_at = NULL, precision = 'tba'"
        " WHERE title LIKE '%%Bababake'",
        unused=1,
    )
    runs.ok(EVENTS)
    assert len(runs.query("SELECT 1 AS a FROM deduplicated_events WHERE withdrawn_at IS NOT NULL")) == 1


def test_a_run_that_breaks_between_weeks_is_finished_by_its_retry_without_counting_twice(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.csv.numbers = range(42)
    runs.ok(CITY)
    resolve, calls = module._resolve, iter(range(100))

    def break_once(*positional: Any, **arguments: Any) -> Any:
        from resources.errors import TransientError

        if next(calls) == 1:
            raise TransientError("something gave way", retry_after=0.001)
        return resolve(*positional, **arguments)

    monkeypatch.setattr(module, "_resolve", break_once)
    said = runs.ok(EVENTS)
    assert _run(said) == [42, 42, 0, 0, 0]
    [job] = runs.jobs(EVENTS)
    assert job["attempt"] == 2
    assert len(runs.events(dg.DagsterEventType.STEP_UP_FOR_RETRY)) == 1
    assert sum(week["created"] for week in runs.materializations(EVENTS).values()) == 42


def test_ids_are_the_same_whether_weeks_are_resolved_one_by_one_or_together(runs: Runs) -> None:
    runs.csv.numbers = runs.calendar.numbers = range(21)
    runs.ok(CITY, CALENDAR)
    for number in range(3):
        week = runs.first + timedelta(weeks=number)
        runs.ok(EVENTS, weeks=(week, week))
    before = _ids(runs)
    said = runs.ok(EVENTS)
    assert _ids(runs) == before
    assert said["run_created"] == said["run_updated"] == 0


def test_a_connection_that_breaks_in_the_middle_of_a_week_leaves_no_half(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.csv.numbers = runs.calendar.numbers = range(21)
    runs.ok(CITY, CALENDAR)
    write, kills = module.write_week, iter((True, False, True))

    def write_and_lose(connection: psycopg.Connection[Any], **arguments: Any) -> Any:
        outcome = write(connection, **arguments)
        if next(kills, False):
            connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return outcome

    monkeypatch.setattr(module, "write_week", write_and_lose)
    said = runs.ok(EVENTS)
    assert _run(said) == [21, 21, 0, 0, 0]
