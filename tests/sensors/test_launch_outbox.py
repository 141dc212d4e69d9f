"""A run that was asked for while the service could not launch it is launched by the sensor, and by nobody else."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest

from ingestion_assets.ledger import run_launches
from ingestion_assets.ledger.run_launches import LAUNCH_TAG, Launch
from resources.postgres.database import Database
from sensors.launch_outbox import launch_outbox_sensor

TAGS = {"dagster/asset_partition_range_start": "2026-11-23", "dagster/asset_partition_range_end": "2026-11-30"}


@pytest.fixture
def wanted(database: Database) -> Launch:
    """Asked for a minute ago."""
    with database.transaction() as connection:
        launch, _ = run_launches.request_run(
            connection, job_name="import_ics", source="ics", tags=TAGS, requested_by=None
        )
        connection.execute("UPDATE run_launches SET created_at = now() - interval '1 minute'")
    return launch


def row(database: Database) -> dict[str, Any]:
    [found] = database.fetch_all("SELECT * FROM run_launches")
    return found


def claim(database: Database, **options: Any) -> list[Launch]:
    with database.transaction() as connection:
        return run_launches.claim(connection, **options)


def test_it_is_asked_for_once_with_its_weeks_and_found_at_the_next_tick(
    tick: Callable[..., Any], database: Database, instance: dg.DagsterInstance, wanted: Launch
) -> None:
    [asked] = tick(launch_outbox_sensor).run_requests
    assert asked.run_key == f"launch {wanted.id}"
    assert asked.asset_selection == [dg.AssetKey(["raw_events", "ics"])]
    assert asked.tags.items() >= {**TAGS, "source": "ics", LAUNCH_TAG: str(wanted.id)}.items()
    assert not tick(launch_outbox_sensor).run_requests
    assert row(database)["state"] == "pending"
    run = instance.add_run(dg.DagsterRun(job_name="x", run_id=str(uuid.uuid4()), tags=asked.tags))
    result = tick(launch_outbox_sensor)
    assert not result.run_requests
    assert f"import_ics became run {run.run_id}" in result.skip_reason.skip_message
    assert (row(database)["state"], row(database)["run_id"]) == ("launched", run.run_id)


def test_nobody_else_launches_what_the_sensor_has_asked_for(
    tick: Callable[..., Any], database: Database, wanted: Launch
) -> None:
    assert len(tick(launch_outbox_sensor).run_requests) == 1
    assert claim(database) == []
    assert row(database)["not_before"] - row(database)["created_at"] > timedelta(hours=24)


def pass_minutes(database: Database, minutes: int) -> None:
    with database.transaction() as connection:
        connection.execute("UPDATE run_launches SET not_before = not_before - make_interval(mins => %s)", (minutes,))


def test_what_a_tick_asked_for_in_vain_is_asked_for_again_under_its_key(
    tick: Callable[..., Any], database: Database, wanted: Launch
) -> None:
    [first] = tick(launch_outbox_sensor).run_requests  # the daemon dies before it makes the run
    pass_minutes(database, 1)
    assert not tick(launch_outbox_sensor).run_requests
    pass_minutes(database, 2)
    [again] = tick(launch_outbox_sensor).run_requests
    assert (again.run_key, again.tags) == (first.run_key, first.tags)
    assert not tick(launch_outbox_sensor).run_requests
    assert claim(database) == [], "the service leaves it alone"


def test_a_tick_that_fails_half_way_has_asked_for_nothing(
    tick: Callable[..., Any], database: Database, wanted: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.transaction() as connection:
        run_launches.request_run(connection, job_name="import_meetup", source="meetup", tags=TAGS, requested_by=None)
        connection.execute("UPDATE run_launches SET created_at = now() - interval '1 minute'")
    send, calls = run_launches.about_to_send, []

    def breaks_the_second_time(*arguments: Any, **options: Any) -> bool:
        calls.append(arguments)
        if len(calls) == 2:
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return send(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(run_launches, "about_to_send", breaks_the_second_time)
        with pytest.raises(psycopg.OperationalError):
            tick(launch_outbox_sensor)
    pass_minutes(database, 1)
    assert len(tick(launch_outbox_sensor).run_requests) == 2


def test_a_launch_whose_answer_the_service_lost_is_not_asked_for_beside_it(
    tick: Callable[..., Any], database: Database, wanted: Launch
) -> None:
    [launch] = claim(database)
    with database.transaction() as connection:
        assert run_launches.about_to_send(connection, launch)
        run_launches.answer_lost(connection, launch, "lost")
    assert not tick(launch_outbox_sensor).run_requests


def test_what_the_service_has_just_been_asked_for_is_left_to_it(
    tick: Callable[..., Any], database: Database, wanted: Launch
) -> None:
    with database.transaction() as connection:
        connection.execute("UPDATE run_launches SET created_at = now()")
    assert not tick(launch_outbox_sensor).run_requests
    [taken] = claim(database)
    assert taken.id == wanted.id
    with database.transaction() as connection:
        connection.execute("UPDATE run_launches SET created_at = now() - interval '1 minute'")
    assert not tick(launch_outbox_sensor).run_requests, "the service is at it"


def test_a_launch_whose_answer_was_lost_is_looked_for_before_it_is_asked_for(
    tick: Callable[..., Any], database: Database, instance: dg.DagsterInstance, wanted: Launch
) -> None:
    [launch] = claim(database)
    with database.transaction() as connection:
        assert run_launches.about_to_send(connection, launch)
        run_launches.answer_lost(connection, launch, "lost")
        connection.execute("UPDATE run_launches SET not_before = now()")
    run = instance.add_run(
        dg.DagsterRun(job_name="import_ics", run_id=str(uuid.uuid4()), tags={LAUNCH_TAG: str(wanted.id)})
    )
    assert not tick(launch_outbox_sensor).run_requests
    assert row(database)["run_id"] == run.run_id


def test_a_launch_that_was_given_up_stays_so(tick: Callable[..., Any], database: Database, wanted: Launch) -> None:
    [launch] = claim(database)
    with database.transaction() as connection:
        run_launches.refused(connection, launch, "no such job", final=True)
    assert not tick(launch_outbox_sensor).run_requests
    assert row(database)["state"] == "failed"
