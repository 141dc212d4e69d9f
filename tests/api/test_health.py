"""`/health` is open to anybody: it must not cost what anybody could use up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import httpx

from api.database import ApiDatabase
from api.reports import Reports
from ingestion_assets.ledger.health import Status
from resources.postgres.database import Database
from tests.api.conftest import Calls, settings


@dataclass(frozen=True, slots=True)
class Counted(Database):
    """Counts the connections that are opened."""

    opened: list[int] = field(default_factory=list)

    def connect(self, **options: Any) -> Any:
        self.opened.append(1)
        return Database.connect(self, **options)


def test_one_reading_answers_all_that_ask_meanwhile(database: Database) -> None:
    counted = Counted(database.url)

    async def ask(together: int) -> None:
        pool = ApiDatabase(database.url, settings())
        async with pool.opened():
            reports = Reports(pool, counted)
            for _ in range(2):
                answers = await asyncio.gather(*(reports.health() for _ in range(together)))
                assert {answer.status for answer in answers} == {Status.OK}

    asyncio.run(ask(1))
    alone = len(counted.opened)
    asyncio.run(ask(100))
    assert len(counted.opened) == 2 * alone


def test_an_outage_is_told_to_all_that_ask_and_waited_for_once(database: Database) -> None:
    away = "postgresql://nobody@127.0.0.1:9/nothing"

    async def ask() -> list[httpx.Response]:
        app = Calls(Database(away)).app()
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with (
            app.state.service.database.opened(),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
            asyncio.timeout(9),  # the pool alone waits 3 s
        ):
            return await asyncio.gather(*(client.get("/health") for _ in range(20)))

    replies = asyncio.run(ask())
    assert {(reply.status_code, reply.json()["type"]) for reply in replies} == {(503, "/problems/unavailable")}
