"""A whole pull against dlt's rest_api source: the same fake Eventbrite over HTTP, into rows, one run.

    python -m benchmarks.pull.run [--quick] [--json FILE] [--without-peers]

Two passes: everything new, then 10 % changed and 2 % new. The service is a process of its own, and so is every pass of
every method. Up to 20,000 events each pass of each method is measured three times, by turns and in alternating order, so
that what else the machine does falls on all alike; medians are compared. Prints Markdown.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._database import BenchDatabase, ServerCost, bench_server
from benchmarks._figures import Comparison, Group
from benchmarks._measure import Bar, bars_table, markdown_table
from benchmarks._options import WARM_UP, Options, note, read_options
from benchmarks._processes import FakeProcess, fake_service, peer_python, run_child
from benchmarks.pull import service

REQUIREMENTS = Path(__file__).parents[1] / "loading" / "requirements.txt"
PASSES = ("first", "10 % changed, 2 % new")
OURS = "ours"
REPEATS = 3
REPEATED_UP_TO = 20_000
"""Events; a pass over more of them is long enough to see good and bad moments of the machine."""


@dataclass(frozen=True, slots=True)
class Method:
    """One way to pull. `stores` is false for those that only download and parse."""

    name: str
    module: str
    task: Mapping[str, Any] = field(default_factory=dict)
    peer: bool = True
    stores: bool = True
    largest: int | None = None
    """Not measured with more events: another method stands for it."""


RAW = (
    Method(
        "download and parse: httpx, json", "benchmarks.pull.raw", {"client": "httpx", "parser": "json"}, stores=False
    ),
    Method(
        "download and parse: httpx, orjson",
        "benchmarks.pull.raw",
        {"client": "httpx", "parser": "orjson"},
        stores=False,
    ),
    Method(
        "download and parse: urllib3, orjson",
        "benchmarks.pull.raw",
        {"client": "urllib3", "parser": "orjson"},
        stores=False,
    ),
)
DLT = (
    Method(
        "dlt rest_api, delete-insert",
        "benchmarks.pull.dlt_rest",
        {"strategy": "delete-insert", "nested": True},
    ),
    Method("dlt rest_api, upsert", "benchmarks.pull.dlt_rest", {"strategy": "upsert", "nested": True}),
    Method(
        "dlt rest_api, upsert, JSON columns, CSV",
        "benchmarks.pull.dlt_rest",
        {"strategy": "upsert", "nested": False, "file_format": "csv"},
        largest=20_000,
    ),
)
METHODS = (*RAW, Method(OURS, "benchmarks.pull.ours", peer=False), *DLT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One pass of one method."""

    method: str
    events: int
    """Events of the service in the first pass."""
    number: int
    client_us: float
    server_us: float | None
    """CPU microseconds per event of the pass; the server is the database's."""
    start_up_cpu: float
    wall: float
    rss_mb: float
    counts: Mapping[str, int] | None
    exact: bool
    repeats: tuple[float, ...] = ()
    """`client_us` of each repeat, ascending; `client_us`, `server_us` and `wall` are medians, `rss_mb` the highest."""

    @property
    def spread(self) -> str:
        return f"{self.repeats[0]:.0f}–{self.repeats[-1]:.0f}" if len(self.repeats) > 1 else "–"


def measure(count: int, options: Options) -> Iterator[Measurement]:
    """All passes of all methods with `count` events."""
    python = None if options.without_peers else peer_python(REQUIREMENTS)
    note(f"pull: starting a service with {count} events")
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        bench_server() as server,
        fake_service(service.FACTORY, {"count": count}) as fake,
    ):
        repeats = range(REPEATS if WARM_UP < count <= REPEATED_UP_TO else 1)
        taking_part = [
            method
            for method in METHODS
            if (python is not None or not method.peer) and (method.largest is None or count <= method.largest)
        ]
        databases: dict[tuple[str, int], BenchDatabase] = {}
        for index, method in enumerate(taking_part):
            for repeat in repeats if method.stores else ():
                databases[method.name, repeat] = BenchDatabase(server, f"bench_{index}_{repeat}")
                if not method.peer:
                    databases[method.name, repeat].migrate()
        for number, truth in enumerate(truths(count)):
            fake.advance_to_pass(number + 1)
            _pass(RAW[-1], number, truth, count, None, fake, Path(folder) / "unmeasured", python)  # makes the pages
            found: dict[str, list[Measurement]] = {method.name: [] for method in taking_part}
            for repeat in repeats:
                for method in taking_part if repeat % 2 == 0 else reversed(taking_part):
                    note(f"pull: {method.name}, {count} events, {PASSES[number]}, {repeat + 1} of {len(repeats)}")
                    state = Path(folder) / f"state_{taking_part.index(method)}_{repeat}"
                    database = databases.get((method.name, repeat))
                    found[method.name].append(_pass(method, number, truth, count, database, fake, state, python))
            yield from map(_median, found.values())


def _median(repeats: Sequence[Measurement]) -> Measurement:
    """One measurement for all repeats of a pass. Right only if every repeat was."""
    servers = [one.server_us for one in repeats if one.server_us is not None]
    return replace(
        next((one for one in repeats if not one.exact), repeats[0]),
        client_us=median(one.client_us for one in repeats),
        server_us=median(servers) if servers else None,
        wall=median(one.wall for one in repeats),
        rss_mb=max(one.rss_mb for one in repeats),
        repeats=tuple(sorted(one.client_us for one in repeats)),
    )


def truths(count: int) -> list[dict[str, int]]:
    """What each pass must count. One event belongs to an organizer that is not on the list."""
    from benchmarks._eventbrite import WideEventbrite

    watched = count - 1
    second = WideEventbrite(count=count).truth(2)
    return [
        {"created": watched, "updated": 0, "skipped": 0},
        {"created": second.created, "updated": second.updated, "skipped": watched - second.updated},
    ]


def _pass(
    method: Method,
    number: int,
    truth: Mapping[str, int],
    count: int,
    database: BenchDatabase | None,
    fake: FakeProcess,
    state: Path,
    python: str | None,
) -> Measurement:
    task: dict[str, Any] = {
        **method.task,
        "base_url": fake.environment["EVENTBRITE_BASE_URL"],
        "token": service.TOKEN,
        "lists": service.ORGANIZERS,
        "parameters": service.parameters(),
        "folder": str(state),
        "run": f"run {number}",
    }
    interpreter = python if method.peer and python is not None else sys.executable
    environment = {} if method.peer else _our_environment(fake)
    server: ServerCost | None = None
    if database is None:
        done = run_child(method.module, task, python=interpreter)
    else:
        task["url"] = database.tcp_url if method.peer else database.url
        with database.watched() as server:
            done = run_child(method.module, task, python=interpreter, environment=environment)
    events = sum(truth.values())
    return Measurement(
        method=method.name,
        events=count,
        number=number,
        client_us=done["cpu"] / events * 1e6,
        server_us=server.cpu / events * 1e6 if server is not None else None,
        start_up_cpu=done["start_up_cpu"],
        wall=done["wall"],
        rss_mb=done["rss_mb"],
        counts=done["counts"],
        exact=_exact(method, done, truth, database),
    )


def _our_environment(fake: FakeProcess) -> dict[str, str]:
    return {
        **fake.environment,
        "EVENTBRITE_ORGANIZER_IDS": ",".join(service.ORGANIZERS),
        "EVENTBRITE_VENUE_IDS": "",
        "EVENTBRITE_EVENT_IDS": "",
        "EVENTBRITE_PAGE_SIZE": str(service.PAGE_SIZE),
        # The fake sets no limits, and the peers keep none.
        "EVENTBRITE_REQUESTS_PER_SECOND": "100000",
        "EVENTBRITE_REQUESTS_PER_HOUR": "10000000",
    }


def _exact(method: Method, done: Mapping[str, Any], truth: Mapping[str, int], database: BenchDatabase | None) -> bool:
    events = sum(truth.values())
    if database is None:
        return bool(done["events"] == events)
    table = "bench.events" if method.peer else "public.raw_events"
    rows = database.fetch(f"SELECT count(*) FROM {table}")[0][0]
    return bool(rows == events and (method.peer or done["counts"] == truth))


def bars(found: Sequence[Measurement]) -> list[Bar]:
    """What must hold, from the largest size that was measured."""
    sizes = sorted({one.events for one in found})
    largest = sizes[-1]
    at = {(one.method, one.events, one.number): one for one in found}
    result = []
    for method in DLT:
        measured_with = [size for size in sizes if (method.name, size, 0) in at]
        for number, name in enumerate(PASSES if measured_with else ()):
            size = measured_with[-1]
            ours, peer = at[OURS, size, number], at[method.name, size, number]
            ratio = peer.client_us / ours.client_us
            result.append(Bar(f"client CPU, {method.name} / ours, {size}: {name}", ratio, 6, at_least=True))
            result.append(Bar(f"wall time, ours / {method.name}, {size}: {name}", ours.wall / peer.wall, 1))
    for number, name in enumerate(PASSES):
        ours = at[OURS, largest, number]
        result += [
            Bar(f"client CPU, ours / {method.name}: {name}", ours.client_us / raw.client_us, 2.5)
            for method in RAW
            if (raw := at.get((method.name, largest, number))) is not None
        ]
    if len(sizes) > 1:
        growth = max(at[OURS, largest, n].rss_mb for n in (0, 1)) / max(at[OURS, sizes[0], n].rss_mb for n in (0, 1))
        result.append(Bar(f"peak memory of ours, {largest} / {sizes[0]} events", growth, 1.3))
    return result


def comparisons(found: Sequence[Measurement]) -> list[Comparison]:
    """What an event costs, pass by pass. A download that stores nothing is a floor and no peer."""
    places = list(dict.fromkeys((one.events, one.number) for one in found))

    def groups(value: Callable[[Measurement], float]) -> list[Group]:
        result: list[Group] = []
        for size, number in places:
            values = {one.method: value(one) for one in found if (one.events, one.number) == (size, number)}
            floors = {
                method.name: "stores nothing" for method in METHODS if not method.stores and method.name in values
            }
            label = f"{size:,} events, {PASSES[number]}"
            result.append({"label": label, "values": values, "not_comparable": floors})
        return result

    return [
        {
            "title": "Client CPU an event",
            "unit": "µs",
            "lower_is_better": True,
            "groups": groups(lambda one: one.client_us),
        },
        {
            "title": "Client and server CPU an event",
            "unit": "µs",
            "lower_is_better": True,
            "groups": groups(lambda one: one.client_us + (one.server_us or 0.0)),
        },
        {
            "title": "Peak memory of the client",
            "unit": "MB",
            "lower_is_better": True,
            "groups": groups(lambda one: one.rss_mb),
        },
    ]


def report(found: Sequence[Measurement]) -> str:
    """The section of the report."""
    parts = ["## Pull: a service over HTTP into rows", NOTE, bars_table(bars(found))]
    for size in sorted({one.events for one in found}):
        rows = [
            {
                "method": one.method,
                "pass": PASSES[one.number],
                "client µs": f"{one.client_us:.0f}",
                "least–most": one.spread,
                "server µs": "–" if one.server_us is None else f"{one.server_us:.0f}",
                "start-up s": f"{one.start_up_cpu:.1f}",
                "wall s": f"{one.wall:.1f}",
                "peak MB": f"{one.rss_mb:.0f}",
                "counts": _counts(one),
            }
            for one in found
            if one.events == size
        ]
        parts += [f"### {size:,} events", markdown_table(list(rows[0]), rows)]
    return "\n\n".join(parts)


def _counts(one: Measurement) -> str:
    if one.counts is None:
        return "none; rows " + ("right" if one.exact else "**wrong**")
    said = "/".join(str(one.counts[key]) for key in ("created", "updated", "skipped"))
    return f"{said}, {'exact' if one.exact else '**wrong**'}"


NOTE = (
    "CPU microseconds per event of the pass: of the client's process after its imports (those are `start-up`), and of "
    "the database server with all its processes. Up to 20,000 events they are medians of three repeats, which the methods "
    "take by turns; `least–most` are the client's. Every client reads the same lists, 200 events a page, one request "
    "after the other, without pacing. Ours makes normalised events of the records, hashes them and counts what changed; "
    "dlt stores the records. `JSON columns, CSV` is dlt told to leave nested values alone and to use COPY. Wall times "
    "include the service, which has made its pages before."
)


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_options(__doc__ or "", arguments, sizes=(10_000, 100_000), quick=(2_000,))
    if options.sizes[-1] > WARM_UP:  # compiles modules, fills the page cache
        for _ in measure(WARM_UP, replace(options, without_peers=True)):
            pass
    found = [one for count in options.sizes for one in measure(count, options)]
    wrong = [f"{one.method}, {PASSES[one.number]}" for one in found if not one.exact]
    rows = [asdict(one) for one in found]
    options.write(report(found), rows, bars(found), comparisons=comparisons(found))
    if wrong:
        raise SystemExit(f"the counts differ from the truth: {'; '.join(wrong)}")


if __name__ == "__main__":
    main()
