"""The queue of asynchronous jobs against procrastinate and pgqueuer: the same server, the same work, one run.

    python -m benchmarks.queue.run [--quick] [--json FILE] [--without-peers]

Drain: jobs that each write one row, done by four processes that begin together. Idle: the statements of one waiting worker
in a minute, by the server's statement log, and how long a job that comes then waits. Kill: SIGKILL in the middle of a job;
how long until another worker has done it. Prints Markdown.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from benchmarks._database import BenchDatabase, bench_server
from benchmarks._figures import Comparison, Group
from benchmarks._measure import Bar, bars_table, markdown_table
from benchmarks._options import note, read_options
from benchmarks._processes import ROOT, peer_python, run_child

if TYPE_CHECKING:
    from resources.postgres.server import EmbeddedServer

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
WORKERS = 4
OURS = "ours"
METHODS = {
    OURS: "benchmarks.queue.ours",
    "procrastinate": "benchmarks.queue.procrastinate_jobs",
    "pgqueuer": "benchmarks.queue.pgqueuer_jobs",
}
_STATEMENT = re.compile(r"LOG:  (?:statement|execute [^:]*):")
_LONGEST_REPICK = 75.0
_SETTLE = 45.0
"""Seconds until a worker that polls rarer and rarer has reached its longest wait: 2 + 3 + 4.5 + … s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one method did."""

    method: str
    jobs: int
    done_twice: int
    client_us: float
    server_us: float
    """CPU microseconds per job."""
    jobs_per_second: float
    idle_statements: float
    """Of one waiting worker, per minute."""
    pick_up: float
    """Seconds from asking for a job to its row, after that minute."""
    after_kill: float | None
    """Seconds from SIGKILL until another worker has done the job; None when that took too long to wait for."""


class Bench:
    """One method on a database of its own."""

    def __init__(self, server: EmbeddedServer, method: str, python: str, log: Path, folder: Path) -> None:
        self.method, self._python, self._log, self._folder = method, python, log, folder
        self.database = BenchDatabase(server, f"queue_{method}")
        if method == OURS:
            self.database.migrate()
        else:
            self.child("install")
        with psycopg.connect(self.database.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE tally (job text, worker int, at timestamptz DEFAULT clock_timestamp())")

    def child(self, action: str, **more: object) -> dict[str, float]:
        """Run one process of the method to its end."""
        given = {"url": self.database.url, "action": action, **more}
        return run_child(METHODS[self.method], given, python=self._python)

    @contextmanager
    def worker(self, action: str, **more: object) -> Iterator[subprocess.Popen[bytes]]:
        """A worker that waits for jobs; killed at the end."""
        given = json.dumps({"url": self.database.url, "action": action, **more})
        process = subprocess.Popen(
            [self._python, "-m", METHODS[self.method], given],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def rows(self) -> int:
        """How often a job was done."""
        return int(self.database.fetch("SELECT count(*) FROM tally")[0][0])

    def drain(self, jobs: int) -> dict[str, float]:
        """CPU per job of both sides, wall time, and how often a job was done twice."""
        self.child("fill", jobs=jobs)
        go = self._folder / f"{self.method}.go"
        ready = [self._folder / f"{self.method}.{n}.ready" for n in range(WORKERS)]
        with self.database.watched() as server, ThreadPoolExecutor(WORKERS) as pool:
            futures = [pool.submit(self.child, "drain", go=str(go), ready=str(path)) for path in ready]
            while not all(path.exists() for path in ready):
                time.sleep(0.05)
            began = time.perf_counter()
            go.touch()
            costs = [future.result() for future in futures]
            wall = time.perf_counter() - began
        distinct = int(self.database.fetch("SELECT count(DISTINCT job) FROM tally")[0][0])
        if distinct != jobs:
            raise RuntimeError(f"{self.method} did {distinct} of {jobs} jobs")
        return {
            "done_twice": self.rows() - distinct,
            "client_us": sum(cost["cpu"] for cost in costs) / jobs * 1e6,
            "server_us": server.cpu / jobs * 1e6,
            "jobs_per_second": jobs / wall,
        }

    def idle(self, seconds: float, *, settle: float = _SETTLE) -> tuple[float, float]:
        """Statements of one waiting worker per minute, and how long a job that comes then waits."""
        _set_statement_log(self.database, on=True)
        with self.worker("wait"):
            time.sleep(settle)
            start = self._log.stat().st_size
            time.sleep(seconds)
            with self._log.open("rb") as log:
                log.seek(start)
                statements = len(_STATEMENT.findall(log.read().decode(errors="replace")))
            _set_statement_log(self.database, on=False)
            before = self.rows()
            self.child("fill", jobs=1)
            asked = time.time()
            _wait(lambda: self.rows() > before, 60)
            [[done]] = self.database.fetch("SELECT extract(epoch FROM max(at))::float8 FROM tally")
        return statements / seconds * 60, max(0.0, done - asked)

    def kill(self) -> float | None:
        """Seconds from SIGKILL until another worker has done the job."""
        hung = self._folder / f"{self.method}.hung"
        before = self.rows()
        with self.worker("hang", hung=str(hung)) as victim, self._second_worker(hung):
            self.child("fill", jobs=1)
            _wait(hung.exists, 60)
            time.sleep(6)  # so that a heartbeat has been sent
            victim.kill()
            killed = time.monotonic()
            if not _wait(lambda: self.rows() > before, _LONGEST_REPICK, must=False):
                return None
            return time.monotonic() - killed

    @contextmanager
    def _second_worker(self, hung: Path) -> Iterator[None]:
        """A worker that begins once the first one has taken the job, so that it cannot be the one that hangs."""
        with ThreadPoolExecutor(1) as pool:
            stop = self._folder / f"{self.method}.stop"

            def run() -> None:
                _wait(lambda: hung.exists() or stop.exists(), 120)
                with self.worker("hang", hung=str(hung)):
                    _wait(stop.exists, 300)

            future = pool.submit(run)
            try:
                yield
            finally:
                stop.touch()
                future.result()


def _set_statement_log(database: BenchDatabase, *, on: bool) -> None:
    """Log every statement of sessions that begin from now on. Only the server's own account may say so."""
    url = database.url.replace("ingestion@", "postgres@", 1)
    statement = sql.SQL("ALTER DATABASE {} SET log_statement = {}").format(
        sql.Identifier(database.name), sql.Literal("all" if on else "none")
    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def _wait(condition: object, seconds: float, *, must: bool = True) -> bool:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            if must:
                raise RuntimeError("something that had to happen did not")
            return False
        time.sleep(0.02)
    return True


def bars(measurements: Sequence[Measurement]) -> list[Bar]:
    """What must hold of ours."""
    [ours] = [item for item in measurements if item.method == OURS]
    held = [
        Bar("jobs done twice", ours.done_twice, 0, unit=""),
        Bar("CPU of client and server per job", (ours.client_us + ours.server_us) / 1000, 1.2, unit="ms"),
        Bar("statements of an idle worker per minute", ours.idle_statements, 10, unit=""),
        Bar("pick-up after a minute of idling", ours.pick_up, 1.0, unit="s"),
        Bar("done by another worker after SIGKILL", ours.after_kill or _LONGEST_REPICK, 35.0, unit="s"),
    ]
    for peer in measurements:
        if peer.method != OURS:
            ratio = (peer.client_us + peer.server_us) / (ours.client_us + ours.server_us)
            held.append(Bar(f"CPU per job of {peer.method} over ours", ratio, 1.0, at_least=True, peer=peer.method))
    return held


def comparisons(measurements: Sequence[Measurement]) -> list[Comparison]:
    """Every measure that has a better side; for the summary and the plots."""
    jobs = f"{measurements[0].jobs} jobs"
    killed: Group = {
        "label": "of a worker that was killed with SIGKILL",
        "values": {item.method: item.after_kill or _LONGEST_REPICK for item in measurements},
        "not_comparable": {
            item.method: f"not within {_LONGEST_REPICK:.0f} s" for item in measurements if item.after_kill is None
        },
    }
    return [
        {
            "title": "CPU of client and server per job",
            "unit": "µs",
            "lower_is_better": True,
            "groups": [
                {"label": jobs, "values": {item.method: item.client_us + item.server_us for item in measurements}}
            ],
        },
        {
            "title": "Jobs a second",
            "unit": "",
            "lower_is_better": False,
            "groups": [{"label": jobs, "values": {item.method: item.jobs_per_second for item in measurements}}],
        },
        {
            "title": "Statements of an idle worker",
            "unit": "a minute",
            "lower_is_better": True,
            "groups": [{"label": "one worker", "values": {item.method: item.idle_statements for item in measurements}}],
        },
        {
            "title": "Seconds until another process has done the job",
            "unit": "s",
            "lower_is_better": True,
            "score": True,
            "groups": [
                {"label": "of an idle worker", "values": {item.method: item.pick_up for item in measurements}},
                killed,
            ],
        },
    ]


def report(measurements: Sequence[Measurement]) -> str:
    """Markdown."""
    rows: list[Mapping[str, object]] = [
        {
            "queue": item.method,
            "done twice": item.done_twice,
            "client µs/job": f"{item.client_us:.0f}",
            "server µs/job": f"{item.server_us:.0f}",
            "jobs/s": f"{item.jobs_per_second:.0f}",
            "idle statements/min": f"{item.idle_statements:.0f}",
            "pick-up s": f"{item.pick_up:.2f}",
            "after SIGKILL s": "never seen" if item.after_kill is None else f"{item.after_kill:.1f}",
        }
        for item in measurements
    ]
    text = (
        f"{measurements[0].jobs} jobs of one row each, {WORKERS} processes; waits of {_LONGEST_REPICK:.0f} s at most."
    )
    return "\n\n".join(["## Queue", text, markdown_table(list(rows[0]), rows), bars_table(bars(measurements))])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures where they were asked for."""
    options = read_options(__doc__ or "", arguments, sizes=(2000,), quick=(400,))
    jobs = options.sizes[-1]
    quick = "--quick" in (arguments or sys.argv)
    methods = [OURS] if options.without_peers else list(METHODS)
    measurements = []
    with bench_server() as server, tempfile.TemporaryDirectory(prefix="bench-queue-") as folder:
        log = next(path for path in _log_files(server))
        for method in methods:
            note(f"queue: {method}")
            python = sys.executable if method == OURS else peer_python(REQUIREMENTS)
            bench = Bench(server, method, python, log, Path(folder))
            drained = bench.drain(jobs)
            statements, pick_up = bench.idle(10, settle=10) if quick else bench.idle(60)
            measurements.append(
                Measurement(
                    method=method,
                    jobs=jobs,
                    done_twice=int(drained["done_twice"]),
                    client_us=drained["client_us"],
                    server_us=drained["server_us"],
                    jobs_per_second=drained["jobs_per_second"],
                    idle_statements=statements,
                    pick_up=pick_up,
                    after_kill=bench.kill(),
                )
            )
    options.write(
        report(measurements),
        [asdict(item) for item in measurements],
        bars(measurements),
        comparisons=comparisons(measurements),
    )
    return 0


def _log_files(server: EmbeddedServer) -> Iterator[Path]:
    data = server.status().data_directory
    if data is None:
        raise RuntimeError("the server is not running")
    yield from data.parent.glob("*.log")


if __name__ == "__main__":
    raise SystemExit(main())
