"""What people see of the pace, and lifting a block by hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from resources.llm.errors import LlmQuotaError, QuotaScope
from resources.llm.pacing.pacer import Pacer, StartPace
from resources.llm.pacing.store import PaceKey, PostgresStore
from resources.llm.protocol import Deadline
from resources.llm.status import pace_lines, unblock
from resources.postgres.database import Database


def quota(hours: float) -> LlmQuotaError:
    return LlmQuotaError(
        "no credit left",
        provider="openai",
        model="m",
        scope=QuotaScope.PROVIDER_BILLING,
        not_before=datetime.now(UTC) + timedelta(hours=hours),
    )


def with_pacer(database: Database, *steps: str, hours: float = 1.0) -> None:
    async def scene() -> None:
        store = PostgresStore(database)
        pacer = Pacer(PaceKey("openai", "a", "m"), store, StartPace(requests_per_minute=600))
        try:
            for step in steps:
                if step == "block":
                    await pacer.block(quota(hours))
                else:
                    await pacer.acquire(10, Deadline.after(5))
        finally:
            await pacer.aclose()
            await store.aclose()

    asyncio.run(scene())


def test_a_block_is_seen_and_can_be_lifted_for_every_process(database: Database) -> None:
    with_pacer(database, "acquire", "block")
    with pytest.raises(LlmQuotaError):
        with_pacer(database, "acquire")
    with database.transaction() as connection:
        (line,) = pace_lines(connection)
        assert (line.blocked_scope, line.blocked_reason) == (QuotaScope.PROVIDER_BILLING, "no credit left")
        assert line.requests_per_minute == pytest.approx(588)
        assert line.tokens_per_minute is None
        assert unblock(connection, provider="gemini") == 0
        assert unblock(connection, provider="openai") == 1
        assert unblock(connection, provider="openai") == 0

    with_pacer(database, "acquire")
    with database.transaction() as connection:
        assert pace_lines(connection)[0].blocked_until is None


def test_a_block_that_is_over_is_not_shown(database: Database) -> None:
    with_pacer(database, "block", hours=-1)
    with database.transaction() as connection:
        assert pace_lines(connection)[0].blocked_reason is None
