"""One of two deduplications that work beside each other is killed or stopped: both end as if nothing had happened."""

from __future__ import annotations

import random
import signal

import pytest

from resources.postgres.database import Database
from tests.assets.parallel import Calendar, Town
from tests.faults.harness import Workers
from tests.faults.worker import POINTS_OF_WEEKS


def made(database: Database, seed: int) -> tuple[Calendar, Town]:
    """A town whose weeks were resolved once and have changed since, so that ids are inherited, moved and replaced."""
    calendar, town = Calendar(random.Random(seed)), Town(database)
    calendar.add(30)
    town.store(calendar)
    town.resolve(calendar.weeks)
    calendar.change(12)
    calendar.add(6)
    town.store(calendar)
    return calendar, town


def one_after_the_other(database: Database, seed: int) -> int:
    """How many events the same changes give in one run."""
    calendar, town = made(database, seed)
    town.resolve(calendar.weeks)
    town.assert_sound()
    return _live(database)


def _live(database: Database) -> int:
    [row] = database.fetch_all("SELECT count(*) AS n FROM deduplicated_events WHERE replaced_by IS NULL")
    return int(row["n"])


def jobs(database: Database) -> dict[str, str]:
    rows = database.fetch_all("SELECT run_id, status FROM import_jobs WHERE source = 'deduplicated_events'")
    return {row["run_id"]: row["status"] for row in rows}


@pytest.mark.parametrize(("number", "point"), list(enumerate(("week locked", "week written", "week committed"))))
def test_a_run_that_is_killed_beside_another_is_finished_by_its_retry(
    number: int, point: str, workers: Workers, database: Database
) -> None:
    """The first half is killed in the week that it shares with the second, or before."""
    calendar, town = made(database, number)
    halves = calendar.weeks[:3], calendar.weeks[3:]
    killed = workers.resolve(database, halves[0], point=point, nth=1 + number % 2)
    other = workers.resolve(database, halves[1])
    assert killed.wait() == {"killed": signal.SIGKILL}
    retry = workers.resolve(database, halves[0], retries=[killed])
    assert (retry.wait(), other.wait()) == ({"exit": 0}, {"exit": 0})
    states = jobs(database)
    assert [states[worker.run_id] for worker in (killed, retry, other)] == ["ERROR", "SUCCESS", "SUCCESS"]
    town.assert_sound()


def test_a_run_that_stands_still_keeps_its_neighbour_waiting_until_its_lease_is_over(
    workers: Workers, database: Database
) -> None:
    calendar, town = made(database, 0)
    stopped = workers.resolve(database, calendar.weeks[:3], point="week written", nth=1, sent=signal.SIGSTOP)
    assert stopped.wait() == {"stopped": signal.SIGSTOP}
    neighbour = workers.resolve(database, calendar.weeks[1:2], retries=[stopped], lease=1.0)
    beyond = workers.resolve(database, calendar.weeks[4:])
    assert (beyond.wait(), neighbour.wait()) == ({"exit": 0}, {"exit": 0})
    stopped.go_on()
    assert stopped.wait() == {"exit": 1}
    assert stopped.result["error"] == "AttemptSupersededError"
    town.resolve(calendar.weeks)
    town.assert_sound()


def test_a_run_that_stood_still_goes_on_when_nobody_took_its_weeks(workers: Workers, database: Database) -> None:
    """Its neighbour of other weeks only ends the session that holds the locks."""
    calendar, town = made(database, 1)
    stopped = workers.resolve(database, calendar.weeks[:3], point="week written", nth=3, sent=signal.SIGSTOP)
    assert stopped.wait() == {"stopped": signal.SIGSTOP}
    neighbour = workers.resolve(database, calendar.weeks[3:], lease=1.0)
    assert neighbour.wait() == {"exit": 0}
    stopped.go_on()
    assert stopped.wait() == {"exit": 0}
    assert stopped.result["reconnects"] >= 1
    assert set(jobs(database).values()) == {"SUCCESS"}
    town.assert_sound()


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(30))
def test_runs_that_are_killed_again_and_again_beside_each_other_end_at_last(
    seed: int, workers: Workers, fresh_database: Database, database: Database
) -> None:
    chance = random.Random(seed)
    expected = one_after_the_other(database, seed)
    calendar, town = made(fresh_database, seed)
    pieces = calendar.ranges()
    dead = {number: [] for number in range(len(pieces))}
    for _ in range(3):
        under_way = {
            number: workers.resolve(
                fresh_database,
                piece,
                retries=dead[number],
                point=chance.choice(list(POINTS_OF_WEEKS)),
                nth=chance.randint(1, 3),
            )
            for number, piece in enumerate(pieces)
        }
        for number, worker in under_way.items():
            if worker.wait() != {"exit": 0}:
                dead[number].append(worker)
    last = [workers.resolve(fresh_database, piece, retries=dead[number]) for number, piece in enumerate(pieces)]
    assert [worker.wait() for worker in last] == [{"exit": 0}] * len(pieces)
    town.assert_sound()
    assert _live(fresh_database) == expected
