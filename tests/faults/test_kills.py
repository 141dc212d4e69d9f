"""SIGKILL at every point of an import, then again: no row lost or doubled, every count exact, nothing left open."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from resources.postgres.database import Database
from tests.faults.harness import Feeds, Workers
from tests.faults.worker import IN_TRANSACTION, POINTS

RECOVERIES = ("retry of the run", "retry of the step", "another run")
_LATER = {"page fetched": 2, "keys staged": 5, "rows staged": 6, "rejected written": 3, "batch written": 7}


def _recover(
    how: str, workers: Workers, feeds: Feeds, database: Database, killed: list[object], **options: object
) -> int:
    """Import once more as Dagster would after the kills; how many ledger rows there must be."""
    dead = list(killed)
    if how == "retry of the step":
        workers.run(feeds, database, run_id=dead[0].run_id, **options)  # type: ignore[attr-defined]
        return 1
    workers.run(feeds, database, retries=dead if how == "retry of the run" else (), **options)
    return 1 + len(dead)


@pytest.mark.parametrize(("number", "point"), list(enumerate(POINTS)))
def test_an_import_that_is_killed_is_finished_by_the_next(
    number: int, point: str, workers: Workers, feeds: Feeds, loaded: Database
) -> None:
    killed = workers.start(feeds, loaded, point=point, nth=_LATER.get(point, 1))
    assert killed.wait() == {"killed": signal.SIGKILL}
    how = RECOVERIES[number % len(RECOVERIES)]
    expected = _recover(how, workers, feeds, loaded, [killed])
    feeds.assert_arrived(loaded, imports=None if point == "before the claim" else expected)


@pytest.mark.parametrize("point", ["closed", "ended", "counts read"])
def test_a_step_that_is_killed_after_its_end_keeps_all_its_counts(
    point: str, workers: Workers, feeds: Feeds, loaded: Database
) -> None:
    killed = workers.start(feeds, loaded, point=point)
    assert killed.wait() == {"killed": signal.SIGKILL}
    feeds.assert_arrived(loaded, imports=_recover("retry of the step", workers, feeds, loaded, [killed]))


def test_an_import_that_is_killed_again_and_again_is_finished_at_last(
    workers: Workers, feeds: Feeds, loaded: Database
) -> None:
    killed = []
    for nth in range(1, 6):
        worker = workers.start(feeds, loaded, retries=killed, point="batch committed", nth=nth)
        assert worker.wait() == {"killed": signal.SIGKILL}
        killed.append(worker)
    workers.run(feeds, loaded, retries=killed)
    feeds.assert_arrived(loaded, imports=6)


def test_a_step_that_is_killed_in_every_attempt_is_one_ledger_row(
    workers: Workers, feeds: Feeds, loaded: Database
) -> None:
    for nth, point in enumerate(("rows staged", "batch committed", "withdrawn"), start=2):
        worker = workers.start(feeds, loaded, run_id="one", point=point, nth=nth if point != "withdrawn" else 1)
        assert worker.wait() == {"killed": signal.SIGKILL}
    workers.run(feeds, loaded, run_id="one")
    feeds.assert_arrived(loaded, imports=1)
    assert loaded.fetch_all("SELECT max(attempt) AS n FROM import_jobs") == [{"n": 4}]


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(10))
def test_kills_at_every_point_in_random_batches(
    seed: int,
    workers: Workers,
    feeds: Feeds,
    databases: object,
    first_pass: str,
    record_property: Callable[[str, object], None],
) -> None:
    """14 points, ten times: the release slice of the fault matrix."""
    draw = random.Random(seed)
    for number, point in enumerate(POINTS):
        database = Database(databases.create(template=first_pass), patience=60)  # type: ignore[attr-defined]
        batch = draw.choice((17, 50, 100, 333, 2000))
        nth = draw.randint(1, max(1, 1000 // batch)) if point in IN_TRANSACTION | {"batch committed"} else 1
        nth = 1 if point in {"withdrawn", "closed"} else nth
        killed = workers.start(feeds, database, point=point, nth=nth, batch=batch)
        assert killed.wait() == {"killed": signal.SIGKILL}, point
        _recover(RECOVERIES[(number + seed) % 3], workers, feeds, database, [killed], batch=batch)
        feeds.assert_arrived(database)
    record_property("killed", len(POINTS))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10))
def test_kills_at_random_moments(
    seed: int,
    workers: Workers,
    feeds: Feeds,
    databases: object,
    first_pass: str,
    record_property: Callable[[str, object], None],
) -> None:
    """Twenty a seed: two hundred in all."""
    draw = random.Random(1000 + seed)
    killed = 0
    for number in range(20):
        database = Database(databases.create(template=first_pass), patience=60)  # type: ignore[attr-defined]
        worker = workers.start(feeds, database, batch=40)
        time.sleep(draw.uniform(0, 1.2))
        os.kill(worker.pid, signal.SIGKILL)
        if "killed" in worker.wait():
            killed += 1
            _recover(RECOVERIES[number % 3], workers, feeds, database, [worker])
        feeds.assert_arrived(database)
    record_property("killed before they had ended", killed)
