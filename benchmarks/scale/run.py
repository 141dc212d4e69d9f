"""From two years of records of seven sources to deduplicated events, through the assets: how cost grows.

    python -m benchmarks.scale.run [--quick] [--size N] [--json FILE]

Every step is a Dagster run in a process of its own: seven imports of 104 weeks each, then the deduplication of all of
them, then both again with nothing new. At the smallest size the imports are also run by one, two and four workers at once.
Prints Markdown.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks._database import BenchDatabase, bench_server
from benchmarks._measure import Bar, bars_table, markdown_table, tree_cpu_seconds
from benchmarks._options import Options, note, read_options
from benchmarks._processes import ROOT, run_child
from benchmarks.scale.records import WEEKS
from resources.postgres.server import EmbeddedServer

DEDUPLICATION = "deduplicated_events"
WORKERS = (1, 2, 4)
_INTRODUCTION = (
    f"{WEEKS} weekly partitions, seven imports and one deduplication, each a Dagster run in a process of its own. The "
    "calendar is the same at every size: ten times the records lie ten times as dense. CPU is that of the process, its "
    "start included, and of PostgreSQL."
)
MEMORY_LIMIT_MB = 1024
"""What INGESTION_CELERY_CHILD_MEMORY_MB allows a worker's process unless it is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One asset, materialized for all weeks."""

    records: int
    """Of all sources together."""
    workers: int
    again: bool
    """The second time, with nothing new."""
    asset: str
    counts: Mapping[str, int]
    client_cpu: float
    """Seconds, the start of the process and of Dagster included."""
    server_cpu: float
    """Seconds. With several workers at once, that of the whole phase divided by the number of its runs."""
    wall: float
    phase_wall: float
    """From the first start to the last end of the runs that belong together."""
    rss_mb: float

    @property
    def cpu(self) -> float:
        return self.client_cpu + self.server_cpu


def measure(count: int, workers: Sequence[int]) -> Iterator[Measurement]:
    """All steps with `count` records; the first of `workers` also deduplicates and does everything twice."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, _server() as server:
        note(f"scale: writing {count} records")
        made = run_child("benchmarks.scale.records", {"count": count, "folder": folder})
        sources = sorted(made["records"], key=lambda name: -made["records"][name])
        for number in workers:
            place = _Place(server, f"scale_{number}", Path(folder), count, number)
            yield from place.phase(sources, again=False)
            if number == workers[0]:
                yield from place.phase([DEDUPLICATION], again=False)
                yield from place.phase(sources, again=True)
                yield from place.phase([DEDUPLICATION], again=True)
            place.drop()


@contextmanager
def _server() -> Iterator[EmbeddedServer]:
    """As in production: with autovacuum, whose ANALYZE decides about plans while tables grow."""
    with bench_server() as server:
        with BenchDatabase(server, "settings").administrator() as connection:
            connection.execute("ALTER SYSTEM RESET autovacuum")
            connection.execute("SELECT pg_reload_conf()")
        yield server


@dataclass(frozen=True, slots=True)
class _Place:
    """The databases of one measurement."""

    server: EmbeddedServer
    name: str
    folder: Path
    records: int
    workers: int

    def phase(self, assets: Sequence[str], *, again: bool) -> Iterator[Measurement]:
        """Runs that may be under way together."""
        platform, storage = BenchDatabase(self.server, self.name), BenchDatabase(self.server, f"{self.name}_dagster")
        platform.migrate()
        environment = {
            "DATABASE_URL": platform.url,
            "DAGSTER_DATABASE_URL": storage.url,
            "INGESTION_HOME": str(self.folder / self.name),
            "DAGSTER_HOME": str(ROOT),
        }
        note(f"scale: {self.records} records, {self.workers} workers, {'again ' if again else ''}{', '.join(assets)}")
        pid = self.server.status().pid
        if pid is None:
            raise RuntimeError("the server is not running")

        def run(asset: str) -> dict[str, Any]:
            task = {"asset": asset, "folder": str(self.folder)}
            return run_child("benchmarks.scale.step", task, environment=environment)

        cpu, began = tree_cpu_seconds(pid), time.perf_counter()
        with ThreadPoolExecutor(max_workers=self.workers) as pool:
            done = list(pool.map(run, assets))
        wall = time.perf_counter() - began
        with platform.administrator() as connection:  # what the runs left to the checkpointer is theirs
            connection.execute("CHECKPOINT")
        server_cpu = tree_cpu_seconds(pid) - cpu
        # By records, so that a small source is not charged like a large one.
        fetched = sum(one["counts"]["fetched"] for one in done) or 1
        for one in done:
            yield Measurement(
                records=self.records,
                workers=self.workers,
                again=again,
                asset=one["asset"],
                counts=one["counts"],
                client_cpu=one["cpu"] + one["start_up_cpu"],
                server_cpu=server_cpu * one["counts"]["fetched"] / fetched,
                wall=one["wall"],
                phase_wall=wall,
                rss_mb=one["rss_mb"],
            )

    def drop(self) -> None:
        """Make room for the next one."""
        with BenchDatabase(self.server, "settings").administrator() as connection:
            for name in (self.name, f"{self.name}_dagster"):
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def exponent(small: float, large: float, factor: float) -> float:
    """p where cost grows like n to the power of p."""
    return math.log(large / small) / math.log(factor)


@dataclass(frozen=True, slots=True)
class _Totals:
    """Sums over the steps of one size and number of workers."""

    found: Sequence[Measurement]

    def of(self, records: int, *, dedup: bool, again: bool = False, workers: int = 1) -> list[Measurement]:
        return [
            one
            for one in self.found
            if (one.records, one.workers, one.again) == (records, workers, again)
            and (one.asset == DEDUPLICATION) == dedup
        ]

    def cpu(self, records: int, *, dedup: bool, again: bool = False, workers: int = 1) -> float:
        return sum(one.cpu for one in self.of(records, dedup=dedup, again=again, workers=workers))


def bars(found: Sequence[Measurement]) -> list[Bar]:
    """What must hold."""
    totals, sizes = _Totals(found), sorted({one.records for one in found})
    small, large = sizes[0], sizes[-1]
    result = []
    if len(sizes) > 1:
        factor = large / small
        both = [sum(totals.cpu(size, dedup=dedup) for dedup in (False, True)) for size in (small, large)]
        result.append(Bar(f"exponent of CPU, {small} to {large} records", exponent(*both, factor), 1.1, unit=""))
        rss = [max(one.rss_mb for one in totals.of(size, dedup=False)) for size in (small, large)]
        result.append(Bar(f"peak memory of an import, {large} / {small} records", rss[1] / rss[0], 1.3))
    peak = max(one.rss_mb for one in found)
    result.append(Bar(f"peak memory of any run, {large} records", peak, MEMORY_LIMIT_MB, unit="MB"))
    again = sum(totals.cpu(large, dedup=dedup, again=True) for dedup in (False, True))
    first = sum(totals.cpu(large, dedup=dedup) for dedup in (False, True))
    result.append(Bar(f"CPU of doing it again / of the first time, {large} records", again / first, 0.6))
    return result


def report(found: Sequence[Measurement]) -> str:
    """The section of the report."""
    totals, sizes = _Totals(found), sorted({one.records for one in found})
    parts = [
        "## Scale: two years of seven sources, raw to deduplicated",
        _INTRODUCTION,
        bars_table(bars(found)),
    ]
    rows = []
    for size in sizes:
        for again in (False, True):
            for dedup in (False, True):
                steps = totals.of(size, dedup=dedup, again=again)
                if not steps:
                    continue
                cpu = sum(one.cpu for one in steps)
                fetched = {False: sum(one.counts["fetched"] for one in steps), True: size}[dedup]
                rows.append(
                    {
                        "records": size,
                        "step": f"{'deduplication' if dedup else 'seven imports'}{', nothing new' if again else ''}",
                        "wall": f"{steps[0].phase_wall:.0f} s",
                        "CPU of processes": f"{sum(one.client_cpu for one in steps):.0f} s",
                        "CPU of PostgreSQL": f"{sum(one.server_cpu for one in steps):.0f} s",
                        "CPU a record": f"{cpu / fetched * 1e6:.0f} us",
                        "peak memory": f"{max(one.rss_mb for one in steps):.0f} MB",
                        "created": sum(one.counts["created"] for one in steps),
                        "skipped": sum(one.counts["skipped"] for one in steps),
                    }
                )
    parts.append(markdown_table(list(rows[0]), rows))
    if len(sizes) > 1:
        factor = sizes[-1] / sizes[0]
        parts.append(
            markdown_table(
                ("step", "exponent of CPU"),
                [
                    {"step": name, "exponent of CPU": f"{exponent(*figures, factor):.2f}"}
                    for name, dedup in (("imports", False), ("deduplication", True))
                    if (figures := [totals.cpu(size, dedup=dedup) for size in (sizes[0], sizes[-1])])
                ],
            )
        )
    parts.append(_workers(totals, sizes[0]))
    return "\n\n".join(part for part in parts if part)


def _workers(totals: _Totals, size: int) -> str:
    rows = []
    for number in sorted({one.workers for one in totals.found}):
        steps = totals.of(size, dedup=False, workers=number)
        alone = totals.of(size, dedup=False)
        if steps:
            rows.append(
                {
                    "workers": number,
                    "wall of the seven imports": f"{steps[0].phase_wall:.1f} s",
                    "one worker's / this": f"{alone[0].phase_wall / steps[0].phase_wall:.2f}",
                    "CPU": f"{sum(one.cpu for one in steps):.0f} s",
                    "peak memory of each": f"{max(one.rss_mb for one in steps):.0f} MB",
                }
            )
    if len(rows) < 2:
        return ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = f"The backfill of {size} records by several workers at once, PostgreSQL and they on {cores} cores together:"
    return f"{text}\n\n{markdown_table(list(rows[0]), rows)}"


def main(arguments: Sequence[str] | None = None) -> None:
    options: Options = read_options(__doc__ or "", arguments, sizes=(100_000, 1_000_000), quick=(20_000,))
    found: list[Measurement] = []
    for number, size in enumerate(options.sizes):
        found += measure(size, WORKERS if number == 0 else WORKERS[:1])
    options.write(report(found), [asdict(one) for one in found], bars(found))


if __name__ == "__main__":
    main(sys.argv[1:])
