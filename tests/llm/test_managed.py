"""Retries, deadlines, the breaker and the walls, with an adapter that plays a script and a clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from resources.llm.adapter import Answer, Heard
from resources.llm.breaker import Breaker
from resources.llm.errors import (
    Flaw,
    LlmAuthenticationError,
    LlmDeadlineError,
    LlmError,
    LlmQuotaError,
    LlmRateLimitError,
    LlmRefusalError,
    LlmRequestError,
    LlmResponseError,
    LlmUnavailableError,
    QuotaScope,
)
from resources.llm.managed import ManagedProvider
from resources.llm.pacing.pacer import Pacer, StartPace
from resources.llm.pacing.store import MemoryStore, PaceKey
from resources.llm.protocol import CompletionRequest, Deadline, Usage
from tests.fakes.llm_time import Loop, play


class Word(BaseModel):
    word: str


REQUEST = CompletionRequest(system="s", prompt="p", answer=Word, max_output_tokens=10, purpose="test")
OUTAGE = LlmUnavailableError("500", provider="openai")
GOOD = "good"


class Script:
    """An adapter that gives what it is told to, in order, then answers."""

    name = "openai"
    model = "m"
    account = "a"

    def __init__(self, loop: Loop, steps: Iterable[Any], takes: float = 0.1) -> None:
        self.loop = loop
        self.steps = list(steps)
        self.takes = takes
        self.calls: list[float] = []
        self.limits: list[float] = []

    async def call(self, request: CompletionRequest[Any], *, within: float, heard: Heard) -> Answer[Any]:
        self.calls.append(self.loop.time())
        self.limits.append(within)
        step = self.steps.pop(0) if self.steps else GOOD
        await asyncio.sleep(self.takes)
        if isinstance(step, LlmError):
            raise step
        if callable(step):
            raise step()
        return Answer(value=Word(word="yes"), usage=Usage(input_tokens=10, output_tokens=2))

    async def aclose(self) -> None:
        pass


def managed(loop: Loop, script: Script, **options: Any) -> ManagedProvider:
    pacer = Pacer(
        PaceKey("openai", "a", "m"), MemoryStore(loop.time), StartPace(requests_per_minute=60_000), clock=loop.time
    )
    return ManagedProvider(script, pacer, clock=loop.time, **options)  # type: ignore[arg-type]


def later(loop: Loop, seconds: float) -> Deadline:
    return Deadline.after(seconds, loop.time)


def outage(**options: Any) -> LlmUnavailableError:
    return LlmUnavailableError("500", provider="openai", **options)


def paced(seconds: float | None) -> LlmRateLimitError:
    return LlmRateLimitError("paced", provider="openai", retry_after=seconds)


def test_an_outage_is_retried_up_to_the_attempts_with_growing_pauses() -> None:
    async def scene(loop: Loop) -> None:
        script = Script(loop, [outage() for _ in range(5)])
        with pytest.raises(LlmUnavailableError) as caught:
            await managed(loop, script, attempts=3).complete(REQUEST, deadline=later(loop, 600))
        assert len(script.calls) == 3
        assert caught.value.usage.requests == 3

    play(scene)


@pytest.mark.parametrize("error", [outage(retry_after=7.0), paced(7.0)])
def test_who_asks_is_told_how_long_a_question_waits_to_be_asked_again(error: LlmError) -> None:
    async def scene(loop: Loop) -> None:
        waits: list[float] = []
        request = replace(REQUEST, on_wait=waits.append)
        await managed(loop, Script(loop, [error])).complete(request, deadline=later(loop, 600))
        [wait] = waits
        assert 7.0 <= wait <= 9.0

    play(scene)


def test_an_outage_that_passes_is_not_seen_by_the_caller() -> None:
    async def scene(loop: Loop) -> None:
        script = Script(loop, [outage(), outage()])
        completion = await managed(loop, script).complete(REQUEST, deadline=later(loop, 600))
        assert completion.usage == Usage(
            input_tokens=10, output_tokens=2, requests=3, waited_seconds=completion.usage.waited_seconds
        )
        assert completion.usage.waited_seconds > 0

    play(scene)


def test_a_named_delay_of_an_outage_is_never_undercut() -> None:
    async def scene(loop: Loop) -> None:
        script = Script(loop, [outage(retry_after=9.0)])
        await managed(loop, script).complete(REQUEST, deadline=later(loop, 600))
        assert script.calls[1] - script.calls[0] >= 9.0

    play(scene)


def test_a_refusal_for_the_pace_is_waited_out_and_is_no_attempt() -> None:
    async def scene(loop: Loop) -> None:
        script = Script(loop, [paced(5.0) for _ in range(8)])
        completion = await managed(loop, script, attempts=3).complete(REQUEST, deadline=later(loop, 600))
        assert len(script.calls) == 9
        assert completion.usage.rate_limited == 8
        gaps = [after - before for before, after in zip(script.calls, script.calls[1:], strict=False)]
        assert min(gaps) >= 5.0
        assert completion.usage.waited_seconds >= 40

    play(scene)


def test_refusals_without_end_are_given_up_even_before_the_deadline() -> None:
    async def scene(loop: Loop) -> None:
        script = Script(loop, [paced(0.1) for _ in range(500)])
        with pytest.raises(LlmRateLimitError):
            await managed(loop, script).complete(REQUEST, deadline=later(loop, 36_000))
        assert len(script.calls) == 50

    play(scene)


def test_a_delay_of_34_s_with_20_s_left_stops_at_once() -> None:
    async def scene(loop: Loop) -> None:
        script = Script(loop, [paced(34.0)])
        began = loop.time()
        with pytest.raises(LlmRateLimitError) as caught:
            await managed(loop, script).complete(REQUEST, deadline=later(loop, 20))
        assert loop.time() - began < 1
        assert caught.value.retry_after == 34.0
        assert caught.value.usage.rate_limited == 1

    play(scene)


@pytest.mark.parametrize(
    "error",
    [
        lambda: LlmAuthenticationError("401", provider="openai"),
        lambda: LlmRequestError("400", provider="openai"),
        lambda: LlmRefusalError("no", provider="openai"),
        lambda: LlmResponseError("bad", provider="openai", flaw=Flaw.EMPTY),
    ],
)
def test_what_cannot_change_by_repeating_is_not_repeated(error: Callable[[], LlmError]) -> None:
    async def scene(loop: Loop) -> None:
        script = Script(loop, [error])
        with pytest.raises(type(error())):
            await managed(loop, script).complete(REQUEST, deadline=later(loop, 600))
        assert len(script.calls) == 1

    play(scene)


def test_a_wrong_key_costs_one_request_whatever_the_number_of_callers() -> None:
    async def scene(loop: Loop) -> None:
        script = Script(loop, [LlmAuthenticationError("401", provider="openai")])
        provider = managed(loop, script)
        results = await asyncio.gather(
            *(provider.complete(REQUEST, deadline=later(loop, 600)) for _ in range(64)), return_exceptions=True
        )
        assert {type(result) for result in results} == {LlmAuthenticationError}
        assert len(script.calls) == 1
        assert sum(result.usage.requests for result in results if isinstance(result, LlmError)) == 1

    play(scene)


def quota(now: datetime) -> LlmQuotaError:
    return LlmQuotaError(
        "day", provider="openai", scope=QuotaScope.PROVIDER_DAY, not_before=now + timedelta(hours=6), model="m"
    )


def test_after_a_quota_is_gone_only_what_was_under_way_is_sent() -> None:
    async def scene(loop: Loop) -> None:
        script = Script(loop, [GOOD, *(quota(datetime.now(UTC)) for _ in range(200))], takes=1.0)
        provider = managed(loop, script)
        await provider.complete(REQUEST, deadline=later(loop, 600))
        gate = asyncio.Semaphore(8)

        async def one() -> object:
            async with gate:
                try:
                    return await provider.complete(REQUEST, deadline=later(loop, 600))
                except LlmQuotaError as error:
                    return error

        results = await asyncio.gather(*(one() for _ in range(100)))
        assert all(isinstance(result, LlmQuotaError) for result in results)
        assert len(script.calls) <= 1 + 8

    play(scene)


def test_a_quota_that_is_back_is_tried_again() -> None:
    async def scene(loop: Loop) -> None:
        past = LlmQuotaError(
            "day", provider="openai", scope=QuotaScope.PROVIDER_DAY, not_before=datetime.now(UTC), model="m"
        )
        script = Script(loop, [past])
        provider = managed(loop, script)
        with pytest.raises(LlmQuotaError):
            await provider.complete(REQUEST, deadline=later(loop, 600))
        assert (await provider.complete(REQUEST, deadline=later(loop, 600))).value.word == "yes"

    play(scene)


def test_no_call_may_take_longer_than_what_is_left() -> None:
    async def scene(loop: Loop) -> None:
        script = Script(loop, [])
        provider = managed(loop, script, timeout=60.0)
        await provider.complete(REQUEST, deadline=later(loop, 600))
        await provider.complete(REQUEST, deadline=later(loop, 7))
        assert script.limits[0] == 60.0
        assert script.limits[1] == pytest.approx(7, abs=0.2)

    play(scene)


def test_a_server_that_drips_bytes_past_the_timeout_is_cut_off() -> None:
    async def scene(loop: Loop) -> None:
        script = Script(loop, [], takes=500.0)
        began = loop.time()
        with pytest.raises(LlmUnavailableError) as caught:
            await managed(loop, script, timeout=5.0, attempts=1).complete(REQUEST, deadline=later(loop, 600))
        assert loop.time() - began < 8
        assert "LLM_REQUEST_TIMEOUT_SECONDS" in str(caught.value)

    play(scene)


def test_out_of_time_is_its_own_error() -> None:
    async def scene(loop: Loop) -> None:
        with pytest.raises(LlmDeadlineError):
            await managed(loop, Script(loop, [])).complete(REQUEST, deadline=later(loop, 0.01))

    play(scene)


@pytest.mark.parametrize("hint", [None, 0.0, 9.0])
def test_time_that_ran_out_in_refusals_for_the_pace_is_a_quota_and_no_deadline(hint: float | None) -> None:
    async def scene(loop: Loop) -> None:
        script = Script(loop, [paced(hint) for _ in range(500)], takes=1.0)
        provider = managed(loop, script)
        began = loop.time()
        asked = [provider.complete(REQUEST, deadline=later(loop, 20)) for _ in range(4)]
        errors = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(error) for error in errors} == {LlmRateLimitError}
        assert loop.time() - began < 21
        assert sum(error.usage.rate_limited for error in errors if isinstance(error, LlmError)) == len(script.calls)

    play(scene)


def test_time_that_ran_out_after_an_answer_is_a_deadline() -> None:
    async def scene(loop: Loop) -> None:
        provider = managed(loop, Script(loop, [paced(None)]))
        await provider.complete(REQUEST, deadline=later(loop, 600))
        with pytest.raises(LlmDeadlineError):
            await provider.complete(REQUEST, deadline=later(loop, 0.01))

    play(scene)


def test_outages_open_the_breaker_and_one_call_tries_later() -> None:
    async def scene(loop: Loop) -> None:
        script = Script(loop, [outage() for _ in range(10)])
        provider = managed(loop, script, attempts=1, breaker=Breaker(minimum=10, cooldown=30.0, clock=loop.time))
        for _ in range(10):
            with pytest.raises(LlmUnavailableError):
                await provider.complete(REQUEST, deadline=later(loop, 600))
        with pytest.raises(LlmUnavailableError) as caught:
            await provider.complete(REQUEST, deadline=later(loop, 600))
        assert len(script.calls) == 10, "nothing is sent while it is open"
        assert caught.value.retry_after == pytest.approx(30, abs=1)
        await asyncio.sleep(31)
        assert (await provider.complete(REQUEST, deadline=later(loop, 600))).value.word == "yes"

    play(scene)


def test_seven_in_a_hundred_do_not_open_the_breaker() -> None:
    breaker = Breaker()
    for number in range(400):
        assert breaker.enter()
        (breaker.failed if number % 14 == 0 else breaker.succeeded)()


def test_a_failed_trial_keeps_the_breaker_open() -> None:
    now = [0.0]
    breaker = Breaker(minimum=2, cooldown=10.0, clock=lambda: now[0])
    for _ in range(2):
        breaker.enter()
        breaker.failed()
    assert not breaker.enter()
    now[0] = 11.0
    assert breaker.enter()
    assert not breaker.enter(), "one trial at a time"
    breaker.failed()
    now[0] = 20.0
    assert not breaker.enter()
    now[0] = 22.0
    assert breaker.enter()
    breaker.succeeded()
    assert breaker.enter()
    assert breaker.enter()


def test_a_cancelled_trial_does_not_lock_the_breaker() -> None:
    now = [0.0]
    breaker = Breaker(minimum=1, cooldown=10.0, clock=lambda: now[0])
    breaker.enter()
    breaker.failed()
    now[0] = 11.0
    assert breaker.enter()
    breaker.unknown()
    assert breaker.enter()
