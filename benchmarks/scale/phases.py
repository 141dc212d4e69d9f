"""Imports and deduplications of generated records, as Dagster runs in processes of their own, and what they cost."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks._database import BenchDatabase, bench_server
from benchmarks._measure import tree_cpu_seconds
from benchmarks._options import note
from benchmarks._processes import ROOT, run_child
from benchmarks.scale.records import FIRST, SOURCES, WEEKS
from resources.postgres.server import EmbeddedServer

DEDUPLICATION = "deduplicated_events"
PIECES = 4
"""Runs of a backfill of two years: 26 weeks each, the default of INGESTION_DEDUPLICATION_WEEKS_PER_RUN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One Dagster run."""

    records: int
    """Of all sources together."""
    sources: int = SOURCES
    workers: int = 1
    pieces: int = 1
    """Runs that shared the weeks."""
    again: bool = False
    """The second time, with nothing new."""
    asset: str
    counts: Mapping[str, int]
    client_cpu: float
    """Seconds, without `start_cpu`."""
    start_cpu: float
    """Seconds: the interpreter and its imports."""
    server_cpu: float
    """Seconds. With several runs in a phase, a share of that of the phase, by the records they fetched."""
    wall: float
    phase_wall: float
    """From the first start to the last end of the runs that belong together."""
    rss_mb: float

    @property
    def dedup(self) -> bool:
        return self.asset == DEDUPLICATION

    @property
    def work(self) -> float:
        """CPU seconds, what the start of a process takes left out: that is the same for one record and a million."""
        return self.client_cpu + self.server_cpu

    @property
    def cpu(self) -> float:
        return self.work + self.start_cpu


@contextmanager
def server() -> Iterator[EmbeddedServer]:
    """As in production: with autovacuum, whose ANALYZE decides about plans while tables grow."""
    with bench_server() as running:
        with BenchDatabase(running, "settings").administrator() as connection:
            connection.execute("ALTER SYSTEM RESET autovacuum")
            connection.execute("SELECT pg_reload_conf()")
        yield running


@contextmanager
def place(running: EmbeddedServer, count: int, sources: int = SOURCES) -> Iterator[Place]:
    """Records in files, and databases for them."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        note(f"scale: writing {count} records of {sources} sources")
        made = run_child("benchmarks.scale.records", {"count": count, "sources": sources, "folder": folder})
        names = sorted(made["records"], key=lambda name: -made["records"][name])
        found = Place(running, f"scale_{count}_{sources}", Path(folder), count, names)
        yield found
        found.drop()


@dataclass(slots=True)
class Place:
    """The records and databases of one measurement."""

    server: EmbeddedServer
    name: str
    folder: Path
    records: int
    sources: Sequence[str]
    """By size, the largest first: it is started first."""

    def imports(self, *, workers: int = 1, again: bool = False) -> Iterator[Measurement]:
        """One run a source."""
        return self._phase([(name, 0, WEEKS) for name in self.sources], 1, workers, again)

    def deduplication(self, *, pieces: int = 1, workers: int = 1, again: bool = False) -> Iterator[Measurement]:
        """The weeks in as many runs as there are pieces."""
        bounds = [WEEKS * number // pieces for number in range(pieces + 1)]
        tasks = [(DEDUPLICATION, begin, end) for begin, end in pairwise(bounds)]
        return self._phase(tasks, pieces, workers, again)

    def clusters(self) -> tuple[int, str]:
        """How many events there are, and a sum over which records each has: equal for equal results."""
        [row] = self._platform().fetch(
            "SELECT count(*), sum(hashtextextended(members, 0)::numeric)::text FROM (SELECT string_agg(source || ':' ||"
            " source_id, ',' ORDER BY source, source_id) AS members FROM event_links GROUP BY event_id) AS events"
        )
        return int(row[0]), str(row[1])

    def forget(self, *, imports: bool = False) -> None:
        """Make what was deduplicated undone; with `imports`, the rest too."""
        tables = "deduplicated_events, event_links, deduplication_weeks, match_reviews, tag_enrichments"
        if imports:
            tables += ", raw_events, raw_events_seen, rejected_records, import_jobs, import_job_partitions"
        with self._platform().administrator() as connection:
            connection.execute(f"TRUNCATE {tables} CASCADE".encode())

    def drop(self) -> None:
        """Make room for the next one."""
        with BenchDatabase(self.server, "settings").administrator() as connection:
            for name in (self.name, f"{self.name}_dagster"):
                connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())

    def _platform(self) -> BenchDatabase:
        return BenchDatabase(self.server, self.name)

    def _phase(
        self, tasks: Sequence[tuple[str, int, int]], pieces: int, workers: int, again: bool
    ) -> Iterator[Measurement]:
        """Runs that may be under way together; a worker that is free takes the next one."""
        database, storage = self._platform(), BenchDatabase(self.server, f"{self.name}_dagster")
        database.migrate()
        environment = {
            "DATABASE_URL": database.url,
            "DAGSTER_DATABASE_URL": storage.url,
            "INGESTION_HOME": str(self.folder / "home"),
            "DAGSTER_HOME": str(ROOT),
        }
        note(
            f"scale: {self.records} records, {workers} workers, {'again ' * again}{tasks[0][0]} and {len(tasks) - 1} more"
        )
        pid = self.server.status().pid
        if pid is None:
            raise RuntimeError("the server is not running")

        def run(task: tuple[str, int, int]) -> dict[str, Any]:
            asset, begin, end = task
            told = {
                "asset": asset,
                "folder": str(self.folder),
                "first": _week(begin).isoformat(),
                "last": _week(end - 1).isoformat(),
                "workers": workers,
            }
            return run_child("benchmarks.scale.step", told, environment=environment)

        cpu, began = tree_cpu_seconds(pid), time.perf_counter()
        with ThreadPoolExecutor(max_workers=workers) as pool:
            done = list(pool.map(run, tasks))
        wall = time.perf_counter() - began
        with database.administrator() as connection:  # what the runs left to the checkpointer is theirs
            connection.execute("CHECKPOINT")
        server_cpu = tree_cpu_seconds(pid) - cpu
        # By records, so that a small source is not charged like a large one.
        fetched = sum(one["counts"]["fetched"] for one in done) or 1
        for one in done:
            yield Measurement(
                records=self.records,
                sources=len(self.sources),
                workers=workers,
                pieces=pieces,
                again=again,
                asset=one["asset"],
                counts=one["counts"],
                client_cpu=one["cpu"],
                start_cpu=one["start_up_cpu"],
                server_cpu=server_cpu * one["counts"]["fetched"] / fetched,
                wall=one["wall"],
                phase_wall=wall,
                rss_mb=one["rss_mb"],
            )


def _week(number: int) -> date:
    return FIRST + timedelta(weeks=number)
