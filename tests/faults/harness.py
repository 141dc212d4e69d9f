"""Imports in processes of their own that are killed, paused and cut off, and the truth that they must arrive at."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Self

from resources.postgres.database import Database
from tests.fakes.feeds import CsvFeed
from tests.ledger.invariants import assert_books_balance

ROOT = Path(__file__).parents[2]
SOURCE = "open_data_montreal"
BAD_ROW = "Sans date,https://montreal.ca/evenements/sans-date-{n},,jamais,,,,,,,,,,,,"


@dataclass
class Feeds:
    """The same feed before and after: a twentieth new, a tenth changed, a few gone, broken or listed twice."""

    folder: Path
    size: int
    first: date
    weeks: int = 6

    def __post_init__(self) -> None:
        days = 7 * self.weeks
        self.new, self.changed = self.size // 20, self.size // 10
        self.gone = [n for n in range(self.size) if n % days >= 7][: self.size // 60]
        self.bad, self.repeats = 12, 30
        before = self._feed("before", range(self.size), {})
        kept = [n for n in range(self.size + self.new) if n not in set(self.gone)]
        changed = {n: f"Un autre texte, numéro {n}." for n in kept[-self.changed - self.new : -self.new]}
        after = self._feed("after", [*kept, *kept[: self.repeats]], changed)
        self.paths = {1: before, 2: after}
        self.fetched = {1: self.size + self.bad, 2: len(kept) + self.repeats + self.bad}

    @property
    def last(self) -> date:
        return self.first + timedelta(weeks=self.weeks - 1)

    def _feed(self, name: str, numbers: Sequence[int], texts: dict[int, str]) -> Path:
        feed = CsvFeed(self.folder / f"{name}.csv", self.first, self.weeks, numbers, texts=texts)
        feed.write()
        with feed.path.open("a", encoding="utf-8") as stream:
            stream.writelines(BAD_ROW.format(n=n) + "\n" for n in range(self.bad))
        return feed.path

    def environment(self, number: int) -> Mapping[str, str]:
        """The variables that point the source at a pass of the feed."""
        return {"OPEN_DATA_MONTREAL_CSV": str(self.paths[number])}

    def assert_arrived(self, database: Database, *, imports: int | None = None) -> None:
        """The second pass was imported, in whatever pieces: every record once, every count exact, nothing open."""
        assert_books_balance(database)
        jobs = database.fetch_all("SELECT * FROM import_jobs ORDER BY id OFFSET 1")
        total = {name: sum(job[f"nb_{name}"] for job in jobs) for name in ("created", "updated", "withdrawn")}
        assert total == {"created": self.new, "updated": self.changed, "withdrawn": len(self.gone)}
        last = jobs[-1]
        assert (last["status"], last["nb_fetched"], last["nb_errors"]) == ("SUCCESS", self.fetched[2], self.bad)
        assert imports is None or len(jobs) == imports
        rows = database.fetch_all("SELECT source_id, payload ->> 'description' AS text, withdrawn_at FROM raw_events")
        assert len(rows) == len({row["source_id"] for row in rows}) == self.size + self.new
        assert sum(row["withdrawn_at"] is not None for row in rows) == len(self.gone)
        assert sum(str(row["text"]).startswith("Un autre texte") for row in rows) == self.changed


@dataclass
class Worker:
    """A forked import."""

    workers: Workers
    pid: int
    run_id: str
    result_path: Path
    ended: dict[str, int] | None = None

    def wait(self) -> dict[str, int]:
        """How it ended, or that it stopped: `exit`, `killed` or `stopped` with a number."""
        self.ended = self.workers.ask(do="wait", pid=self.pid)
        return self.ended

    def go_on(self) -> None:
        """Let a stopped worker continue."""
        os.kill(self.pid, signal.SIGCONT)

    @property
    def result(self) -> dict[str, Any]:
        value = json.loads(self.result_path.read_text(encoding="utf-8"))
        assert isinstance(value, dict)
        return value


@dataclass
class Workers:
    """The process that forks them. Whatever still runs is killed at the end."""

    folder: Path
    _started: list[Worker] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self._answer() == {"ready": True}
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._started:
            if worker.ended is None or "stopped" in worker.ended:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGKILL)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def ask(self, **command: Any) -> Any:
        """Send a command, return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def start(
        self,
        feeds: Feeds,
        database: Database,
        *,
        number: int = 2,
        run_id: str | None = None,
        retries: Sequence[Worker] = (),
        point: str | None = None,
        nth: int = 1,
        sent: signal.Signals = signal.SIGKILL,
        batch: int = 100,
        missed_beats: float = 0.5,
        lease: float = 30.0,
        wait: float = 30.0,
    ) -> Worker:
        """Fork an import of a pass. `retries` are the workers whose runs this one retries."""
        name = f"worker-{next(self._numbers)}"
        result = self.folder / f"{name}.json"
        answer = self.ask(
            do="start",
            env=dict(feeds.environment(number)),
            url=database.url,
            run_id=run_id or name,
            earlier_runs=[worker.run_id for worker in retries],
            weeks=[str(feeds.first), str(feeds.last)],
            point=point,
            nth=nth,
            signal=int(sent),
            batch=batch,
            missed_beats=missed_beats,
            lease=lease,
            wait=wait,
            result=str(result),
        )
        worker = Worker(self, answer["pid"], run_id or name, result)
        self._started.append(worker)
        return worker

    def resolve(
        self,
        database: Database,
        weeks: Sequence[date],
        *,
        retries: Sequence[Worker] = (),
        point: str | None = None,
        nth: int = 1,
        sent: signal.Signals = signal.SIGKILL,
        lease: float = 30.0,
    ) -> Worker:
        """Fork a deduplication of some weeks."""
        name = f"{next(self._numbers):04}-resolver"
        result = self.folder / f"{name}.json"
        answer = self.ask(
            do="start",
            resolve=True,
            env={},
            url=database.url,
            run_id=name,
            earlier_runs=[worker.run_id for worker in retries],
            weeks=[str(week) for week in weeks],
            point=point,
            nth=nth,
            signal=int(sent),
            missed_beats=0.5,
            lease=lease,
            wait=30.0,
            result=str(result),
        )
        worker = Worker(self, answer["pid"], name, result)
        self._started.append(worker)
        return worker

    def run(self, feeds: Feeds, database: Database, **options: Any) -> Worker:
        """An import that nothing happens to."""
        worker = self.start(feeds, database, **options)
        assert worker.wait() == {"exit": 0}, worker.result
        return worker
