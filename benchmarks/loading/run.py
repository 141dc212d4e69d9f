"""The load path against dlt's merge: the same records, the same server, one run.

    python -m benchmarks.loading.run [--quick] [--json FILE] [--without-peers]

Three passes: a first load, a second with 10 % changed and 2 % new, and the second once more. Every pass of every method
is a process of its own. Prints Markdown.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks._database import BenchDatabase, ServerCost, bench_server
from benchmarks._figures import Comparison, Group
from benchmarks._measure import Bar, bars_table, markdown_table
from benchmarks._options import WARM_UP, Options, note, read_options
from benchmarks._processes import peer_python, run_child

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
PASSES = ("first load", "10 % changed, 2 % new", "unchanged")
OURS, WITH_PARSER = "ours", "ours, with the Eventbrite parser"


@dataclass(frozen=True, slots=True)
class Method:
    """One way to load the records."""

    name: str
    module: str
    task: Mapping[str, Any] = field(default_factory=dict)
    peer: bool = True
    largest: int | None = None
    """Not measured with more records: another method stands for it."""


METHODS = (
    Method(OURS, "benchmarks.loading.ours", {"parser": False}, peer=False),
    Method(WITH_PARSER, "benchmarks.loading.ours", {"parser": True}, peer=False),
    Method(
        "dlt delete-insert",
        "benchmarks.loading.dlt_merge",
        {"strategy": "delete-insert", "nested": True},
        largest=20_000,  # its client does the same as upsert's
    ),
    Method("dlt upsert", "benchmarks.loading.dlt_merge", {"strategy": "upsert", "nested": True}),
    Method(
        "dlt upsert, JSON columns, CSV",
        "benchmarks.loading.dlt_merge",
        {"strategy": "upsert", "nested": False, "file_format": "csv"},
        largest=20_000,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One pass of one method."""

    method: str
    events: int
    """Records of the first pass."""
    number: int
    """0, 1 or 2: an index of `PASSES`."""
    client_us: float
    server_us: float
    """CPU microseconds per record of the pass."""
    start_up_cpu: float
    wall: float
    rss_mb: float
    wal_bytes: int
    wide_wal_bytes: int | None
    """WAL of the wide table with its indexes; measured for the unchanged pass of ours."""
    written: int
    """Rows inserted, updated and deleted in the tables of events, staging not counted."""
    counts: Mapping[str, int] | None
    exact: bool
    """The counts, or where a method has none the number of rows, are the truth."""

    @property
    def both_us(self) -> float:
        return self.client_us + self.server_us


def measure(count: int, options: Options) -> Iterator[Measurement]:
    """All passes of all methods with `count` records."""
    python = None if options.without_peers else peer_python(REQUIREMENTS)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, bench_server() as server:
        note(f"loading: writing {count} records")
        data = run_child("benchmarks.loading.records", {"count": count, "folder": folder})
        places = [
            _Place(method, BenchDatabase(server, f"bench_{index}"), str(Path(folder) / f"state_{index}"), python)
            for index, method in enumerate(METHODS)
            if (not method.peer or python is not None) and (method.largest or count) >= count
        ]
        for place in places:
            if not place.method.peer:
                place.database.migrate()
        # Pass by pass, so that methods which are compared have met the same neighbours on a shared machine.
        for number, truth in enumerate(data["truth"]):
            for place in places:
                note(f"loading: {place.method.name}, {count} records, {PASSES[number]}")
                yield place.load(number, truth, count, data["pass1" if number == 0 else "pass2"])


@dataclass(frozen=True, slots=True)
class _Place:
    """A method with what it works in."""

    method: Method
    database: BenchDatabase
    state: str
    python: str | None

    def load(self, number: int, truth: Mapping[str, int], events: int, path: str) -> Measurement:
        """One pass in a process of its own."""
        method, database = self.method, self.database
        task = {**method.task, "path": path}
        wide = "raw_events" if not method.peer and number == 2 else None
        with database.watched(wal_of=wide) as server_cost:
            if method.peer:
                task |= {"url": database.tcp_url, "folder": self.state}
                done = run_child(method.module, task, python=self.python or sys.executable)
            else:
                done = run_child(method.module, task | {"url": database.url, "run": f"run {number}"})
        return _measurement(method, number, truth, events, done, server_cost, database)


def _measurement(
    method: Method,
    number: int,
    truth: Mapping[str, int],
    events: int,
    done: Mapping[str, Any],
    server: ServerCost,
    database: BenchDatabase,
) -> Measurement:
    table = "bench.events" if method.peer else "public.raw_events"
    records = sum(truth.values())
    rows = database.fetch(f"SELECT count(*) FROM {table}")[0][0]
    return Measurement(
        method=method.name,
        events=events,
        number=number,
        client_us=done["cpu"] / records * 1e6,
        server_us=server.cpu / records * 1e6,
        start_up_cpu=done["start_up_cpu"],
        wall=done["wall"],
        rss_mb=done["rss_mb"],
        wal_bytes=server.wal_bytes,
        wide_wal_bytes=server.table_wal_bytes,
        written=sum((server.tuples or {}).get(table, (0, 0, 0))),
        counts=done["counts"],
        exact=rows == records and (method.peer or done["counts"] == truth),
    )


def bars(found: Sequence[Measurement]) -> list[Bar]:
    """What must hold, from the largest size that was measured."""
    sizes = sorted({one.events for one in found})
    at = {(one.method, one.events, one.number): one for one in found}
    largest = sizes[-1]
    ours = [at[OURS, largest, number] for number in range(3)]
    result = []
    for method in METHODS:
        measured_with = [size for size in sizes if (method.name, size, 0) in at]
        if not method.peer or not measured_with:
            continue
        size = measured_with[-1]
        for who in (OURS, WITH_PARSER):
            ratios = [at[method.name, size, n].client_us / at[who, size, n].client_us for n in range(3)]
            result += [
                Bar(f"client CPU, {method.name} / {who}, {size}: {PASSES[n]}", ratio, 6, at_least=True)
                for n, ratio in enumerate(ratios)
            ]
    result.append(
        Bar("CPU of the second pass / of the first (client and server)", ours[1].both_us / ours[0].both_us, 0.6)
    )
    wide = (ours[2].wide_wal_bytes or 0) / largest * 1000
    result.append(Bar("WAL of the wide table, unchanged pass, per 1,000 records", wide, 1024, unit="bytes"))
    if len(sizes) > 1:
        for who in (OURS, WITH_PARSER):
            growth = max(at[who, largest, n].rss_mb for n in range(3)) / max(
                at[who, sizes[0], n].rss_mb for n in range(3)
            )
            result.append(Bar(f"peak memory, {largest} / {sizes[0]} records: {who}", growth, 1.3))
    return result


def comparisons(found: Sequence[Measurement]) -> list[Comparison]:
    """What a record costs, pass by pass, and the memory of the largest pass."""
    places = list(dict.fromkeys((one.events, one.number) for one in found))
    sizes = list(dict.fromkeys(one.events for one in found))

    def groups(value: Callable[[Measurement], float]) -> list[Group]:
        return [
            {
                "label": f"{size:,} records, {PASSES[number]}",
                "values": {one.method: value(one) for one in found if (one.events, one.number) == (size, number)},
            }
            for size, number in places
        ]

    memory: list[Group] = [
        {
            "label": f"{size:,} records",
            "values": {
                method: max(one.rss_mb for one in found if (one.method, one.events) == (method, size))
                for method in dict.fromkeys(one.method for one in found if one.events == size)
            },
        }
        for size in sizes
    ]
    return [
        {
            "title": "Client CPU a record",
            "unit": "µs",
            "lower_is_better": True,
            "groups": groups(lambda one: one.client_us),
        },
        {
            "title": "Client and server CPU a record",
            "unit": "µs",
            "lower_is_better": True,
            "groups": groups(lambda one: one.both_us),
        },
        {"title": "Peak memory of the client", "unit": "MB", "lower_is_better": True, "groups": memory},
    ]


def report(found: Sequence[Measurement], record_note: str) -> str:
    """The section of the report."""
    parts = ["## Loading: records into PostgreSQL", record_note, bars_table(bars(found))]
    for size in sorted({one.events for one in found}):
        rows = [
            {
                "method": one.method,
                "pass": PASSES[one.number],
                "client µs": f"{one.client_us:.0f}",
                "server µs": f"{one.server_us:.0f}",
                "start-up s": f"{one.start_up_cpu:.1f}",
                "wall s": f"{one.wall:.1f}",
                "peak MB": f"{one.rss_mb:.0f}",
                "WAL MB": f"{one.wal_bytes / 2**20:.1f}",
                "rows written": one.written,
                "counts": _counts(one),
            }
            for one in found
            if one.events == size
        ]
        parts += [f"### {size:,} records", markdown_table(list(rows[0]), rows)]
    return "\n\n".join(parts)


def _counts(one: Measurement) -> str:
    if one.counts is None:
        return "none; rows " + ("right" if one.exact else "**wrong**")
    said = "/".join(str(one.counts[key]) for key in ("created", "updated", "skipped"))
    return f"{said}, {'exact' if one.exact else '**wrong**'}"


NOTE = (
    "CPU microseconds per record of the pass, of the client's process after its imports (those are `start-up`) and of "
    "the server with all its processes. `ours` is `ImportJob` and `load_pages`, given id, title and start of each record, "
    "as dlt is given its primary key; `with the Eventbrite parser` does more than any peer: it makes normalised events "
    "of the records. dlt runs over TCP, ours through the Unix socket; dlt neither hashes records nor counts what changed. "
    "`JSON columns, CSV` is dlt told to leave nested values alone and to use COPY. The ledger's and dlt's own tables are "
    "in the WAL, not in `rows written`."
)


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_options(__doc__ or "", arguments, sizes=(10_000, 100_000), quick=(2_000,))
    if options.sizes[-1] > WARM_UP:  # compiles modules, fills the page cache
        for _ in measure(WARM_UP, replace(options, without_peers=True)):
            pass
    found = [one for count in options.sizes for one in measure(count, options)]
    wrong = [f"{one.method}, {PASSES[one.number]}" for one in found if not one.exact]
    rows = [asdict(one) for one in found]
    options.write(report(found, NOTE), rows, bars(found), comparisons=comparisons(found))
    if wrong:
        raise SystemExit(f"the counts differ from the truth: {'; '.join(wrong)}")


if __name__ == "__main__":
    main()
