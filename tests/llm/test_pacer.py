"""Handing out slots: order, deadlines, what an answer changes for those who wait, and blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from resources.llm.errors import LlmDeadlineError, LlmQuotaError, LlmRateLimitError, QuotaScope
from resources.llm.pacing.bucket import Limit, Limits, Pace, Slot
from resources.llm.pacing.pacer import Pacer, StartPace
from resources.llm.pacing.store import Applied, MemoryStore, PaceKey
from resources.llm.protocol import Deadline
from tests.fakes.llm_time import Loop, play

KEY = PaceKey("openai", "account", "model")


def pacer(loop: Loop, **start: Any) -> Pacer:
    return Pacer(KEY, MemoryStore(loop.time), StartPace(**start), clock=loop.time)


def later(loop: Loop, seconds: float) -> Deadline:
    return Deadline.after(seconds, loop.time)


HEADERS = Limits(requests=Limit(1200, 0, 1.0))


def quota(hours: float = 6) -> LlmQuotaError:
    return LlmQuotaError(
        "the day is used up",
        provider="openai",
        model="model",
        scope=QuotaScope.PROVIDER_DAY,
        not_before=datetime.now(UTC) + timedelta(hours=hours),
    )


def test_slots_come_at_the_configured_pace_and_in_order() -> None:
    async def scene(loop: Loop) -> None:
        pace = pacer(loop, requests_per_minute=60)
        order: list[int] = []

        async def one(number: int) -> float:
            await pace.acquire(10, later(loop, 100))
            order.append(number)
            return loop.time()

        began = loop.time()
        times = await asyncio.gather(*(one(number) for number in range(5)))
        assert order == [0, 1, 2, 3, 4]
        assert times[-1] - began == pytest.approx(4 / 0.98, abs=0.05)

    play(scene)


def test_whoever_waits_at_the_start_rate_gets_the_learnt_rate_at_once() -> None:
    async def scene(loop: Loop) -> None:
        pace = pacer(loop)
        first = await pace.acquire(10, later(loop, 100))
        waiting = [asyncio.create_task(pace.acquire(10, later(loop, 100))) for _ in range(20)]
        await asyncio.sleep(0.3)
        began = loop.time()
        await pace.answered(first, HEADERS, used_tokens=20)
        await asyncio.gather(*waiting)
        # At the start rate of two a second these would take ten seconds; twenty a second take one.
        assert loop.time() - began < 1.5

    play(scene)


def test_a_delay_that_does_not_fit_is_refused_at_once() -> None:
    async def scene(loop: Loop) -> None:
        pace = pacer(loop, requests_per_minute=600)
        slot = await pace.acquire(10, later(loop, 20))
        refusal = LlmRateLimitError("paced", provider="openai", retry_after=34.0)
        await pace.refused(slot, refusal)
        began = loop.time()
        with pytest.raises(LlmRateLimitError) as caught:
            await pace.acquire(10, later(loop, 20))
        assert loop.time() - began < 0.1
        assert caught.value.retry_after == pytest.approx(34, abs=0.5)
        assert caught.value.final

    play(scene)


def test_a_delay_that_fits_is_waited_for_by_everybody() -> None:
    async def scene(loop: Loop) -> None:
        pace = pacer(loop, requests_per_minute=6000)
        slot = await pace.acquire(10, later(loop, 100))
        waiting = [asyncio.create_task(pace.acquire(10, later(loop, 100))) for _ in range(5)]
        await pace.refused(slot, LlmRateLimitError("paced", provider="openai", retry_after=7.0))
        told = loop.time()
        slots = await asyncio.gather(*waiting)
        early = [at for at in slots if at.due < told]
        # Slots that had been handed over before the refusal cannot be called back; no other may come early.
        assert len(early) <= 4
        assert loop.time() - told >= 7.0

    play(scene)


def test_a_pace_that_leaves_no_slot_in_time_is_the_deadlines_doing() -> None:
    async def scene(loop: Loop) -> None:
        pace = pacer(loop, requests_per_minute=6)
        await pace.acquire(10, later(loop, 5))
        with pytest.raises(LlmDeadlineError):
            await pace.acquire(10, later(loop, 5))
        # The slot that nobody took is not lost: the next caller does not wait for two.
        began = loop.time()
        await pace.acquire(10, later(loop, 100))
        assert loop.time() - began < 10.5

    play(scene)


def test_the_time_that_the_call_needs_is_part_of_the_deadline() -> None:
    async def scene(loop: Loop) -> None:
        pace = pacer(loop, requests_per_minute=60)
        await pace.acquire(10, later(loop, 100))
        with pytest.raises(LlmDeadlineError):
            await pace.acquire(10, later(loop, 2.0), need=1.5)

    play(scene)


def test_a_block_reaches_those_who_wait_and_those_who_come() -> None:
    async def scene(loop: Loop) -> None:
        pace = pacer(loop, requests_per_minute=6)
        await pace.acquire(10, later(loop, 1000))
        waiting = [asyncio.create_task(pace.acquire(10, later(loop, 1000))) for _ in range(3)]
        await asyncio.sleep(0)
        error = quota()
        await pace.block(error)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [LlmQuotaError] * 3
        assert len({id(result) for result in results}) == 3, "each caller notes its own usage on its error"
        with pytest.raises(LlmQuotaError) as caught:
            await pace.acquire(10, later(loop, 1000))
        assert abs((caught.value.not_before - error.not_before).total_seconds()) < 1
        assert caught.value.scope is QuotaScope.PROVIDER_DAY

    play(scene)


def test_a_block_that_is_over_lets_calls_through() -> None:
    async def scene(loop: Loop) -> None:
        pace = pacer(loop, requests_per_minute=600)
        await pace.block(quota(hours=-1))
        await pace.acquire(10, later(loop, 10))

    play(scene)


def test_another_process_that_was_blocked_stops_this_one_too() -> None:
    async def scene(loop: Loop) -> None:
        store = MemoryStore(loop.time)
        here, there = (Pacer(KEY, store, StartPace(requests_per_minute=600), clock=loop.time) for _ in range(2))
        await there.block(quota())
        with pytest.raises(LlmQuotaError):
            await here.acquire(10, later(loop, 10))

    play(scene)


def test_a_caller_that_is_cancelled_costs_the_others_nothing() -> None:
    async def scene(loop: Loop) -> None:
        pace = pacer(loop, requests_per_minute=60)
        tasks = [asyncio.create_task(pace.acquire(10, later(loop, 100))) for _ in range(6)]
        await asyncio.sleep(0)
        for task in tasks[1:5]:
            task.cancel()
        began = loop.time()
        await tasks[5]
        assert loop.time() - began < 3

    play(scene)


class _Broken(MemoryStore):
    async def apply(self, key: PaceKey, change: Any, *, fresh: Any) -> Applied:
        raise ConnectionError("the database is gone")


def test_a_store_that_fails_fails_the_callers_and_hangs_nobody() -> None:
    async def scene(loop: Loop) -> None:
        pace = Pacer(KEY, _Broken(loop.time), StartPace(), clock=loop.time)
        results = await asyncio.gather(*(pace.acquire(10, later(loop, 100)) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [ConnectionError] * 3

    play(scene)


def test_news_is_written_at_once_and_the_rest_a_few_times_a_second() -> None:
    async def scene(loop: Loop) -> None:
        writes = 0

        class Counting(MemoryStore):
            async def apply(
                self, key: PaceKey, change: Callable[[Pace, float], Pace], *, fresh: Callable[[float], Pace]
            ) -> Applied:
                nonlocal writes
                writes += 1
                return await super().apply(key, change, fresh=fresh)

        pace = Pacer(KEY, Counting(loop.time), StartPace(), clock=loop.time)
        slot: Slot = await pace.acquire(10, later(loop, 10))
        await pace.answered(slot, HEADERS, used_tokens=10)
        before = writes
        for _ in range(100):
            await pace.answered(slot, HEADERS, used_tokens=10)
            await asyncio.sleep(0.01)
        assert 3 <= writes - before <= 6

    play(scene)
