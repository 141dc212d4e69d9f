"""Handing out slots: callers queue, slots are taken from the store in small groups and given out one at a time.

A slot that was promised at an old rate must not be waited for when the rate has changed, so a group is small (a quarter
of a second) and is dropped as soon as an answer or a refusal says something new; whoever was waiting is queued again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field

from resources.llm.errors import LlmDeadlineError, LlmQuotaError, LlmRateLimitError, QuotaScope
from resources.llm.pacing import bucket as arithmetic
from resources.llm.pacing.bucket import Limits, Pace, Slot
from resources.llm.pacing.store import Applied, PaceKey, PaceStore, moment
from resources.llm.protocol import Deadline

GROUP_SECONDS = 0.25
LARGEST_GROUP = 100
OBSERVE_EVERY = 0.25
"""Seconds between two writes of what headers said, unless they said something new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPace:
    """What is assumed of an account that was never used: limits from settings, or a careful rate."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    start_per_second: float = arithmetic.START_RATE

    def fresh(self, now: float) -> Pace:
        """The pace of an account that was never used."""
        return arithmetic.fresh(
            now,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            start=self.start_per_second,
        )

    def over(self, pace: Pace, now: float) -> Pace:
        """These limits over what is stored: the settings may have changed since the row was made."""
        return arithmetic.configured(
            pace,
            now,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            start=self.start_per_second,
        )


@dataclass(eq=False, slots=True)
class _Waiter:
    tokens: float
    latest: float
    """Monotonic time after which a slot is of no use."""
    slot: asyncio.Future[Slot] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Pacer:
    """The pace of one account with one model, for all callers of one event loop."""

    def __init__(
        self,
        key: PaceKey,
        store: PaceStore,
        start: StartPace,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key = key
        self._store = store
        self._start = start
        self._clock = clock
        self._queue: deque[_Waiter] = deque()
        self._dispatcher: asyncio.Task[None] | None = None
        self._renew = asyncio.Event()
        self._pace: Pace | None = None
        self._ahead = 0.0
        self._observed_at = float("-inf")
        self._correction = 0.0
        self._pushed_until = 0.0
        self._unused: list[Slot] = []

    async def acquire(self, tokens: float, deadline: Deadline, *, need: float = 0.0) -> Slot:
        """Wait for leave to send one call of `tokens`. `need` is how long the call itself is likely to take.

        Raises `LlmQuotaError` when the account is blocked, `LlmRateLimitError` when a provider's delay does not fit
        into the deadline, `LlmDeadlineError` when the queue does not.
        """
        latest = self._clock() + deadline.remaining - need
        waiter = _Waiter(tokens, latest)
        self._queue.append(waiter)
        if self._dispatcher is None or self._dispatcher.done():
            self._dispatcher = asyncio.create_task(self._dispatch())
        try:
            async with asyncio.timeout(max(0.0, latest - self._clock())):
                return await waiter.slot
        except TimeoutError:
            raise self._too_late() from None

    def _too_late(self) -> LlmRateLimitError | LlmDeadlineError:
        key = self._key
        wait = self._pushed_until - (self._clock() + self._ahead)
        error: LlmRateLimitError | LlmDeadlineError
        if wait > 0:
            error = LlmRateLimitError(
                f"{key.provider} asks to wait {wait:.0f} s more, which is longer than this task may take "
                "(LLM_DEADLINE_SECONDS)",
                provider=key.provider,
                model=key.model,
                retry_after=wait,
            )
        else:
            error = LlmDeadlineError(
                f"the pace that {key.provider} allows leaves no slot in the time of this task (LLM_DEADLINE_SECONDS)",
                provider=key.provider,
                model=key.model,
            )
        error.final = True
        return error

    async def _dispatch(self) -> None:
        try:
            while self._queue:
                await self._hand_out()
        except Exception as error:  # noqa: BLE001 - whoever waits for a slot has to hear of it
            self._fail_all(error)

    async def _hand_out(self) -> None:
        group = self._next_group()
        if not group:
            return
        self._renew.clear()
        try:
            slots, applied = await self._take([waiter.tokens for waiter in group])
        except BaseException:
            self._queue.extendleft(reversed(group))
            raise
        if not slots:
            self._queue.extendleft(reversed(group))
            self._fail_all(self._quota_error(applied))
            return
        for place, (waiter, slot) in enumerate(zip(group, slots, strict=True)):
            if slot.due - self._ahead > waiter.latest:
                self._unused.append(slot)
                if not waiter.slot.done():
                    waiter.slot.set_exception(self._too_late())
            elif not await self._until(slot.due - self._ahead):
                self._queue.extendleft(reversed(group[place:]))
                self._unused += slots[place:]
                return
            elif waiter.slot.done():
                self._unused.append(slot)
            else:
                waiter.slot.set_result(slot)

    async def _take(self, costs: list[float]) -> tuple[list[Slot], Applied]:
        """A slot for each cost, or none at all where the account is blocked."""
        slots: list[Slot] = []
        unused, self._unused = self._unused, []

        def take(pace: Pace, now: float) -> Pace:
            # May run again after a lost race: only the last result counts.
            slots.clear()
            if pace.blocked(now):
                return pace
            changed, taken = arithmetic.reserve(arithmetic.give_back(pace, unused), now, costs)
            slots.extend(taken)
            return changed

        return slots, await self._apply(take)

    def _next_group(self) -> list[_Waiter]:
        rate = self._pace.requests.rate if self._pace is not None else None
        known = self._pace is not None and self._pace.requests.learned != "start"
        size = min(LARGEST_GROUP, max(1, int((rate or 0.0) * GROUP_SECONDS))) if known else 1
        group: list[_Waiter] = []
        now = self._clock()
        while self._queue and len(group) < size:
            waiter = self._queue.popleft()
            # Whoever gave up is forgotten before a slot is spent on it.
            if not waiter.slot.done() and waiter.latest > now:
                group.append(waiter)
        return group

    async def _until(self, moment: float) -> bool:
        """Wait until a monotonic time. False when the slots in hand were made worthless before."""
        wait = moment - self._clock()
        if wait <= 0:
            return not self._renew.is_set()
        try:
            async with asyncio.timeout(wait):
                await self._renew.wait()
        except TimeoutError:
            return True
        return False

    async def _apply(self, change: Callable[[Pace, float], Pace]) -> Applied:
        if self._pace is None:
            first, start = change, self._start

            def change(pace: Pace, now: float) -> Pace:
                return first(start.over(pace, now), now)

        applied = await self._store.apply(self._key, change, fresh=self._start.fresh)
        self._pace, self._ahead = applied.pace, applied.ahead
        return applied

    async def answered(self, slot: Slot, limits: Limits, *, used_tokens: int) -> None:
        """Learn from an answer. Writes at most a few times a second unless the limits are news."""
        self._correction += used_tokens - slot.tokens if used_tokens else 0.0
        now = self._clock()
        if now - self._observed_at < OBSERVE_EVERY and not self._news(limits):
            return
        self._observed_at = now
        correction, self._correction = self._correction, 0.0
        before = self._pace
        applied = await self._apply(lambda pace, at: arithmetic.observe(pace, at, limits, slot, correction=correction))
        if before is None or _waits_shrank(before, applied.pace):
            self._renew.set()

    def _news(self, limits: Limits) -> bool:
        if self._pace is None:
            return True
        return any(
            limit is not None
            and limit.window == 60.0
            and (bucket.learned != "header" or bucket.rate != limit.limit / 60.0 * arithmetic.SAFETY)
            for bucket, limit in ((self._pace.requests, limits.requests), (self._pace.tokens, limits.tokens))
        )

    async def refused(self, slot: Slot, error: LlmRateLimitError) -> None:
        """Slow everybody down, as long as the provider says. Slots in hand are dropped."""
        applied = await self._apply(
            lambda pace, now: arithmetic.refuse(
                pace,
                now,
                retry_after=error.retry_after,
                dimension="tokens" if error.dimension == "tokens" else "requests",
                limit_per_minute=error.limit_per_minute,
                ramping=error.ramping,
                granted_at=slot.due,
            )
        )
        # Giving slots back would undo part of the wait.
        self._unused.clear()
        if error.retry_after:
            self._pushed_until = max(self._pushed_until, applied.now + error.retry_after)
        self._renew.set()

    async def block(self, error: LlmQuotaError) -> None:
        """Stop every process until the quota is back, and everybody here who waits for a slot."""
        applied = await self._apply(lambda pace, _: arithmetic.blocked(pace, error.not_before, error.scope, str(error)))
        self._renew.set()
        self._fail_all(self._quota_error(applied))

    def _quota_error(self, applied: Applied) -> LlmQuotaError:
        block = applied.pace.block
        assert block is not None  # noqa: S101 - callers have seen it
        return LlmQuotaError(
            block.reason,
            provider=self._key.provider,
            model=self._key.model,
            scope=QuotaScope(block.scope),
            not_before=moment(block.until),
            retry_after=max(0.0, block.until - applied.now),
        )

    def _fail_all(self, error: Exception) -> None:
        waiters, self._queue = self._queue, deque()
        for waiter in waiters:
            if not waiter.slot.done():
                # An object each: callers add their usage and warnings to it.
                waiter.slot.set_exception(copy(error))

    async def aclose(self) -> None:
        """Stop handing out slots."""
        if self._dispatcher is not None and not self._dispatcher.done():
            self._dispatcher.cancel()
            await asyncio.gather(self._dispatcher, return_exceptions=True)


def _waits_shrank(before: Pace, after: Pace) -> bool:
    """Whether slots handed out now would come sooner than those in hand."""
    return any(
        new.rate is not None and (old.rate is None or new.rate > old.rate * 1.05 or new.ceiling > old.ceiling * 1.05)
        for old, new in ((before.requests, after.requests), (before.tokens, after.tokens))
    )
