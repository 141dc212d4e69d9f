from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.database import ApiDatabase
from api.launching import Launcher
from ingestion_assets.ledger import run_launches
from resources.postgres.database import Database
from tests.api.conftest import Calls, settings
from tests.api.dagster_fake import FakeDagster


@pytest.fixture
def dagster() -> Iterator[FakeDagster]:
    fake = FakeDagster()
    yield fake
    fake.stop()


@pytest.fixture(autouse=True)
def _sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICS_FEEDS", "culture=http://127.0.0.1:9/feed.ics")


def wanted(database: Database) -> None:
    with database.transaction() as connection:
        run_launches.request_run(connection, job_name="import_ics", source="ics", tags={"a": "b"}, requested_by=None)


def rounds(database: Database, dagster_url: str, count: int, *, hurry: bool = True) -> None:
    """Let the launcher look `count` times, as if the waits between were over."""

    async def go() -> None:
        pool = ApiDatabase(database.url, settings())
        launcher = Launcher(pool, settings(dagster_url=dagster_url))
        async with pool.opened(), httpx.AsyncClient(base_url=dagster_url, timeout=5, trust_env=False) as client:
            launcher._client = client
            for _ in range(count):
                await launcher.launch_pending()
                if hurry:
                    await pool.run(lambda c: c.execute("UPDATE run_launches SET not_before = now()"))

    asyncio.run(go())


def row(database: Database) -> dict[str, Any]:
    [found] = database.fetch_all("SELECT * FROM run_launches")
    return found


def test_a_run_is_launched_at_once_with_its_weeks_and_asked_for_once(
    api: Calls, database: Database, admin: dict[str, str], dagster: FakeDagster
) -> None:
    async def ask(client: httpx.AsyncClient) -> dict[str, Any]:
        body = {"from": "2026-11-25", "to": "2026-12-02"}
        reply = await client.post("/api/admin/ingest/ics", headers=admin, json=body)
        assert reply.status_code == 202
        async with asyncio.timeout(10):
            while not dagster.runs:  # noqa: ASYNC110 - another thread fills it
                await asyncio.sleep(0.02)
        return reply.json()

    made = api(ask, dagster_url=dagster.url)
    [run] = dagster.runs
    assert (made["job"], run["job"]) == ("import_ics", "import_ics")
    assert run["tags"]["dagster/asset_partition_range_start"] == "2026-11-23"
    assert run["tags"]["dagster/asset_partition_range_end"] == "2026-11-30"
    assert run["tags"]["ingestion/launch"] == made["id"]
    assert len(dagster.runs) == 1


def test_two_clicks_are_one_run_while_dagster_is_away_and_it_comes_when_dagster_is_back(
    api: Calls, database: Database, admin: dict[str, str], dagster: FakeDagster
) -> None:
    first = api.post("/api/admin/ingest/ics", headers=admin).json()
    second = api.post("/api/admin/ingest/ics", headers=admin).json()
    assert (first["id"], first["created"], second["created"]) == (second["id"], True, False)
    database_row = row(database)
    assert database_row["state"] == "pending"
    with database.transaction() as connection:
        connection.execute("UPDATE run_launches SET not_before = now()")
    rounds(database, dagster.url, 3)
    assert (row(database)["state"], len(dagster.runs)) == ("launched", 1)


def test_a_launch_whose_answer_was_lost_is_found_and_not_repeated(database: Database, dagster: FakeDagster) -> None:
    wanted(database)
    dagster.mode = "lost"
    rounds(database, dagster.url, 1, hurry=False)
    assert (row(database)["state"], len(dagster.runs)) == ("pending", 1)
    assert row(database)["not_before"] - row(database)["created_at"] > timedelta(seconds=50)
    dagster.mode = "run"
    with database.transaction() as connection:
        connection.execute("UPDATE run_launches SET not_before = now()")
    rounds(database, dagster.url, 3)
    assert (row(database)["run_id"], len(dagster.runs)) == (dagster.runs[0]["id"], 1)


@pytest.mark.parametrize("mode", ["gateway", "broken", "no such job"])
def test_a_refusal_is_tried_again_later_and_not_for_ever(database: Database, dagster: FakeDagster, mode: str) -> None:
    wanted(database)
    dagster.mode = mode
    rounds(database, dagster.url, 1, hurry=False)
    assert row(database)["state"] == "pending"
    assert row(database)["error"]
    with database.transaction() as connection:
        connection.execute("UPDATE run_launches SET not_before = now()")
    rounds(database, dagster.url, 25)
    assert (row(database)["state"], dagster.runs) == ("failed", [])
    assert dagster.requests <= 25


def test_who_asks_while_the_launcher_looks_is_not_forgotten(database: Database) -> None:
    async def go() -> int:
        pool = ApiDatabase(database.url, settings())
        looks = 0

        class Slow(Launcher):
            async def launch_pending(self) -> int:
                nonlocal looks
                looks += 1
                if looks == 1:
                    self.wake()  # committed after this look had read the table
                return 0

        async with Slow(pool, settings()).running():
            await asyncio.sleep(0.5)
        return looks

    assert asyncio.run(go()) == 2


def test_several_processes_launch_once(database: Database, dagster: FakeDagster) -> None:
    for number in range(10):
        with database.transaction() as connection:
            run_launches.request_run(
                connection, job_name="import_ics", source="ics", tags={"n": str(number)}, requested_by=None
            )

    async def go() -> None:
        pool = ApiDatabase(database.url, settings(database_connections=8))
        launchers = [Launcher(pool, settings(dagster_url=dagster.url)) for _ in range(4)]
        async with pool.opened(), httpx.AsyncClient(base_url=dagster.url, timeout=5, trust_env=False) as client:
            for launcher in launchers:
                launcher._client = client
            await asyncio.gather(*(launcher.launch_pending() for launcher in launchers))

    asyncio.run(go())
    assert len(dagster.runs) == 10
    assert len({run["tags"]["ingestion/launch"] for run in dagster.runs}) == 10


def test_a_source_that_is_off_says_what_to_set(api: Calls, admin: dict[str, str], ada: dict[str, str]) -> None:
    reply = api.post("/api/admin/ingest/ticketmaster", headers=admin)
    assert (reply.status_code, reply.json()["missing"]) == (409, ["TICKETMASTER_API_KEY"])
    assert api.post("/api/admin/ingest/nothing", headers=admin).status_code == 404
    assert api.post("/api/admin/ingest/ics", headers=ada).status_code == 403
    everything = api.post("/api/admin/ingest-all", headers=admin).json()
    assert "ics" in [launch["source"] for launch in everything["launches"]]
    assert "ticketmaster" in everything["skipped"]
