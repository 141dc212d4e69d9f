"""The executor that beats for its run."""

from typing import Any

import dagster as dg

from ingestion_assets.executor import supervised_executor
from ingestion_assets.logs import current_fields
from resources.definitions import PostgresResource
from resources.postgres.database import Database


@dg.op
def look_at_own_pulse(context: dg.OpExecutionContext, postgres: PostgresResource) -> dict[str, Any]:
    """What others see of this run while it works."""
    [row] = postgres.database.fetch_all(
        "SELECT run_id, process FROM run_heartbeats WHERE run_id = %(run)s", {"run": context.run_id}
    )
    return {**row, "logged_as": current_fields()["run"]}


@dg.job(executor_def=supervised_executor, resource_defs={"postgres": PostgresResource()})
def look() -> None:
    """One op."""
    look_at_own_pulse()


@dg.op
def fail() -> None:
    """Fails."""
    raise dg.Failure("on purpose", allow_retries=False)


@dg.job(executor_def=supervised_executor)
def failing() -> None:
    """One op that fails."""
    fail()


def test_a_run_has_a_pulse_for_as_long_as_it_works(instance: dg.DagsterInstance, database: Database) -> None:
    with dg.execute_job(dg.reconstructable(look), instance=instance) as result:
        assert result.success
        seen = result.output_for_node("look_at_own_pulse")
    assert seen["run_id"] == seen["logged_as"] == result.run_id
    assert database.fetch_all("SELECT * FROM run_heartbeats") == []


def test_a_run_that_fails_leaves_no_pulse(instance: dg.DagsterInstance, database: Database) -> None:
    with dg.execute_job(dg.reconstructable(failing), instance=instance, raise_on_error=False) as result:
        assert not result.success
    assert database.fetch_all("SELECT * FROM run_heartbeats") == []
