"""A worker in a process of its own: `worker_process.py URL [--until-idle] [--go FILE]`. Says `ready` when it has begun."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

from ingestion_assets.ledger.async_jobs import JobKind, JobKinds
from ingestion_assets.ledger.job_context import JobContext
from ingestion_assets.ledger.job_worker import Worker
from ingestion_assets.logs import setup_logging
from resources.postgres.database import Database


def count(context: JobContext) -> dict[str, int]:
    """One row for each time that the job was done."""
    context.commit(
        lambda connection: connection.execute(
            "INSERT INTO tally (job_id, attempt, worker) VALUES (%s, %s, %s)",
            (context.job_id, context.attempt, os.getpid()),
        )
    )
    return {"worker": os.getpid()}


def slow_count(context: JobContext) -> dict[str, int]:
    """Begins, and writes half a second later, whatever happened meanwhile."""
    print("working", flush=True)
    time.sleep(0.5)
    return count(context)


def long_count(context: JobContext) -> dict[str, int]:
    """Four minutes of the five that a job has, most of them deaf: nothing here shows that it lives."""
    time.sleep(240)
    return count(context)


def hang(context: JobContext) -> None:
    """Does not listen when asked to stop."""
    print("working", flush=True)
    time.sleep(3600)


COUNT = JobKind(name="count", handler=count)
SLOW = JobKind(name="slow", handler=slow_count)
LONG = JobKind(name="long", handler=long_count)
HANG = JobKind(name="hang", handler=hang, timeout=timedelta(minutes=10))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--until-idle", action="store_true")
    parser.add_argument("--go", type=Path, help="begin when this file exists")
    arguments = parser.parse_args()
    setup_logging()
    worker = Worker(Database(arguments.url, patience=30), JobKinds([COUNT, SLOW, LONG, HANG]))
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    print("ready", flush=True)
    while arguments.go and not arguments.go.exists():
        time.sleep(0.01)
    return worker.run(until_idle=arguments.until_idle)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # as `ingest worker` does: threads that hang must not keep the process
