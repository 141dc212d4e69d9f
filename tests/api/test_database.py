"""The service's connections when the database goes away and comes back."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import PoolTimeout

from api.database import ApiDatabase
from api.problems import Problem
from resources.postgres.database import Database
from tests.api.conftest import settings


def _one(connection: Connection[Any]) -> int:
    row = connection.execute("SELECT 1").fetchone()
    assert row is not None
    return int(row[0])


def _slow(connection: Connection[Any]) -> None:
    connection.execute("SELECT pg_sleep(0.3)")


def test_the_first_request_after_a_restart_is_answered(database: Database) -> None:
    """The pool tried its dead connections one by one, with a wait in between: two requests in a row got 503."""

    async def go() -> int:
        pool = ApiDatabase(database.url, settings(database_connections=8))
        async with pool.opened():
            await asyncio.gather(*(pool.run(_slow) for _ in range(8)))
            with database.transaction() as connection:
                [row] = connection.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                ).fetchall()
            assert row[0] == 8
            return await pool.run(_one)

    assert asyncio.run(go()) == 1


def test_an_outage_ends_for_the_service_when_it_ends(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tries to connect were doubled in distance without a bound: a minute of outage became two for the service."""
    parts = conninfo_to_dict(database.url)
    if not str(parts.get("host", "")).startswith("/"):
        pytest.skip("the server does not listen on a socket whose name could be taken away")
    server = Path(str(parts["host"])) / f".s.PGSQL.{parts.get('port', 5432)}"
    name = tmp_path / server.name
    url = make_conninfo(database.url, host=str(tmp_path))
    monkeypatch.setattr("api.database._POOL_SECONDS", 1.0)

    async def go() -> None:
        pool = ApiDatabase(url, settings(database_connections=2))
        async with pool.opened():
            until = time.monotonic() + 3.2  # tries used to come after 0, 1, 3 and 7 seconds
            while time.monotonic() < until:
                with pytest.raises((Problem, PoolTimeout, psycopg.OperationalError)):
                    await pool.run(_one)
            name.symlink_to(server)
            await pool.run(_one)

    asyncio.run(go())
