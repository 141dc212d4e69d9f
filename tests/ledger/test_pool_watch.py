"""Pool slots that a run in this process waits for: freed when their holder is over or dead, and only then."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import dagster as dg
import pytest

from ingestion_assets.ledger.pool_watch import free_dead_pools, freeing_dead_pools
from ingestion_assets.ledger.run_heartbeats import serving
from resources.postgres.database import Database

POOL = "source_feed"


class Pools:
    """A pool with one slot, and runs that hold it."""

    def __init__(self, instance: dg.DagsterInstance, database: Database) -> None:
        self.instance = instance
        self.database = database
        instance.event_log_storage.set_concurrency_slots(POOL, 1)

    def hold(self, status: dg.DagsterRunStatus | None = dg.DagsterRunStatus.STARTED) -> str:
        """The id of a run that holds the slot; None is a run that was deleted."""
        run_id = str(uuid.uuid4())
        if status is not None:
            self.instance.add_run(dg.DagsterRun(job_name="import_feed", run_id=run_id, status=status))
        self.instance.event_log_storage.claim_concurrency_slot(POOL, run_id, "step")
        assert self.holders == {run_id}
        return run_id

    @property
    def holders(self) -> set[str]:
        info = self.instance.event_log_storage.get_concurrency_info(POOL)
        return {slot.run_id for slot in info.claimed_slots}

    def status(self, run_id: str) -> dg.DagsterRunStatus:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status


@pytest.fixture
def pools(make_instance: Callable[[], dg.DagsterInstance], database: Database) -> Pools:
    return Pools(make_instance(), database)


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, None])
def test_the_slot_of_a_run_that_is_over_or_was_deleted_is_freed(
    status: dg.DagsterRunStatus | None, pools: Pools
) -> None:
    run_id = pools.hold(status)
    assert free_dead_pools(pools.instance, pools.database) == [run_id]
    assert pools.holders == set()


def test_the_slot_of_a_living_run_is_left(pools: Pools) -> None:
    run_id = pools.hold()
    with serving(pools.database, run_id, run_is_over=lambda: False):
        assert free_dead_pools(pools.instance, pools.database) == []
    assert pools.holders == {run_id}
    assert pools.status(run_id) is dg.DagsterRunStatus.STARTED


def test_nothing_is_done_about_a_run_of_which_nothing_is_known(pools: Pools) -> None:
    run_id = pools.hold()
    assert free_dead_pools(pools.instance, pools.database) == []
    assert pools.holders == {run_id}


@pytest.mark.usefixtures("started_long_ago")
def test_a_run_whose_process_is_dead_is_failed_and_its_slot_freed(pools: Pools) -> None:
    run_id = pools.hold()
    with pools.database.transaction() as connection:
        connection.execute(
            "INSERT INTO run_heartbeats (run_id, token, process, beat_at)"
            " VALUES (%s, gen_random_uuid(), 'host:1', now() - interval '11 s')",
            (run_id,),
        )
    assert free_dead_pools(pools.instance, pools.database) == [run_id]
    assert pools.holders == set()
    assert pools.status(run_id) is dg.DagsterRunStatus.FAILURE


def test_the_watch_goes_on_when_a_database_is_away(pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from ingestion_assets.ledger import pool_watch

    looks: list[int] = []
    enough = threading.Event()

    def look(*_: object, **__: object) -> list[str]:
        looks.append(1)
        if len(looks) == 3:
            enough.set()
        raise ConnectionError("away")

    monkeypatch.setattr(pool_watch, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(pool_watch, "free_dead_pools", look)
    with freeing_dead_pools(pools.instance, pools.database):
        assert enough.wait(10)


def test_an_instance_without_pools_needs_no_watch(database: Database) -> None:
    with dg.DagsterInstance.ephemeral() as instance, freeing_dead_pools(instance, database):
        pass
