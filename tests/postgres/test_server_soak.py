"""Many processes that come, go and are killed at random moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from resources.postgres.server import EmbeddedServer

REPOSITORY = Path(__file__).parents[2]

# Holds the server some twenty times and writes a row each time; prints the rows that it knows to be committed.
_WORKER = """
import random, sys, time
from pathlib import Path
import psycopg
from resources.postgres.server import EmbeddedServer
random.seed(sys.argv[2])
for _ in range(20):
    with EmbeddedServer(Path(sys.argv[1])) as server:
        server.ensure_database("counts")
        with psycopg.connect(server.url("counts"), autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(1)")
            connection.execute("CREATE TABLE IF NOT EXISTS holds (id bigserial)")
            connection.execute("SELECT pg_advisory_unlock(1)")
            print(connection.execute("INSERT INTO holds DEFAULT VALUES RETURNING id").fetchone()[0], flush=True)
            time.sleep(random.random() * 0.05)
            connection.execute("SELECT 1")
print("done", flush=True)
"""


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_holders_that_come_go_and_are_killed_never_see_a_dead_server(
    make_server: Callable[..., EmbeddedServer], seed: int, record_property: Callable[[str, object], None]
) -> None:
    """The postmaster is left alone here: whoever holds the server finds it answering until he lets go."""
    server = make_server()
    dice = random.Random(seed)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(server.directory), f"{seed}/{number}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        for number in range(8)
    ]
    doomed = dice.sample(workers, 4)
    committed: list[int] = []
    for worker in doomed:
        assert worker.stdout is not None
        committed += [int(worker.stdout.readline()) for _ in range(dice.randrange(1, 10))]
        worker.kill()
        committed += [int(line) for line in worker.stdout.read().split() if line.isdecimal()]
    for worker in workers:
        out, err = worker.communicate(timeout=250)
        committed += [int(line) for line in out.split() if line.isdecimal()]
        if worker not in doomed:
            assert (worker.returncode, err) == (0, "")
            assert out.endswith("done\n")
    with server, psycopg.connect(server.url("counts")) as connection:
        stored = {row[0] for row in connection.execute("SELECT id FROM holds")}
    assert len(set(committed)) == len(committed)
    assert set(committed) <= stored
    # A killed worker may have committed a row without having had the time to say so.
    assert len(stored) <= len(committed) + len(doomed)
    assert not server.status().running
    record_property("holders killed", len(doomed))
    record_property("rows committed", len(committed))


@pytest.mark.soak
def test_committed_rows_survive_thirty_kills_of_the_postmaster(
    make_server: Callable[..., EmbeddedServer], record_property: Callable[[str, object], None]
) -> None:
    server = make_server()
    server.start()
    server.ensure_database("counts")
    with psycopg.connect(server.url("counts")) as connection:
        connection.execute("CREATE TABLE numbers (value int PRIMARY KEY)")
    dice = random.Random(1)
    committed, slowest = 0, 0.0
    for _ in range(30):
        with psycopg.connect(server.url("counts"), autocommit=True) as connection:
            for _ in range(dice.randrange(1, 50)):
                connection.execute("INSERT INTO numbers VALUES (%s)", [committed])
                committed += 1
            pid = server.status().pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        server.start()
        slowest = max(slowest, time.monotonic() - killed)
        with psycopg.connect(server.url("counts")) as connection:
            assert connection.execute("SELECT count(*), max(value) FROM numbers").fetchone() == (
                committed,
                committed - 1,
            )
    record_property("postmasters killed", 30)
    record_property("rows committed", committed)
    record_property("slowest start afterwards, seconds", slowest)
