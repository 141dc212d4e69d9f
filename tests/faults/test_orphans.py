"""Writers that live on after somebody else has taken over: paused, or just slow. None of their rows gets in."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from resources.postgres.database import Database
from tests.faults.harness import Feeds, Workers
from tests.faults.worker import IN_TRANSACTION, POINTS

SLEEPERS = [point for point in POINTS if point not in {"before the claim", "ended", "counts read"}]


ONCE = frozenset({"claimed", "before the end", "withdrawn", "closed"})


def _nth(point: str, wanted: int) -> int:
    """How often a worker may pass a point before it stops there: some come once, and the feed has two pages."""
    return 1 if point in ONCE else min(wanted, 2) if point == "page fetched" else wanted


def _refused(database: Database) -> list[int]:
    return [row["nb_refused"] for row in database.fetch_all("SELECT nb_refused FROM import_jobs ORDER BY id OFFSET 1")]


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(p, marks=() if p in {"batch committed", "rows staged", "withdrawn"} else pytest.mark.soak)
        for p in SLEEPERS
    ],
)
def test_a_paused_writer_that_comes_back_is_refused(
    point: str, workers: Workers, feeds: Feeds, loaded: Database
) -> None:
    """SIGSTOP, a successor that does all the work, SIGCONT. In a transaction it also holds rows that others need."""
    paused = workers.start(feeds, loaded, point=point, nth=_nth(point, 3), sent=signal.SIGSTOP)
    assert paused.wait() == {"stopped": signal.SIGSTOP}
    workers.run(feeds, loaded, retries=[paused])
    feeds.assert_arrived(loaded, imports=2)
    before = loaded.fetch_all("SELECT source_id, xmin::text FROM raw_events ORDER BY 1")
    paused.go_on()
    assert paused.wait() == {"exit": 1}
    assert paused.result["error"] == "AttemptSupersededError"
    assert loaded.fetch_all("SELECT source_id, xmin::text FROM raw_events ORDER BY 1") == before
    feeds.assert_arrived(loaded, imports=2)
    assert _refused(loaded) == [1, 0]
    assert point not in IN_TRANSACTION or paused.result["text"]


def test_a_paused_writer_whose_silence_was_noticed_is_refused(workers: Workers, feeds: Feeds, loaded: Database) -> None:
    """No lineage says that it is dead: the lease does, though its connection and its lock are still there."""
    paused = workers.start(feeds, loaded, point="batch committed", nth=2, sent=signal.SIGSTOP)
    assert paused.wait() == {"stopped": signal.SIGSTOP}
    workers.run(feeds, loaded, lease=1.0)
    paused.go_on()
    assert paused.wait() == {"exit": 1}
    assert paused.result["error"] == "AttemptSupersededError"
    feeds.assert_arrived(loaded, imports=2)
    assert _refused(loaded) == [1, 0]


def test_a_writer_that_works_on_beside_its_retry_is_refused_in_the_middle(
    workers: Workers, feeds: Feeds, loaded: Database
) -> None:
    """What a killed run with a living step process looks like: both write, one may."""
    orphan = workers.start(feeds, loaded, batch=10, point="batch committed", nth=5, sent=signal.SIGSTOP)
    assert orphan.wait() == {"stopped": signal.SIGSTOP}
    retry = workers.start(feeds, loaded, retries=[orphan], batch=10)
    orphan.go_on()
    assert retry.wait() == {"exit": 0}, retry.result
    assert orphan.wait() == {"exit": 1}
    assert orphan.result["error"] == "AttemptSupersededError"
    feeds.assert_arrived(loaded, imports=2)
    assert _refused(loaded) == [1, 0]


def test_two_runs_that_start_together_do_not_mix(workers: Workers, feeds: Feeds, loaded: Database) -> None:
    pair = [workers.start(feeds, loaded, wait=60) for _ in range(2)]
    assert [worker.wait() for worker in pair] == [{"exit": 0}, {"exit": 0}]
    feeds.assert_arrived(loaded, imports=2)
    assert _refused(loaded) == [0, 0]
    assert loaded.fetch_all("SELECT count(*) AS n FROM import_jobs WHERE error_code IS NOT NULL") == [{"n": 0}]


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(7))
def test_seventy_late_writers(
    seed: int,
    workers: Workers,
    feeds: Feeds,
    databases: object,
    first_pass: str,
    record_property: Callable[[str, object], None],
) -> None:
    for nth in range(1, 11):
        database = Database(databases.create(template=first_pass), patience=60)  # type: ignore[attr-defined]
        point = SLEEPERS[(seed + nth) % len(SLEEPERS)]
        paused = workers.start(feeds, database, point=point, nth=_nth(point, nth % 5 + 1), sent=signal.SIGSTOP)
        assert paused.wait() == {"stopped": signal.SIGSTOP}
        workers.run(feeds, database, retries=[paused])
        paused.go_on()
        assert paused.wait() == {"exit": 1}
        assert paused.result["error"] == "AttemptSupersededError"
        feeds.assert_arrived(database, imports=2)
        assert _refused(database) == [1, 0]
    record_property("late writers refused", 10)
