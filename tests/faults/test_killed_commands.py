"""`ingest run` itself is killed: the next one closes what it left open, in the ledger and in Dagster, and finishes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from resources.postgres.database import Database
from tests.fakes.feeds import CsvFeed, this_week
from tests.ledger.invariants import assert_books_balance

ROOT = Path(__file__).parents[2]
ROWS = 6000


@pytest.fixture(scope="session")
def city(tmp_path_factory: pytest.TempPathFactory) -> CsvFeed:
    feed = CsvFeed(tmp_path_factory.mktemp("city") / "city.csv", this_week(), 12, range(ROWS))
    feed.write()
    return feed


class Commands:
    """`ingest run` in processes of their own."""

    def __init__(self, environment: Mapping[str, str], feed: CsvFeed) -> None:
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "LLM_PROVIDERS": "offline",
            **environment,
            "OPEN_DATA_MONTREAL_CSV": str(feed.path),
        }
        self._feed = feed
        self.started: list[subprocess.Popen[str]] = []

    def start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", "from ingestion_assets.cli import main; main()"),
                *("run", "--source", "open_data_montreal", "--json"),
                *("--from", str(self._feed.first), "--to", str(self._feed.last)),
            ],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.started.append(process)
        return process

    def finish(self) -> dict[str, Any]:
        """A whole run; its report."""
        process = self.start()
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err[-3000:]
        report = json.loads(out.splitlines()[-1])
        assert isinstance(report, dict)
        return report


@pytest.fixture
def commands(platform_environment: dict[str, str], city: CsvFeed) -> Iterator[Commands]:
    made = Commands(platform_environment, city)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _last_job(database: Database) -> dict[str, Any] | None:
    rows = database.fetch_all("SELECT status, pages FROM import_jobs ORDER BY id DESC LIMIT 1")
    return rows[0] if rows else None


def _when(condition: Callable[[dict[str, Any]], bool]) -> Callable[[Database], bool]:
    def reached(database: Database) -> bool:
        job = _last_job(database)
        return job is not None and condition(job)

    return reached


MOMENTS: dict[str, Callable[[Database], bool]] = {
    "at once": lambda _database: True,
    "claimed": _when(lambda job: True),
    "one page": _when(lambda job: job["pages"] >= 1),
    "two pages": _when(lambda job: job["pages"] >= 2),
    "three pages": _when(lambda job: job["pages"] >= 3),
    "closed": _when(lambda job: job["status"] == "SUCCESS"),
}


def _kill_when(
    commands: Commands, database: Database, reached: Callable[[Database], bool], *, later: float = 0
) -> None:
    process = commands.start()
    while process.poll() is None and not reached(database):
        time.sleep(0.002)
    time.sleep(later)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def _assert_finished(commands: Commands, database: Database, dagster_url: str) -> None:
    report = commands.finish()
    assert (report["status"], report["fetched"], report["errors"]) == ("SUCCESS", ROWS, 0)
    assert_books_balance(database)
    [rows] = database.fetch_all("SELECT count(*) AS n, count(DISTINCT source_id) AS ids FROM raw_events")
    assert rows == {"n": ROWS, "ids": ROWS}
    runs = {row["run_id"]: row["status"] for row in Database(dagster_url).fetch_all("SELECT run_id, status FROM runs")}
    assert runs[report["run_id"]] == "SUCCESS"
    imports = database.fetch_all("SELECT run_id, error_code FROM import_jobs")
    taken_over = {row["run_id"] for row in imports if row["error_code"] == "superseded"}
    assert {runs[run] for run in taken_over} <= {"FAILURE"}, (
        "a run that was killed with its command is failed by the next"
    )


def test_a_killed_command_is_finished_by_the_next(commands: Commands, database: Database, dagster_url: str) -> None:
    _kill_when(commands, database, MOMENTS["one page"])
    _assert_finished(commands, database, dagster_url)


def test_a_terminated_command_closes_its_ledger_itself(commands: Commands, database: Database) -> None:
    process = commands.start()
    while process.poll() is None and not MOMENTS["claimed"](database):
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode != 0
    [job] = database.fetch_all("SELECT status, error_code FROM import_jobs")
    assert job in ({"status": "ERROR", "error_code": "cancelled"}, {"status": "SUCCESS", "error_code": None})
    assert_books_balance(database)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_ten_moments_of_a_load(
    commands: Commands, database: Database, dagster_url: str, record_property: Callable[[str, object], None]
) -> None:
    more = (0.02, 0.1, 0.3, 0.6)
    for moment, reached in MOMENTS.items():
        with database.transaction() as connection:
            connection.execute("TRUNCATE raw_events, import_jobs CASCADE")
        _kill_when(commands, database, reached, later=1.0 if moment == "at once" else 0)
        _assert_finished(commands, database, dagster_url)
    for later in more:
        with database.transaction() as connection:
            connection.execute("TRUNCATE raw_events, import_jobs CASCADE")
        _kill_when(commands, database, MOMENTS["claimed"], later=later)
        _assert_finished(commands, database, dagster_url)
    record_property("commands killed", len(MOMENTS) + len(more))
