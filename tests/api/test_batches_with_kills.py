"""Whatever dies between the first event of a batch and its last: who follows it sees every event, and one end."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from resources.postgres.database import Database
from tests.api.conftest import LiveServer
from tests.api.test_batches import Follower
from tests.study import files

ROOT = Path(__file__).parents[2]
TERMINAL = {
    "pipeline:completed",
    "pipeline:partial",
    "pipeline:quota_exceeded",
    "pipeline:cancelled",
    "pipeline:error",
}


def hand_in(server: LiveServer, user: dict[str, str], number: int) -> str:
    text = files.ENGLISH.replace("barometer", f"barometer number {number}")
    reply = httpx.post(
        f"{server.url}/ingestion/batches",
        headers=user,
        files=[("files", ("a.txt", text.encode())), ("files", ("b.txt", files.FRENCH.encode()))],
        timeout=60,
    )
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


def follow(server: LiveServer, user: dict[str, str], batch: str, draw: random.Random) -> Follower:
    """As a client with a bad connection: it drops after a few events and comes back, until it is told to stop."""
    follower = Follower(server, user, batch)
    while (status := follower.read(most=draw.randrange(1, 5))) != 204:
        assert status == 200
    return follower


def run(
    server: LiveServer,
    database: Database,
    user: dict[str, str],
    environment: dict[str, str],
    *,
    count: int,
    longest: float,
) -> tuple[Counter[str], int]:
    """Hand in `count` batches, cancel some, kill who works on them. The ends, and how many were killed."""
    draw = random.Random(29)
    batches = [hand_in(server, user, number) for number in range(count)]
    with ThreadPoolExecutor(16) as pool:
        followers = [pool.submit(follow, server, user, batch, random.Random(batch)) for batch in batches]
        killer = subprocess.Popen(
            [sys.executable, "-m", "tests.api.batch_killer", json.dumps({"seed": 3, "longest": longest})],
            cwd=ROOT,
            env={**os.environ, **environment, "LLM_PROVIDERS": "offline"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for batch in draw.sample(batches, max(1, count // 20)):
            httpx.post(f"{server.url}/batches/{batch}/cancel", headers=user)
        out, err = killer.communicate()
        assert killer.returncode == 0, err[-2000:]
        ends: Counter[str] = Counter()
        for future in followers:
            follower = future.result(60)
            assert [number for number, _ in follower.events] == list(range(1, len(follower.events) + 1))
            last = [kind for _, kind in follower.events if kind in TERMINAL]
            assert len(last) == 1, follower.events
            assert follower.events[-1][1] == last[0]
            ends[last[0]] += 1
    rows = database.fetch_all(
        "SELECT batch_id, count(*) FILTER (WHERE terminal) AS ends, count(*) = max(sequence) AS whole"
        " FROM study_batch_events GROUP BY batch_id"
    )
    assert {uuid.UUID(batch) for batch in batches} == {row["batch_id"] for row in rows}
    assert all(row["ends"] == 1 and row["whole"] for row in rows)
    return ends, int(json.loads(out.splitlines()[-1])["killed"])


def test_a_few_batches_end_once_each_though_their_workers_are_killed(
    serve: Callable[..., LiveServer],
    database: Database,
    ada: dict[str, str],
    platform_environment: dict[str, str],
) -> None:
    ends, killed = run(serve(), database, ada, platform_environment, count=2, longest=5.0)
    assert sum(ends.values()) == 2
    assert killed >= 1
    assert ends["pipeline:completed"] + ends["pipeline:partial"] + ends["pipeline:cancelled"] >= 1, ends


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_two_hundred_batches_end_once_each_though_their_workers_are_killed(
    serve: Callable[..., LiveServer],
    database: Database,
    ada: dict[str, str],
    platform_environment: dict[str, str],
    record_property: Callable[[str, object], None],
) -> None:
    server = serve(documents_per_day=10**6, streams_per_user=1000)
    ends, killed = run(server, database, ada, platform_environment, count=200, longest=6.0)
    record_property("workers killed", killed)
    for end, count in sorted(ends.items()):
        record_property(end, count)
    assert sum(ends.values()) == 200
    assert killed > 20
    assert ends["pipeline:completed"] + ends["pipeline:partial"] > 100
