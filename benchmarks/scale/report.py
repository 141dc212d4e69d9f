"""What was measured of growth, as bars, tables and lines to be drawn."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import pairwise

from benchmarks._figures import Line, Series
from benchmarks._measure import Bar, bars_table, markdown_table
from benchmarks.scale.phases import PIECES, Measurement
from benchmarks.scale.records import SOURCES, WEEKS

_INTRODUCTION = (
    f"{WEEKS} weekly partitions; each import and each deduplication is a Dagster run in a process of its own. The calendar "
    "is the same at every size: ten times the records lie ten times as dense. CPU is that of the processes and of "
    "PostgreSQL, without the start of the interpreter and its imports, which is the same for any number of records. A run "
    "also stores some hundred events of its partitions in Dagster's database, whatever the records: that is most of the "
    "cost of small sizes, and of doing it again."
)
MEMORY_LIMIT_MB = 1024
"""What INGESTION_CELERY_CHILD_MEMORY_MB allows a worker's process unless it is set."""
_STEPS = ((False, "imports"), (True, "deduplication"))


def exponent(small: float, large: float, factor: float) -> float:
    """p where cost grows like n to the power of p."""
    return math.log(large / small) / math.log(factor)


class Totals:
    """Runs that belong together."""

    def __init__(self, found: Sequence[Measurement]) -> None:
        self.found = found
        self.sizes = sorted({one.records for one in found})

    def of(
        self,
        records: int,
        *,
        dedup: bool,
        again: bool = False,
        sources: int = SOURCES,
        workers: int = 1,
        pieces: int = 1,
    ) -> list[Measurement]:
        """The runs of one phase."""
        key = (records, dedup, again, sources, workers, pieces)
        return [
            one
            for one in self.found
            if (one.records, one.dedup, one.again, one.sources, one.workers, one.pieces) == key
        ]

    def work(self, records: int, *, dedup: bool, again: bool = False, sources: int = SOURCES) -> float:
        """CPU seconds of a phase by one worker."""
        return sum(one.work for one in self.of(records, dedup=dedup, again=again, sources=sources))

    def both(self, records: int, *, again: bool = False) -> float:
        return sum(self.work(records, dedup=dedup, again=again) for dedup, _ in _STEPS)

    def by_sources(self) -> tuple[int, list[int]]:
        """The size at which sources were compared, and how many there were."""
        size = next((one.records for one in self.found if one.sources != SOURCES), 0)
        return size, sorted({one.sources for one in self.found if one.records == size})

    def by_workers(self) -> tuple[int, list[int]]:
        """The size at which the work was shared, and the numbers of workers."""
        size = next((one.records for one in self.found if one.pieces > 1), 0)
        return size, sorted({one.workers for one in self.found if one.records == size})


def bars(found: Sequence[Measurement]) -> list[Bar]:
    """What must hold."""
    totals = Totals(found)
    sizes = totals.sizes
    small, large = sizes[0], sizes[-1]
    result = []
    for one, two in pairwise(sizes):
        growth = exponent(totals.both(one), totals.both(two), two / one)
        result.append(Bar(f"exponent of CPU, {one} to {two} records", growth, 1.1, unit=""))
    if len(sizes) > 1:
        rss = [_peak(totals.of(size, dedup=False)) for size in (small, large)]
        result.append(Bar(f"peak memory of an import, {large} / {small} records", rss[1] / rss[0], 1.3))
    result.append(Bar(f"peak memory of any run, {large} records", _peak(found), MEMORY_LIMIT_MB, unit="MB"))
    again = totals.both(large, again=True) / totals.both(large)
    result.append(Bar(f"CPU of doing it again / of the first time, {large} records", again, 0.6))
    size, workers = totals.by_workers()
    if len(workers) > 1:
        walls = [_wall(totals.of(size, dedup=True, workers=number, pieces=PIECES)) for number in (1, workers[-1])]
        text = f"wall of the deduplication, one worker / {workers[-1]}, {size} records"
        result.append(Bar(text, walls[0] / walls[1], 1.4, at_least=True))
    return result


def report(found: Sequence[Measurement]) -> str:
    """The section of the report."""
    totals = Totals(found)
    parts = [
        f"## Scale: two years of {SOURCES} sources, raw to deduplicated",
        _INTRODUCTION,
        bars_table(bars(found)),
        _by_records(totals),
        _growth(totals),
        _by_sources(totals),
        _by_workers(totals),
    ]
    return "\n\n".join(part for part in parts if part)


def series(found: Sequence[Measurement]) -> list[Series]:
    """How cost grows, to be drawn."""
    totals = Totals(found)
    sizes = totals.sizes
    drawn: list[Series] = []
    if len(sizes) > 1:
        drawn.append(
            {
                "title": "Scale: CPU by records",
                "x_label": "records of two years",
                "y_label": "CPU seconds",
                "x_log": True,
                "y_log": True,
                "lines": [
                    {
                        "label": f"{name}{', nothing new' * again}",
                        "points": [[size, totals.work(size, dedup=dedup, again=again)] for size in sizes],
                    }
                    for again in (False, True)
                    for dedup, name in _STEPS
                ],
            }
        )
        drawn.append(
            {
                "title": "Scale: peak memory of a run by records",
                "x_label": "records of two years",
                "y_label": "MB",
                "x_log": True,
                "y_log": False,
                "lines": [
                    {"label": name, "points": [[size, _peak(totals.of(size, dedup=dedup))] for size in sizes]}
                    for dedup, name in (*_STEPS,)
                ],
            }
        )
    size, sources = totals.by_sources()
    if len(sources) > 1:
        lines: list[Line] = [
            {
                "label": name,
                "points": [[number, totals.work(size, dedup=dedup, sources=number) / size * 1e6] for number in sources],
            }
            for dedup, name in _STEPS
        ]
        drawn.append(
            {
                "title": f"Scale: CPU a record by sources, {size} records",
                "x_label": "sources that list them",
                "y_label": "microseconds",
                "x_log": False,
                "y_log": False,
                "lines": lines,
            }
        )
    size, workers = totals.by_workers()
    if len(workers) > 1:
        drawn.append(
            {
                "title": f"Scale: wall time by workers, {size} records",
                "x_label": f"workers on {_cores()} cores, PostgreSQL beside them",
                "y_label": "seconds",
                "x_log": False,
                "y_log": False,
                "lines": [
                    {
                        "label": name,
                        "points": [[number, _wall(_shared(totals, size, dedup, number))] for number in workers],
                    }
                    for dedup, name in _STEPS
                ],
            }
        )
    return drawn


def _by_records(totals: Totals) -> str:
    rows = []
    for size in totals.sizes:
        for again in (False, True):
            for dedup, name in _STEPS:
                steps = totals.of(size, dedup=dedup, again=again)
                if not steps:
                    continue
                fetched = size if dedup else sum(one.counts["fetched"] for one in steps)
                rows.append(
                    {
                        "records": size,
                        "step": f"{name}{', nothing new' * again}",
                        "wall": f"{_wall(steps):.0f} s",
                        "CPU of processes": f"{sum(one.client_cpu for one in steps):.0f} s",
                        "CPU of PostgreSQL": f"{sum(one.server_cpu for one in steps):.0f} s",
                        "CPU a record": f"{sum(one.work for one in steps) / fetched * 1e6:.0f} us",
                        "started in": f"{sum(one.start_cpu for one in steps):.0f} s",
                        "peak memory": f"{_peak(steps):.0f} MB",
                        "created": sum(one.counts["created"] for one in steps),
                        "skipped": sum(one.counts["skipped"] for one in steps),
                    }
                )
    return markdown_table(list(rows[0]), rows)


def _growth(totals: Totals) -> str:
    rows = []
    for dedup, name in _STEPS:
        row = {"step": name}
        for one, two in pairwise(totals.sizes):
            small, large = (totals.work(size, dedup=dedup) for size in (one, two))
            row[f"exponent, {one} to {two}"] = f"{exponent(small, large, two / one):.2f}"
            row[f"each further record, {one} to {two}"] = f"{(large - small) / (two - one) * 1e6:.0f} us"
        rows.append(row)
    if len(totals.sizes) < 2:
        return ""
    return f"Growth of CPU with records:\n\n{markdown_table(list(rows[0]), rows)}"


def _by_sources(totals: Totals) -> str:
    size, sources = totals.by_sources()
    rows = []
    for number in sources:
        imports = totals.of(size, dedup=False, sources=number)
        dedup = totals.of(size, dedup=True, sources=number)
        rows.append(
            {
                "sources": number,
                "CPU of the imports": f"{sum(one.work for one in imports):.1f} s",
                "CPU of the deduplication": f"{sum(one.work for one in dedup):.1f} s",
                "started in": f"{sum(one.start_cpu for one in (*imports, *dedup)):.0f} s",
                "events": sum(one.counts["created"] for one in dedup),
                "peak memory": f"{_peak((*imports, *dedup)):.0f} MB",
            }
        )
    if len(rows) < 2:
        return ""
    text = f"{size} records in all, listed by more and more sources, of fewer and fewer events:"
    return f"{text}\n\n{markdown_table(list(rows[0]), rows)}"


def _by_workers(totals: Totals) -> str:
    size, workers = totals.by_workers()
    rows = []
    for dedup, name in _STEPS:
        alone = _shared(totals, size, dedup, 1)
        for number in workers:
            steps = _shared(totals, size, dedup, number)
            rows.append(
                {
                    "step": f"{len(steps)} {'deduplications' if dedup else name}",
                    "workers": number,
                    "wall": f"{_wall(steps):.1f} s",
                    "one worker's / this": f"{_wall(alone) / _wall(steps):.2f}",
                    "CPU": f"{sum(one.cpu for one in steps):.0f} s",
                    "peak memory of each": f"{_peak(steps):.0f} MB",
                }
            )
    if len(workers) < 2:
        return ""
    text = (
        f"The backfill of {size} records by several workers at once, PostgreSQL and they on {_cores()} cores together; the "
        "start of the processes is counted. The events are those of one run, record for record:"
    )
    return f"{text}\n\n{markdown_table(list(rows[0]), rows)}"


def _shared(totals: Totals, size: int, dedup: bool, workers: int) -> list[Measurement]:
    return totals.of(size, dedup=dedup, workers=workers, pieces=PIECES if dedup else 1)


def _wall(steps: Sequence[Measurement]) -> float:
    return steps[0].phase_wall


def _peak(steps: Sequence[Measurement]) -> float:
    return max(one.rss_mb for one in steps)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
