"""Batches become runs once, again when a run died, and never for ever."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest

from ingestion_assets.ledger import batches
from ingestion_assets.ledger.batches import MAX_LAUNCHES, Batch, BatchState, NewFile
from ingestion_assets.study import collection_store
from ingestion_assets.study.steps import MAX_RUNTIME_TAG, RUN_TAGS
from resources.definitions import PostgresResource
from resources.postgres.database import Database
from sensors import batches as module
from sensors.batches import Step, decide, study_batches_sensor
from tests.study import files
from tests.study.studio import Studio, chapter


@pytest.mark.parametrize(
    ("working", "cancelled", "ended", "step"),
    [
        (False, False, 0, Step.LAUNCH),
        (False, False, MAX_LAUNCHES - 1, Step.LAUNCH),
        (False, False, MAX_LAUNCHES, Step.FAIL),
        (False, True, 1, Step.CANCEL),
        (False, True, MAX_LAUNCHES, Step.CANCEL),
        (True, False, 0, Step.WAIT),
        (True, True, 1, Step.WAIT),
        (True, False, MAX_LAUNCHES, Step.WAIT),
    ],
)
def test_a_batch_is_launched_waited_for_or_given_up(working: bool, cancelled: bool, ended: int, step: Step) -> None:
    assert decide(working=working, cancelled=cancelled, ended=ended) is step


def tick(instance: dg.DagsterInstance) -> dg.SensorResult:
    with dg.build_sensor_context(instance=instance, resources={"postgres": PostgresResource()}) as context:
        result = study_batches_sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


@pytest.fixture
def instance(platform_environment: dict[str, str]) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def queued(database: Database) -> Batch:
    with database.transaction() as connection:
        batch, _ = batches.create_batch(connection, [NewFile("a.txt", files.ENGLISH.encode())], title="queued")
    return batch


def let_a_minute_pass(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("UPDATE study_batches SET not_before = not_before - interval '61 seconds'")


def run_of(instance: dg.DagsterInstance, asked: dg.RunRequest, **options: Any) -> dg.DagsterRun:
    """What the daemon makes of a request: a run, which is not finished while it waits for a slot."""
    options = {"status": dg.DagsterRunStatus.NOT_STARTED, **options}
    return instance.add_run(dg.DagsterRun(job_name="x", run_id=str(uuid.uuid4()), tags=asked.tags, **options))


def test_each_batch_is_asked_for_once(instance: dg.DagsterInstance, database: Database, queued: Batch) -> None:
    with database.transaction() as connection:
        batches.create_batch(connection, [NewFile("b.txt", files.FRENCH.encode())], title="second")
    first = tick(instance)
    assert len(first.run_requests or []) == 2
    assert {request.tags["ingestion/batch"] for request in first.run_requests or []} >= {str(queued.id)}
    [added] = first.dynamic_partitions_requests or []
    assert set(added.partition_keys) == {request.partition_key for request in first.run_requests or []}
    assert all(request.tags.items() >= RUN_TAGS.items() for request in first.run_requests or [])
    assert not tick(instance).run_requests, "a request just made is not made again"


def test_what_people_hand_in_goes_before_folders(instance: dg.DagsterInstance, database: Database) -> None:
    with database.transaction() as connection:
        for origin in ("inbox", "inbox", "api"):
            content = [NewFile("a.txt", origin.encode())]
            batch, _ = batches.create_batch(connection, content, title="t", origin=origin)
        assert batches.open_batches(connection, limit=1) == [batch]
    by_batch = {asked.tags["ingestion/batch"]: asked for asked in tick(instance).run_requests or []}
    assert "dagster/priority" not in by_batch.pop(str(batch.id)).tags
    assert [int(asked.tags["dagster/priority"]) < 0 for asked in by_batch.values()] == [True, True]


def test_a_batch_whose_run_waits_for_a_slot_is_neither_launched_again_nor_given_up(
    instance: dg.DagsterInstance, database: Database, queued: Batch
) -> None:
    [asked] = tick(instance).run_requests or []
    run_of(instance, asked)
    for _ in range(MAX_LAUNCHES + 1):
        let_a_minute_pass(database)
        assert not tick(instance).run_requests
    with database.transaction() as connection:
        now = batches.read_batch(connection, queued.id)
    assert now is not None
    assert (now.state, now.launches) == (BatchState.PENDING, 1)


def test_a_request_that_made_no_run_is_made_again_under_its_key_and_costs_no_launch(
    instance: dg.DagsterInstance, database: Database, queued: Batch
) -> None:
    keys = set()
    for _ in range(MAX_LAUNCHES + 1):
        [asked] = tick(instance).run_requests or []
        keys.add(asked.run_key)
        let_a_minute_pass(database)
    assert len(keys) == 1


def test_a_tick_that_fails_holds_nothing_back(
    instance: dg.DagsterInstance, database: Database, queued: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.transaction() as connection:
        batches.create_batch(connection, [NewFile("b.txt", files.FRENCH.encode())], title="second")
    mark, calls = batches.mark_launched, []

    def breaks_the_second_time(*arguments: Any) -> bool:
        calls.append(arguments)
        if len(calls) == 2:
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return mark(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(batches, "mark_launched", breaks_the_second_time)
        with pytest.raises(psycopg.OperationalError):
            tick(instance)
    assert len(tick(instance).run_requests or []) == 2


def test_the_deadline_of_a_batch_is_when_its_run_is_ended(studio: Studio) -> None:
    collection, batch = studio.create(chapter(1))
    studio.run(collection)
    assert studio.batch(batch).deadline_at is None, "started by hand, without a limit of its own"
    collection, batch = studio.create(chapter(2))
    studio.run(collection, tags=RUN_TAGS)
    taken = studio.batch(batch)
    assert (taken.deadline_at - taken.started_at).total_seconds() == float(RUN_TAGS[MAX_RUNTIME_TAG])


def test_a_batch_that_kills_its_runs_is_given_up(
    instance: dg.DagsterInstance, database: Database, queued: Batch
) -> None:
    keys = set()
    for _ in range(MAX_LAUNCHES):
        [asked] = tick(instance).run_requests or []
        keys.add(asked.run_key)
        killed = run_of(instance, asked, status=dg.DagsterRunStatus.FAILURE)
        # A retry of Dagster's belongs to the same launch.
        run_of(
            instance,
            asked,
            status=dg.DagsterRunStatus.FAILURE,
            root_run_id=killed.run_id,
            parent_run_id=killed.run_id,
        )
        let_a_minute_pass(database)
    assert len(keys) == MAX_LAUNCHES
    assert not tick(instance).run_requests
    with database.transaction() as connection:
        ended = batches.read_batch(connection, queued.id)
        events = batches.events_after(connection, queued.id)
    assert ended is not None
    assert ended.state is BatchState.FAILED
    assert ended.error_code == "run_failed"
    assert [event.type for event in events][-1] == "pipeline:error"
    assert events[-1].terminal


def test_a_batch_whose_run_dagster_is_about_to_retry_gets_no_second_run(
    instance: dg.DagsterInstance, database: Database, queued: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both were made within seconds, and one of them waited for the other until it failed."""
    [asked] = tick(instance).run_requests or []
    killed = run_of(instance, asked, status=dg.DagsterRunStatus.FAILURE)
    instance.add_run_tags(killed.run_id, {"dagster/will_retry": "true"})
    let_a_minute_pass(database)
    assert not tick(instance).run_requests
    with monkeypatch.context() as later:
        later.setattr(module, "RETRIED_WITHIN", timedelta(0))
        assert len(tick(instance).run_requests or []) == 1, "a retry that never comes is not waited for"
    let_a_minute_pass(database)
    retry = run_of(instance, asked, root_run_id=killed.run_id, parent_run_id=killed.run_id)
    instance.add_run_tags(killed.run_id, {"dagster/auto_retry_run_id": retry.run_id})
    assert not tick(instance).run_requests
    instance.report_run_failed(retry)
    assert len(tick(instance).run_requests or []) == 1


def test_a_batch_whose_run_somebody_cancels_in_dagster_is_cancelled(
    instance: dg.DagsterInstance, database: Database, queued: Batch
) -> None:
    """It was launched again, and after the third time counted as failed."""
    [asked] = tick(instance).run_requests or []
    run = run_of(instance, asked, status=dg.DagsterRunStatus.STARTED)
    with database.transaction() as connection:
        batches.begin(connection, queued.id, run.run_id, seconds=10)
        collection_store.set_state(connection, queued.collection_id, "processing")
    instance.report_run_canceling(run)
    let_a_minute_pass(database)
    assert not tick(instance).run_requests
    instance.report_run_canceled(run)
    said = tick(instance)
    assert not said.run_requests
    assert f"batch {queued.id} cancelled" in str(said.skip_reason)
    with database.transaction() as connection:
        ended = batches.read_batch(connection, queued.id)
        assert [event.type for event in batches.events_after(connection, queued.id)][-1] == "pipeline:cancelled"
        assert batches.retry(connection, queued.id) is not None
    assert ended is not None
    assert ended.state is BatchState.CANCELLED
    assert database.fetch_all("SELECT state FROM study_collections") == [{"state": "failed"}]


def test_a_batch_that_a_run_without_its_tag_works_on_waits_for_that_run(
    instance: dg.DagsterInstance, database: Database, queued: Batch
) -> None:
    by_hand = dg.DagsterRun(job_name="make_collection", run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.STARTED)
    instance.add_run(by_hand)
    with database.transaction() as connection:
        assert batches.begin(connection, queued.id, by_hand.run_id, seconds=10)
    assert not tick(instance).run_requests
    instance.report_run_failed(by_hand)
    assert len(tick(instance).run_requests or []) == 1


def test_another_users_batch_is_not_there(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("INSERT INTO users (id) VALUES ('a'), ('b')")
        batch, _ = batches.create_batch(connection, [NewFile("a.txt", b"x")], title="t", user_id="a")
        assert batches.read_batch(connection, batch.id, user_id="b") is None
        assert batches.read_batch(connection, batch.id, user_id="a") is not None
        assert not batches.cancel(connection, batch.id, user_id="b")
        assert batches.cancel(connection, batch.id, user_id="a")
        assert batches.add_event(connection, batch.id, "late") == 0
