"""Works off batches in child processes that are killed at random moments, until no batch is open.

Run as a process of its own: `python -m tests.api.batch_killer '{"seed": 1, "longest": 3.0}'`. Everything is imported before
the first child is forked, so that children die at work and not while they start. Prints how many were killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from typing import Any

import dagster as dg

from ingestion_assets.cli.supervisor import _die_with_parent
from ingestion_assets.study.document_analyses import document_analyses
from ingestion_assets.study.documents import documents
from ingestion_assets.study.steps import PARTITIONS
from ingestion_assets.study.study_collections import study_collections
from resources.definitions import PostgresResource
from resources.llm.resource import LlmResource
from resources.postgres.database import Database
from sensors.batches import study_batches_sensor

AT_ONCE = 2
"""Batches that one tick may ask for. A tick asks for all there are, and what a killed worker was asked for is lost: in
Dagster it would wait in the queue, which outlives workers."""


def offer(database: Database) -> None:
    """Let the sensor see the oldest open batches, as if the minute after their last request were over."""
    with database.transaction() as connection:
        connection.execute(
            "WITH oldest AS (SELECT id FROM study_batches WHERE finished_at IS NULL ORDER BY sequence LIMIT %s)"
            " UPDATE study_batches b SET not_before = CASE WHEN b.id IN (SELECT id FROM oldest) THEN now()"
            " ELSE 'infinity' END WHERE finished_at IS NULL AND (not_before > now()) = (b.id IN (SELECT id FROM oldest))",
            (AT_ONCE,),
        )


def work() -> None:
    """What the daemon and its runs do: ticks of the sensor, and the runs that it asks for."""
    instance = dg.DagsterInstance.ephemeral()
    while True:
        with dg.build_sensor_context(instance=instance, resources={"postgres": PostgresResource()}) as context:
            result = study_batches_sensor(context)
        assert isinstance(result, dg.SensorResult)
        for request in result.run_requests or ():
            assert request.partition_key is not None
            instance.add_dynamic_partitions(str(PARTITIONS.name), [request.partition_key])
            dg.materialize(
                [documents, document_analyses, study_collections],
                instance=instance,
                partition_key=request.partition_key,
                tags=dict(request.tags),
                resources={"postgres": PostgresResource(), "llm": LlmResource()},
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                raise_on_error=False,
            )
        time.sleep(0.1)


def any_open(database: Database) -> bool:
    return bool(database.fetch_all("SELECT 1 FROM study_batches WHERE finished_at IS NULL LIMIT 1"))


def killed_within(seconds: float, database: Database) -> None:
    pid = os.fork()
    if pid == 0:
        _die_with_parent()
        try:
            work()
        finally:
            os._exit(1)
    end = time.monotonic() + seconds
    while time.monotonic() < end and any_open(database):
        time.sleep(min(0.2, max(0.0, end - time.monotonic())))
        if not database.fetch_all("SELECT 1 FROM study_batches WHERE finished_at IS NULL AND launches > 0 LIMIT 1"):
            offer(database)  # those that were offered are done
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def main(given: dict[str, Any]) -> None:
    draw = random.Random(given["seed"])
    database = Database(os.environ["DATABASE_URL"], patience=10)
    killed = 0
    while any_open(database):
        offer(database)
        killed_within(draw.uniform(0.2, given["longest"]), database)
        killed += 1
    print(json.dumps({"killed": killed}))


if __name__ == "__main__":
    _die_with_parent()
    main(json.loads(sys.argv[1]))
