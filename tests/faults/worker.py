"""A process that has everything imported and forks workers, so that a killed import costs what an import costs.

Reads one JSON command a line and answers each with one JSON line. `start` forks a worker that imports a feed as the asset
does: real source, real client, ledger, loader. At a named point it may send itself a signal: SIGKILL to die there, SIGSTOP
to stand still there until the test lets it go on.

Started by `harness.Workers`; single-threaded, so that forking is safe.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

POINTS: dict[str, tuple[str, str, str]] = {
    "before the claim": ("ingestion_assets.ledger.import_jobs:ImportJob", "_try_claim", "before"),
    "claimed": ("ingestion_assets.ledger.import_jobs:ImportJob", "_claim", "after"),
    "page fetched": ("ingestion_assets.events.loading:_Tally", "add", "after"),
    "keys staged": ("ingestion_assets.events.loading:_Loader", "_copy_keys", "after"),
    "rows staged": ("ingestion_assets.events.loading:_Loader", "_copy_rows", "after"),
    "rejected written": ("ingestion_assets.events.loading:_Loader", "_insert_rejected", "after"),
    "batch written": ("ingestion_assets.events.loading:_Loader", "_write", "after"),
    "batch committed": ("ingestion_assets.ledger.import_jobs:ImportJob", "commit", "after"),
    "before the end": ("ingestion_assets.events.loading:_Loader", "finish", "before"),
    "withdrawn": ("ingestion_assets.events.loading", "withdraw", "after"),
    "closed": ("ingestion_assets.ledger.import_jobs:ImportJob", "succeed", "after"),
    "ended": ("ingestion_assets.events.loading:_Loader", "finish", "after"),
    "counts read": ("ingestion_assets.events.loading", "read_counts", "after"),
}
"""Where a worker may be hit: what is called there, and whether before or after it."""

_ASSET = "ingestion_assets.events.deduplicated_events"
POINTS_OF_WEEKS: dict[str, tuple[str, str, str]] = {
    "week locked": ("ingestion_assets.events.deduplication_locks", "_lock", "after"),
    "week read": (_ASSET, "read_records", "after"),
    "ids given": (_ASSET, "identify", "after"),
    "week written": (_ASSET, "write_week", "after"),
    "week counted": (_ASSET, "add_counts", "after"),
    "week committed": (_ASSET, "holding_weeks", "after"),
}
"""The same for a worker that resolves weeks."""

IN_TRANSACTION = frozenset({"keys staged", "rows staged", "rejected written", "batch written", "withdrawn", "closed"})


def install(point: str, nth: int, number: int) -> None:
    """Send this process the signal at the n-th time that it comes to the point."""
    place, name, when = {**POINTS, **POINTS_OF_WEEKS}[point]
    module, _, attribute = place.partition(":")
    owner: Any = importlib.import_module(module)
    owner = getattr(owner, attribute) if attribute else owner
    original = getattr(owner, name)
    calls = 0

    @functools.wraps(original)
    def patched(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        # What failed, such as a wait for a lock that took too long, has not come to the point after it.
        result = original(*arguments, **options) if when == "after" else None
        calls += 1
        if calls == nth:
            os.kill(os.getpid(), number)
        return result if when == "after" else original(*arguments, **options)

    setattr(owner, name, patched)


def import_feed(command: dict[str, Any]) -> dict[str, Any]:
    """One import; what it counted."""
    from ingestion_assets.events import loading
    from ingestion_assets.events.model import FetchWindow
    from ingestion_assets.events.sources.open_data_montreal import OpenDataMontrealSettings, OpenDataMontrealSource
    from ingestion_assets.ledger import import_jobs
    from resources.http import OutboundClient
    from resources.postgres.database import Database

    loading.BATCH_RECORDS = command["batch"]
    import_jobs.BEAT_EVERY = 0.1
    import_jobs.MISSED_BEATS = timedelta(seconds=command["missed_beats"])
    import_jobs.LEASE = timedelta(seconds=command["lease"])
    import_jobs.LOCK_PATIENCE = 0.2
    first, last = (date.fromisoformat(day) for day in command["weeks"])
    source = OpenDataMontrealSource(OpenDataMontrealSettings())
    job = import_jobs.ImportJob(
        Database(command["url"], patience=60),
        source=source.name,
        run_id=command["run_id"],
        partition_start=first,
        partition_end=last,
        earlier_runs=command["earlier_runs"],
        wait=command["wait"],
    )
    window = FetchWindow(first, last + timedelta(days=7), "America/Toronto")
    with job, OutboundClient(source.policy, allow_private=True) as client:
        result = loading.load_pages(
            source.fetch(window, client),
            job,
            volatile_paths=source.volatile_paths,
            record_version=source.record_version,
            weeks=(first, last),
            today=first,
        )
    return {"fetched": result.counts.fetched, "created": result.counts.created, "reconnects": job.session.reconnects}


def resolve_weeks(command: dict[str, Any]) -> dict[str, Any]:
    """One run of the deduplication; what it counted."""
    from ingestion_assets.events import deduplicated_events as asset
    from ingestion_assets.events import deduplication_locks
    from ingestion_assets.ledger import import_jobs
    from resources.postgres.database import Database

    import_jobs.BEAT_EVERY = 0.1
    import_jobs.MISSED_BEATS = timedelta(seconds=command["missed_beats"])
    import_jobs.LEASE = timedelta(seconds=command["lease"])
    import_jobs.LOCK_PATIENCE = 0.2
    deduplication_locks.LOOK_AFTER = 0.2
    weeks = [date.fromisoformat(day) for day in command["weeks"]]
    job = import_jobs.ImportJob(
        Database(command["url"], patience=60),
        source=asset.NAME,
        run_id=command["run_id"],
        partition_start=weeks[0],
        partition_end=weeks[-1],
        earlier_runs=command["earlier_runs"],
        wait=command["wait"],
    )
    with job:
        outcomes = list(asset.resolve_weeks(job, weeks))
        job.commit(job.succeed)
    return {"weeks": sum(not outcome.unchanged for outcome in outcomes), "reconnects": job.session.reconnects}


def work(command: dict[str, Any]) -> None:
    """The life of a worker."""
    os.environ.update(command["env"])
    if command["point"]:
        install(command["point"], command["nth"], command["signal"])
    try:
        outcome = resolve_weeks(command) if command.get("resolve") else import_feed(command)
    except Exception as error:  # noqa: BLE001 - the test asks for it by name
        outcome = {"error": type(error).__name__, "text": str(error)}
    Path(command["result"]).write_text(json.dumps(outcome), encoding="utf-8")
    os._exit(1 if "error" in outcome else 0)


def main() -> None:
    """Fork a worker for every `start`; say how it ended for every `wait`."""
    for name in (
        *("ingestion_assets.events.loading", "ingestion_assets.events.sources.open_data_montreal", "psycopg"),
        *(_ASSET, "ingestion_assets.events.deduplication.resolve"),
    ):
        importlib.import_module(name)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "start":
            pid = os.fork()
            if pid == 0:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                work(command)
            print(json.dumps({"pid": pid}), flush=True)
        else:
            _, status = os.waitpid(command["pid"], os.WUNTRACED)
            ended = (
                {"stopped": os.WSTOPSIG(status)}
                if os.WIFSTOPPED(status)
                else {"killed": os.WTERMSIG(status)}
                if os.WIFSIGNALED(status)
                else {"exit": os.WEXITSTATUS(status)}
            )
            print(json.dumps(ended), flush=True)


if __name__ == "__main__":
    main()
