"""The shared pace in PostgreSQL: the same arithmetic as in memory, whoever races, stops or dies in the middle."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from resources.llm.errors import QuotaScope
from resources.llm.pacing import bucket as arithmetic
from resources.llm.pacing.bucket import Pace
from resources.llm.pacing.pacer import StartPace
from resources.llm.pacing.store import MemoryStore, PaceKey, PaceStore, PostgresStore
from resources.postgres.database import Database

KEY = PaceKey("openai", "account", "model")
START = StartPace(requests_per_minute=6000, tokens_per_minute=600_000)


async def reserve(store: PaceStore, key: PaceKey = KEY, cost: float = 10.0) -> float:
    dues: list[float] = []

    def change(pace: Pace, now: float) -> Pace:
        changed, slots = arithmetic.reserve(pace, now, [cost])
        dues[:] = [slot.due for slot in slots]
        return changed

    await store.apply(key, change, fresh=START.fresh)
    return dues[0]


async def read(store: PaceStore, key: PaceKey = KEY) -> Pace:
    return (await store.apply(key, lambda pace, _: pace, fresh=START.fresh)).pace


def test_what_was_written_is_read_back_whole(database: Database) -> None:
    until = datetime.now(UTC) + timedelta(hours=5)

    async def scene() -> tuple[Pace, Pace]:
        store, other = PostgresStore(database), PostgresStore(database)
        try:
            await reserve(store)
            written = await store.apply(
                KEY,
                lambda pace, now: arithmetic.blocked(
                    replace(pace, tokens=replace(pace.tokens, learned="header", ceiling=12.5, refusals=3)),
                    until,
                    QuotaScope.PROVIDER_DAY,
                    "used up",
                ),
                fresh=START.fresh,
            )
            return written.pace, await read(other)
        finally:
            await store.aclose()
            await other.aclose()

    written, found = asyncio.run(scene())

    assert found.requests == written.requests
    assert found.tokens == written.tokens
    assert found.block is not None
    assert found.block.until == pytest.approx(until.timestamp(), abs=1e-3)
    assert (found.block.scope, found.block.reason) == (QuotaScope.PROVIDER_DAY, "used up")


def test_an_unknown_limit_survives_the_database(database: Database) -> None:
    async def scene() -> Pace:
        store = PostgresStore(database)
        try:
            applied = await store.apply(KEY, lambda pace, _: pace, fresh=StartPace().fresh)
            assert applied.pace.tokens.rate is None
            return (await store.apply(KEY, lambda pace, _: pace, fresh=START.fresh)).pace
        finally:
            await store.aclose()

    assert asyncio.run(scene()).tokens.rate is None


def test_processes_that_race_never_hand_out_a_slot_twice(database: Database) -> None:
    """Four stores with their own connections, as four processes have them."""
    dues: list[float] = []
    guard = threading.Lock()

    def worker() -> None:
        async def scene() -> None:
            store = PostgresStore(database)
            try:
                for _ in range(25):
                    due = await reserve(store)
                    with guard:
                        dues.append(due)
            finally:
                await store.aclose()

        asyncio.run(scene())

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with database.transaction() as connection:
        granted, version = connection.execute(
            "SELECT granted, version FROM llm_pacing WHERE dimension = 'requests'"
        ).fetchone() or (0, 0)
    assert granted == 100
    assert version == 100, "each reservation is one write that nobody else's has overwritten"
    # A slot is a moment of its own, but for those that the credit allows at once.
    step = 60 / 6000 / arithmetic.SAFETY
    at_once = arithmetic.CREDIT_SECONDS / step
    for moment in dues:
        assert sum(abs(other - moment) < step / 2 for other in dues) <= at_once


def test_accounts_and_models_do_not_share_a_pace(database: Database) -> None:
    async def scene() -> list[float]:
        store = PostgresStore(database)
        try:
            for key in (KEY, PaceKey("openai", "another", "model"), PaceKey("openai", "account", "larger")):
                await reserve(store, key)
            return [
                (await read(store, key)).requests.granted
                for key in (KEY, PaceKey("openai", "another", "model"), PaceKey("openai", "account", "larger"))
            ]
        finally:
            await store.aclose()

    assert asyncio.run(scene()) == [1, 1, 1]


def test_a_process_that_stops_in_the_middle_holds_up_nobody(database: Database) -> None:
    """Another process has read the row and does not come back: the next one writes without waiting."""

    async def scene() -> float:
        store, other = PostgresStore(database), PostgresStore(database)
        await reserve(store)
        stuck, free = threading.Event(), threading.Event()

        def stands_still(pace: Pace, now: float) -> Pace:
            stuck.set()
            free.wait(20)
            return pace

        slow = asyncio.create_task(other.apply(KEY, stands_still, fresh=START.fresh))
        await asyncio.to_thread(stuck.wait)
        await asyncio.wait_for(reserve(store), 10)
        free.set()
        await slow
        granted = (await read(store)).requests.granted
        await store.aclose()
        await other.aclose()
        return granted

    assert asyncio.run(scene()) == 2, "and what the stopped one had read does not overwrite what came since"


def test_a_connection_that_is_cut_is_made_anew(database: Database) -> None:
    async def scene() -> None:
        store = PostgresStore(database)
        try:
            await reserve(store)
            with database.connect(autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
                    ("ingestion/llm-pacing",),
                )
            await reserve(store)
            assert (await read(store)).requests.granted == 2
        finally:
            await store.aclose()

    asyncio.run(scene())


def test_memory_and_database_agree(database: Database) -> None:
    async def scene() -> tuple[Pace, Pace]:
        paces = []
        stores: list[PaceStore] = [MemoryStore(), PostgresStore(database)]
        for store in stores:
            for _ in range(5):
                await reserve(store, cost=100)
            paces.append(await read(store))
            await store.aclose()
        return paces[0], paces[1]

    memory, stored = asyncio.run(scene())

    assert memory.requests.granted == stored.requests.granted == 5
    assert memory.tokens.granted == stored.tokens.granted == 500
    assert memory.requests.rate == stored.requests.rate
    assert memory.requests.level(0) - memory.requests.level(1) == stored.requests.level(0) - stored.requests.level(1)


def test_closing_twice_is_harmless(database: Database) -> None:
    async def scene() -> None:
        store = PostgresStore(database)
        await reserve(store)
        await store.aclose()
        await store.aclose()

    asyncio.run(scene())
