"""Our queue and worker."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.queue.child import INSERT, act, hang_once, task
from ingestion_assets.ledger.async_jobs import JobKind, JobKinds, enqueue
from ingestion_assets.ledger.job_context import JobContext
from ingestion_assets.ledger.job_settings import JobSettings
from ingestion_assets.ledger.job_worker import Worker
from resources.postgres.database import Database

given = task()


def work(context: JobContext) -> None:
    """One row, in the fenced transaction that every handler writes in."""
    if given["action"] == "hang":
        hang_once(given["hung"])
    context.commit(lambda connection: connection.execute(INSERT, (str(context.arguments["n"]), os.getpid())))


KIND = JobKind(name="work", handler=work)


def fill(given: dict[str, Any]) -> None:
    with Database(given["url"]).transaction() as connection:
        for n in range(given["jobs"]):
            enqueue(connection, KIND, {"n": n})


def run(given: dict[str, Any]) -> None:
    settings = JobSettings(INGESTION_JOB_CONCURRENCY=given.get("concurrency", 10))
    Worker(Database(given["url"]), JobKinds([KIND]), settings).run(until_idle=given["action"] == "drain")


if __name__ == "__main__":
    act(given, {"fill": fill, "drain": run, "wait": run, "hang": run})
