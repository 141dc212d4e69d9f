"""A process of its own that imports from a fake elsewhere, and says how much memory it took at most.

`python -m tests.pipeline.load_process <database URL> <source>`; settings come from the environment.
"""

from __future__ import annotations

import json
import resource
import sys
from datetime import timedelta
from pathlib import Path

from ingestion_assets.events.loading import load_pages
from ingestion_assets.events.sources import source_class
from ingestion_assets.ledger.import_jobs import ImportJob
from resources.http import OutboundClient
from resources.postgres.database import Database
from resources.postgres.http_store import PostgresRequestBudget, PostgresValidatorCache
from tests.fakes._server import VirtualClock
from tests.fakes.fetching import WINDOW


def peak_mib() -> float:
    """The most memory that this program had resident, in MiB.

    Not `ru_maxrss`: across `exec` Linux keeps the high-water mark of the process that forked, here that of the fake.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def main() -> None:
    """Import once; the last line of output is one JSON object."""
    url, name = sys.argv[1:3]
    database, clock = Database(url), VirtualClock()
    cls = source_class(name)
    source = cls(cls.settings_class())
    weeks = (WINDOW.start, WINDOW.end - timedelta(days=7))
    budget = PostgresRequestBudget(database)
    with (
        ImportJob(database, source=name, run_id="run", partition_start=weeks[0], partition_end=weeks[1]) as job,
        OutboundClient(
            source.policy,
            cache=PostgresValidatorCache(database),
            budget=budget,
            clock=clock.monotonic,
            sleep=clock.sleep,
            wall_clock=clock.time,
        ) as client,
    ):
        result = load_pages(
            source.fetch(WINDOW, client),
            job,
            volatile_paths=source.volatile_paths,
            record_version=source.record_version,
            weeks=weeks,
            today=WINDOW.start,
        )
    budget.close()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "created": result.counts.created,
                "errors": result.counts.errors,
                "peak_mib": peak_mib(),
                "cpu_seconds": usage.ru_utime + usage.ru_stime,
            }
        )
    )


if __name__ == "__main__":
    main()
