"""One provider as the rest of the platform calls it: paced, retried, bounded by the deadline, and given up in time.

What may be repeated is decided by the class of the error (`errors.py`), how often by tenacity:

- refused for pace: the pace of everybody is pushed, and the call queues again; no attempt is counted
- transport: full jitter backoff, never below a delay that the provider names, LLM_ATTEMPTS calls in all
- everything else is raised at once

A quota that is gone, a key that is wrong or a model that does not exist stops every later call here without asking
again; a quota also stops the other processes, through the shared pace.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tenacity import AsyncRetrying, RetryCallState

from resources.llm.adapter import Adapter
from resources.llm.breaker import Breaker
from resources.llm.errors import (
    LlmAuthenticationError,
    LlmDeadlineError,
    LlmError,
    LlmQuotaError,
    LlmRateLimitError,
    LlmRequestError,
    LlmUnavailableError,
)
from resources.llm.pacing.bucket import Limits, Slot
from resources.llm.pacing.pacer import Pacer
from resources.llm.protocol import Closing, Completion, CompletionRequest, Deadline, T, Usage

_log = logging.getLogger(__name__)

FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 20.0
PACED_OUT = 50
"""Refusals for pace of one question before it is given up. The deadline ends it sooner as a rule."""
LEAST_CALL = 0.2
"""Seconds below which no call is started: it could only time out."""


class Latencies:
    """How long the last calls took, to know whether another one still fits before the deadline."""

    def __init__(self, keep: int = 50) -> None:
        self._last: deque[float] = deque(maxlen=keep)

    def add(self, seconds: float) -> None:
        self._last.append(seconds)

    @property
    def p95(self) -> float:
        """Seconds; 0 before the first call."""
        ranked = sorted(self._last)
        return ranked[min(len(ranked) - 1, int(len(ranked) * 0.95))] if ranked else 0.0


@dataclass(slots=True)
class _Tries:
    """What one question has been through."""

    attempts: int = 0
    paced_out: int = 0
    usage: Usage = field(default_factory=Usage)


class ManagedProvider(Closing):
    """An adapter with a pace, a retry policy and a breaker. For one event loop."""

    def __init__(
        self,
        adapter: Adapter,
        pacer: Pacer,
        *,
        attempts: int = 3,
        timeout: float = 60.0,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = adapter.name
        self.model = adapter.model
        self._adapter = adapter
        self._pacer = pacer
        self._attempts = attempts
        self._timeout = timeout
        self._breaker = breaker or Breaker(clock=clock)
        self._clock = clock
        self._sleep = sleep
        self._latencies = Latencies()
        self._proved = False
        self._paced_out = False
        """The provider's last word was that calls come too fast: time that is over now was spent on its limit."""
        self._first = asyncio.Lock()
        self._wall: LlmQuotaError | LlmAuthenticationError | LlmRequestError | None = None

    async def complete(self, request: CompletionRequest[T], *, deadline: Deadline) -> Completion[T]:
        """Answer, or raise an `LlmError` with what was spent on it in `usage`."""
        tries = _Tries()
        policy = AsyncRetrying(
            retry=lambda state: self._again(state, tries, deadline),
            wait=lambda state: self._pause(state, tries, request),
            stop=lambda _: False,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return await policy(self._attempt, request, deadline, tries)
        except LlmDeadlineError as error:
            if not self._paced_out:
                error.usage = tries.usage
                raise
            paced_out = self._out_of_pace()
            paced_out.usage = tries.usage
            raise paced_out from error
        except LlmError as error:
            error.usage = tries.usage
            raise

    def _again(self, state: RetryCallState, tries: _Tries, deadline: Deadline) -> bool:
        error = state.outcome.exception() if state.outcome is not None else None
        match error:
            case LlmRateLimitError():
                tries.paced_out += 1
                wait = (error.retry_after or 0.0) + self._latencies.p95
                return tries.paced_out < PACED_OUT and wait < deadline.remaining and not _gave_up(error)
            case LlmUnavailableError() if not _gave_up(error):
                tries.attempts += 1
                wait = (error.retry_after or 0.0) + self._latencies.p95
                return tries.attempts < self._attempts and wait < deadline.remaining
            case _:
                return False

    def _pause(self, state: RetryCallState, tries: _Tries, request: CompletionRequest[T]) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, LlmUnavailableError):
            backoff = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2**tries.attempts)
            pause = (error.retry_after or 0.0) + random.uniform(0, backoff)  # noqa: S311 - jitter, not a secret
            tries.usage += Usage(waited_seconds=pause)
            if request.on_wait is not None:
                request.on_wait(pause)
            return pause
        if request.on_wait is not None and isinstance(error, LlmRateLimitError):
            request.on_wait(error.retry_after or 0.0)
        # Refused for pace: the wait is in the queue for the next slot, where it can be changed by what is learnt.
        return 0.0

    async def _attempt(self, request: CompletionRequest[T], deadline: Deadline, tries: _Tries) -> Completion[T]:
        async with self._proving(deadline):
            self._check_wall()
            asked = self._clock()
            slot = await self._pacer.acquire(request.admission_tokens, deadline, need=self._latencies.p95)
            tries.usage += Usage(waited_seconds=self._clock() - asked)
            self._check_wall()
            if not self._breaker.enter():
                raise self._broken()
            return await self._call(request, slot, deadline, tries)

    async def _call(
        self, request: CompletionRequest[T], slot: Slot, deadline: Deadline, tries: _Tries
    ) -> Completion[T]:
        limits = Limits()

        def heard(said: Limits) -> None:
            nonlocal limits
            limits = said

        remaining = deadline.remaining
        if remaining < LEAST_CALL:
            self._breaker.unknown()
            raise self._out_of_time()
        timeout = min(self._timeout, remaining)
        began = self._clock()
        try:
            # The SDKs' timeouts are for each step of the transport; a server that drips bytes would outlast them.
            async with asyncio.timeout(timeout + 1.0):
                answer = await self._adapter.call(request, within=timeout, heard=heard)
        except LlmError as error:
            tries.usage += replace(error.usage, requests=1, rate_limited=int(isinstance(error, LlmRateLimitError)))
            await self._failed(error, slot, limits)
            if isinstance(error, LlmUnavailableError) and deadline.remaining < LEAST_CALL:
                raise self._out_of_time() from error
            raise
        except TimeoutError:
            tries.usage += Usage(requests=1)
            self._breaker.failed()
            raise LlmUnavailableError(
                f"{self.name} did not finish its answer within {timeout:.0f} s (LLM_REQUEST_TIMEOUT_SECONDS)",
                provider=self.name,
                model=self.model,
            ) from None
        except BaseException:
            self._breaker.unknown()
            raise
        self._proved = True
        self._paced_out = False
        self._breaker.succeeded()
        self._latencies.add(self._clock() - began)
        usage = replace(answer.usage, requests=1)
        await self._pacer.answered(slot, limits, used_tokens=usage.total_tokens)
        return Completion(value=answer.value, provider=self.name, model=self.model, usage=usage + tries.usage)

    async def _failed(self, error: LlmError, slot: Slot, limits: Limits) -> None:
        match error:
            case LlmRateLimitError():
                self._proved = True
                self._paced_out = True
                self._breaker.succeeded()
                await self._pacer.refused(slot, error)
            case LlmQuotaError():
                self._breaker.succeeded()
                self._wall = error
                _log.warning("%s: %s", f"{self.name}-quota-exceeded", error)
                await self._pacer.block(error)
            case LlmAuthenticationError() | LlmRequestError(final=True):
                self._breaker.succeeded()
                self._wall = error
            case LlmUnavailableError():
                self._breaker.failed()
            case _:
                self._proved = True
                self._paced_out = False
                self._breaker.succeeded()
                await self._pacer.answered(slot, limits, used_tokens=error.usage.total_tokens)

    @asynccontextmanager
    async def _proving(self, deadline: Deadline) -> AsyncIterator[None]:
        """Until one call has shown that the key works and what the limits are, calls go one by one.

        A wrong key costs one request this way, not as many as there are workers.
        """
        if self._known():
            yield
            return
        try:
            async with asyncio.timeout(deadline.remaining):
                await self._first.acquire()
        except TimeoutError:
            raise self._out_of_time() from None
        if self._known():
            self._first.release()
            yield
            return
        try:
            yield
        finally:
            self._first.release()

    def _known(self) -> bool:
        return self._proved or self._wall is not None

    def _check_wall(self) -> None:
        wall = self._wall
        if isinstance(wall, LlmQuotaError) and wall.not_before <= datetime.now(UTC):
            self._wall = None
        elif wall is not None:
            again = copy(wall)
            again.usage = Usage()
            raise again

    def _broken(self) -> LlmUnavailableError:
        wait = self._breaker.closed_in
        error = LlmUnavailableError(
            f"{self.name} failed too often; nothing is sent to it for {wait:.0f} s",
            provider=self.name,
            model=self.model,
            retry_after=wait,
        )
        error.final = True
        return error

    def _out_of_time(self) -> LlmDeadlineError:
        return LlmDeadlineError(
            f"the time for this task was over before {self.name} answered (LLM_DEADLINE_SECONDS)",
            provider=self.name,
            model=self.model,
        )

    def _out_of_pace(self) -> LlmRateLimitError:
        return LlmRateLimitError(
            f"{self.name} refused calls for their pace until the time for this task was over (LLM_DEADLINE_SECONDS)",
            provider=self.name,
            model=self.model,
        )

    async def aclose(self) -> None:
        await self._pacer.aclose()
        await self._adapter.aclose()


def _gave_up(error: LlmError) -> bool:
    """Raised by the pace or the breaker rather than by the provider: repeating it here would change nothing."""
    return error.final
