"""The HTTP service: what one process holds, and how fast it answers while it holds it.

    python -m benchmarks.api.run [--quick] [--size STREAMS] [--json FILE]

Upload: 50 MB in one batch, from the last byte sent to the first of the answer, with a pipeline at work beside it. Streams:
so many idle streams of server-sent events and 50 requests a second, half of them lists, half a job: latency, and memory
before, with and after the streams. Most: requests a second that one process answers, 16 connections at a time. Service,
client and database share the machine. Prints Markdown.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import psutil

from benchmarks._database import BenchDatabase, bench_server
from benchmarks._figures import Comparison
from benchmarks._measure import Bar, bars_table, markdown_table
from benchmarks._options import note, read_options
from benchmarks._processes import ROOT
from benchmarks.api.client import Connection, post_file
from ingestion_assets.cli.supervisor import free_port
from ingestion_assets.ledger.tokens import Role, issue
from ingestion_assets.ledger.users import ensure_user
from resources.postgres.database import Database

if TYPE_CHECKING:
    from resources.postgres.server import EmbeddedServer

UPLOAD_BYTES = 50 * 1024 * 1024
UPLOADS = 10
PER_SECOND = 50
CONNECTIONS = 16
_PATHS = ("/events?limit=20", "/batches/{batch}")
"""Asked in turn: the list that applications page through, and what a waiting client polls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one process did. Times in milliseconds, memory in MiB."""

    streams: int
    uploads: list[float]
    """From the last byte to the answer."""
    upload_seconds: float
    """To send 50 MB, the median."""
    requests: int
    p50: float
    p95: float
    p99: float
    longest: float
    rss_before: float
    rss_streams: float
    rss_after: float
    streams_alive: int
    """Of those opened, at the end."""
    most_per_second: dict[str, float]


class Service:
    """`python -m api` on a database of its own."""

    def __init__(self, database: BenchDatabase, *, streams: int) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        limits = {
            "INGESTION_API_REQUESTS_PER_SECOND": "1000000",
            "INGESTION_API_REQUEST_BURST": "1000000",
            "INGESTION_API_STREAMS_PER_USER": str(streams + 10),
            "INGESTION_API_STREAMS": str(streams + 10),
            "INGESTION_DOCUMENTS_PER_DAY": "1000000",
        }
        environment = {
            **os.environ,
            **limits,
            "DATABASE_URL": database.url,
            "INGESTION_API_PORT": self.url.rpartition(":")[2],
            "INGESTION_DAGSTER_URL": "http://127.0.0.1:9",
            "PYTHONPATH": str(ROOT),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "api"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def rss_mb(self) -> float:
        return float(psutil.Process(self._process.pid).memory_info().rss) / 2**20

    async def ready(self) -> None:
        end = time.monotonic() + 60
        while True:
            try:
                connection = await Connection.to(self.url)
            except OSError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise
                await asyncio.sleep(0.1)
                continue
            connection.close()
            return

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)


@contextmanager
def pipeline(url: str) -> Iterator[None]:
    """Somebody else's work on the same machine and database."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.api.load", f'{{"url": "{url}"}}'],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        if process.poll() is not None:
            raise RuntimeError("the pipeline ended by itself")
        process.kill()
        process.wait()


def token_of(database: BenchDatabase) -> dict[str, str]:
    with Database(database.url).transaction() as connection:
        ensure_user(connection, "bench")
        return {"Authorization": f"Bearer {issue(connection, 'bench', role=Role.USER)}"}


def upload(service: Service, headers: Mapping[str, str]) -> tuple[list[float], float]:
    """Milliseconds after the last byte for each upload, and the median seconds to send one."""
    waits, sends = [], []
    for number in range(UPLOADS):
        content = os.urandom(1024) * (UPLOAD_BYTES // 1024)
        status, sent, answered = post_file(f"{service.url}/ingestion/batches", headers, content)
        if status != 202:
            raise RuntimeError(f"upload {number} was answered with {status}")
        waits.append(answered * 1000)
        sends.append(sent)
    return waits, sorted(sends)[len(sends) // 2]


@asynccontextmanager
async def idle_streams(
    service: Service, batch: str, headers: Mapping[str, str], count: int
) -> AsyncIterator[list[Connection]]:
    opened: list[Connection] = []
    try:
        for _ in range(count):
            connection = await Connection.to(service.url)
            status, _ = await connection.head(f"/batches/{batch}/events?after=1", headers)
            if status != 200:
                raise RuntimeError(f"stream {len(opened)} was answered with {status}")
            opened.append(connection)
        yield opened
    finally:
        for connection in opened:
            connection.close()


async def steady(service: Service, paths: Sequence[str], headers: Mapping[str, str], seconds: float) -> list[float]:
    """Latency in milliseconds of requests that come 50 times a second, whether earlier ones are answered or not."""
    free: list[Connection] = []
    latencies: list[float] = []

    async def one(path: str, due: float) -> None:
        # The service ends a connection that is idle for long.
        while free and free[-1].at_end:
            free.pop().close()
        connection = free.pop() if free else await Connection.to(service.url)
        status, _ = await connection.get(path, headers)
        if status != 200:
            raise RuntimeError(f"{path} was answered with {status}")
        # From when it was due: a service that stands still must not slow down the clock that measures it.
        latencies.append((time.perf_counter() - due) * 1000)
        free.append(connection)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * PER_SECOND)):
            due = began + number / PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(paths[number % len(paths)], due))
    for connection in free:
        connection.close()
    return latencies


async def most(service: Service, path: str, headers: Mapping[str, str], seconds: float) -> float:
    """Answers a second to clients that ask again at once."""
    end = time.perf_counter() + seconds
    done = 0

    async def client() -> None:
        nonlocal done
        connection = await Connection.to(service.url)
        while time.perf_counter() < end:
            status, _ = await connection.get(path, headers)
            if status != 200:
                raise RuntimeError(f"{path} was answered with {status}")
            done += 1
        connection.close()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(client())
    return done / (time.perf_counter() - began)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


async def measure(server: EmbeddedServer, streams: int, seconds: float) -> Measurement:
    database = BenchDatabase(server, f"api_{streams}")
    database.migrate()
    headers = token_of(database)
    service = Service(database, streams=streams)
    try:
        await service.ready()
        note("api: uploads")
        with pipeline(database.url):
            await asyncio.sleep(3)
            uploads, upload_seconds = await asyncio.to_thread(upload, service, headers)
        [[batch]] = database.fetch("SELECT id::text FROM study_batches LIMIT 1")
        paths = [path.format(batch=batch) for path in _PATHS]
        await steady(service, paths, headers, 2)
        before = service.rss_mb
        note(f"api: {streams} streams")
        async with idle_streams(service, batch, headers, streams) as opened:
            latencies = await steady(service, paths, headers, seconds)
            held = service.rss_mb
            alive = sum(not connection.at_end for connection in opened)
        await asyncio.sleep(2)
        after = service.rss_mb
        note("api: most requests")
        highest = {path: await most(service, path, headers, min(10.0, seconds)) for path in ("/live", *paths)}
    finally:
        service.stop()
    return Measurement(
        streams=streams,
        uploads=uploads,
        upload_seconds=upload_seconds,
        requests=len(latencies),
        p50=percentile(latencies, 0.50),
        p95=percentile(latencies, 0.95),
        p99=percentile(latencies, 0.99),
        longest=max(latencies),
        rss_before=before,
        rss_streams=held,
        rss_after=after,
        streams_alive=alive,
        most_per_second={path.replace(batch, "{id}"): rate for path, rate in highest.items()},
    )


def bars(found: Measurement) -> list[Bar]:
    """What must hold."""
    return [
        Bar("50 MB: answer after the last byte, longest", max(found.uploads), 300, unit="ms"),
        Bar("streams alive at the end", found.streams_alive, found.streams, at_least=True, unit=""),
        Bar(f"{PER_SECOND} requests a second beside the streams: p99", found.p99, 300, unit="ms"),
        Bar("memory of a stream", (found.rss_streams - found.rss_before) * 1024 / found.streams, 200, unit="KiB"),
    ]


def comparisons(found: Measurement) -> list[Comparison]:
    """There is no peer: what is drawn is how the service spends its time."""
    latencies = {"p50": found.p50, "p95": found.p95, "p99": found.p99, "longest": found.longest}
    return [
        {
            "title": f"Latency beside {found.streams} streams, {PER_SECOND} requests a second",
            "unit": "ms",
            "lower_is_better": True,
            "groups": [{"label": label, "values": {"ours": value}} for label, value in latencies.items()],
        },
        {
            "title": "Answers of one process",
            "unit": "a second",
            "lower_is_better": False,
            "groups": [{"label": path, "values": {"ours": rate}} for path, rate in found.most_per_second.items()],
        },
    ]


def report(found: Measurement) -> str:
    """Markdown."""
    rows: list[Mapping[str, object]] = [
        {
            "streams": found.streams,
            "requests": found.requests,
            "p50 ms": f"{found.p50:.1f}",
            "p95 ms": f"{found.p95:.1f}",
            "p99 ms": f"{found.p99:.1f}",
            "longest ms": f"{found.longest:.0f}",
            "RSS before / with / after, MiB": f"{found.rss_before:.0f} / {found.rss_streams:.0f} / {found.rss_after:.0f}",
        }
    ]
    rates = [{"path": path, "answers a second": f"{rate:.0f}"} for path, rate in found.most_per_second.items()]
    uploads = sorted(found.uploads)
    text = (
        f"{len(uploads)} uploads of 50 MB beside a pipeline at work: sent in {found.upload_seconds:.1f} s, answered"
        f" {uploads[len(uploads) // 2]:.0f} ms after the last byte (median), {uploads[-1]:.0f} ms at most."
    )
    return "\n\n".join(
        [
            "## HTTP service, one process",
            text,
            markdown_table(list(rows[0]), rows),
            markdown_table(list(rates[0]), rates),
            bars_table(bars(found)),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures where they were asked for."""
    options = read_options(__doc__ or "", arguments, sizes=(500,), quick=(50,))
    quick = "--quick" in (arguments or sys.argv)
    with bench_server() as server:
        found = asyncio.run(measure(server, options.sizes[-1], 10 if quick else 60))
    options.write(report(found), [asdict(found)], bars(found), comparisons=comparisons(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
