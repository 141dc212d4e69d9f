"""Asking about many chunks without losing one.

Every chunk ends as done, failed or skipped. One bad answer costs its chunk at most: it is asked again once, an answer that
was cut off is asked in halves. When a quota or the time is used up, what is left is skipped and says so. Each answer is
reported the moment it is there, so that a killed process has paid for nothing twice but what was in flight.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ingestion_assets.study.drafts import ChunkAnswer, nothing
from ingestion_assets.study.generation.prompt import INSTRUCTIONS, answer_tokens, input_hash, order_text
from ingestion_assets.study.model import Chunk, ChunkStatus, Difficulty, DocumentCode
from ingestion_assets.study.results import Answered, ChunkResult
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
from resources.llm.protocol import Completion, CompletionRequest, Deadline, LlmClient, Spent, Usage

PURPOSE = "study"
OUTAGES = 1
"""How often a question comes back after the client gave up on the transport, which it has retried itself."""
OUTAGE_PAUSE = 2.0
WAITS_APART = 10.0
"""Seconds between two reports of a wait: many questions meet the same outage, and one report says it."""
MINUTE = 60.0
"""Seconds after which a limit by the minute is tried again, where none are named."""
REFUSED = "provider_refused"
TRANSLATION = "offline_cannot_translate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One question about a chunk or a half of it."""

    chunk: Chunk
    text: str
    language: str
    cards: int
    questions: int
    difficulty: Difficulty | None = None
    round: int = 0
    feedback: str = ""
    offline: Callable[[], ChunkAnswer] | None = None
    half: bool = False
    asked: int = 0
    outages: int = 0

    @property
    def prompt(self) -> str:
        return order_text(
            self.text,
            language=self.language,
            cards=self.cards,
            questions=self.questions,
            difficulty=self.difficulty,
            feedback=self.feedback,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An answer as it is reported and kept."""

    input_hash: str
    chunk: Chunk
    answered: Answered
    usage: Usage
    spent: Spent
    """`usage` by who took it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaStop:
    """Whose quota ended the asking, and when it makes sense to go on."""

    scope: QuotaScope
    not_before: datetime
    """Aware."""
    message: str
    """For people."""

    @classmethod
    def of(cls, error: LlmError) -> QuotaStop | None:
        """None when it was no quota."""
        match error:
            case LlmQuotaError():
                return cls(scope=error.scope, not_before=error.not_before, message=str(error))
            case LlmRateLimitError():
                wait = timedelta(seconds=max(error.retry_after or 0.0, MINUTE))
                return cls(scope=QuotaScope.PROVIDER_MINUTE, not_before=datetime.now(UTC) + wait, message=str(error))
            case _:
                return None

    def report(self) -> dict[str, Any]:
        """As JSON. `quota_scope` says who can do something about it: the user's budget or the provider's quota."""
        return {
            "code": "quota_exceeded",
            "quota_scope": "user" if self.scope is QuotaScope.USER_BUDGET else "provider",
            "quota": str(self.scope),
            "not_before": self.not_before.isoformat(),
            "message": self.message,
        }


@dataclass(slots=True)
class Outcome:
    """What asking came to, beside the results."""

    usage: dict[tuple[str, str], Usage] = field(default_factory=lambda: defaultdict(Usage))
    """By provider and model."""
    warnings: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    stop: LlmError | None = None
    """Why nothing more was asked."""
    fatal: LlmError | None = None
    asked: int = 0
    reused: int = 0

    def spend(self, spent: Spent) -> None:
        """Add what a call cost."""
        for name, usage in spent.items():
            if usage != Usage():
                self.usage[name] += usage

    @property
    def quota(self) -> QuotaStop | None:
        """The quota that stopped it, if one did."""
        return None if self.stop is None else QuotaStop.of(self.stop)

    @property
    def quota_exceeded(self) -> bool:
        return self.quota is not None

    @property
    def total(self) -> Usage:
        return sum(self.usage.values(), Usage())


@dataclass(slots=True)
class _State:
    open: int = 0
    answers: list[Answered] = field(default_factory=list)
    code: str | None = None
    detail: str = ""
    skipped: bool = False


class _Shift:
    """A queue that is empty for good only when nobody works any more: work may come back."""

    def __init__(self, queue: deque[Order]) -> None:
        self._queue = queue
        self._working = 0
        self._changed = asyncio.Condition()

    async def next(self) -> Order | None:
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._queue) or self._working == 0)
            if not self._queue:
                return None
            self._working += 1
            return self._queue.popleft()

    async def done(self, again: Sequence[Order]) -> None:
        async with self._changed:
            self._working -= 1
            self._queue.extendleft(reversed(again))
            self._changed.notify_all()


class Engine:
    """Asks orders through one client until its deadline. Rounds may follow one another."""

    def __init__(
        self,
        client: LlmClient,
        *,
        deadline: Deadline,
        known: Mapping[str, Answered] | None = None,
        on_answer: Callable[[Kept], None] | None = None,
        on_wait: Callable[[float], None] | None = None,
        concurrency: int = 16,
        user_id: str = "",
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        """`known` are answers paid for earlier, by `input_hash`; `on_answer` is called in a worker thread, one at a time.

        So is `on_wait`, with the seconds after which a provider that could not answer is asked again.
        """
        self._client = client
        self._deadline = deadline
        self._known = dict(known or {})
        self._on_answer = on_answer
        self._on_wait = on_wait
        self._wait_told = -WAITS_APART
        self._group: asyncio.TaskGroup | None = None
        self._concurrency = concurrency
        self._user_id = user_id
        self._alive = alive
        self._storing = asyncio.Lock()
        self._answered = False
        self._states: dict[tuple[str, int], _State] = {}
        self._chunks: dict[tuple[str, int], Chunk] = {}
        self.outcome = Outcome()

    async def ask(self, orders: Sequence[Order]) -> None:
        """Ask all `orders`, in their order. What `on_answer` raises ends it."""
        queue = deque(orders)
        for order in orders:
            self._chunks[order.chunk.key] = order.chunk
            self._state(order).open += 1
        shift = _Shift(queue)

        async def work() -> None:
            while (order := await shift.next()) is not None:
                await shift.done(await self._handle(order))

        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for _ in range(max(1, min(self._concurrency, len(orders)))):
                    group.create_task(work())
        except ExceptionGroup as several:  # unwrapped, so that callers meet the error itself
            raise _first(several) from None

    def results(self) -> list[ChunkResult]:
        """The end of every chunk that was asked about."""
        return [self._result(key, state) for key, state in self._states.items()]

    def _result(self, key: tuple[str, int], state: _State) -> ChunkResult:
        status = ChunkStatus.DONE
        if state.code is not None:
            # Half an answer is a failure of its chunk; what the other half gave is kept all the same.
            status = ChunkStatus.SKIPPED if state.skipped and not state.answers else ChunkStatus.FAILED
        done = status is ChunkStatus.DONE
        return ChunkResult(
            chunk=self._chunks[key],
            status=status,
            code=None if done else state.code,
            detail="" if done else state.detail,
            answers=tuple(state.answers),
        )

    def _state(self, order: Order) -> _State:
        return self._states.setdefault(order.chunk.key, _State())

    async def _handle(self, order: Order) -> list[Order]:
        prompt = order.prompt
        key = input_hash(prompt)
        known = self._known.get(key)
        if known is not None:
            self.outcome.reused += 1
            self._take(order, known)
            return []
        if self.outcome.stop is None and self._deadline.remaining <= 0:
            self.outcome.stop = LlmDeadlineError("the time for this batch was over (LLM_DEADLINE_SECONDS)", provider="")
        if self.outcome.stop is not None or not self._alive():
            self._skip(order, self.outcome.stop)
            return []
        request = CompletionRequest(
            system=INSTRUCTIONS,
            prompt=prompt,
            answer=ChunkAnswer,
            max_output_tokens=answer_tokens(order.cards, order.questions),
            purpose=PURPOSE,
            user_id=self._user_id,
            offline=order.offline,
            on_wait=self._waits,
        )
        self.outcome.asked += 1
        try:
            completion = await self._client.complete(request, deadline=self._deadline)
        except LlmError as error:
            self.outcome.spend(error.spent)
            self.outcome.warnings.update(error.warnings)
            self.outcome.errors[str(error.code)] += 1
            return await self._failed(order, error)
        self._answered = True
        self.outcome.spend(completion.spent)
        self.outcome.warnings.update(completion.warnings)
        await self._keep(order, key, completion)
        return []

    async def _keep(self, order: Order, key: str, completion: Completion[ChunkAnswer]) -> None:
        answered = Answered(
            answer=completion.value,
            provider=completion.provider,
            model=completion.model,
            round=order.round,
            input_hash=key,
        )
        if self._on_answer is not None:
            kept = Kept(
                input_hash=key,
                chunk=order.chunk,
                answered=answered,
                usage=completion.usage,
                spent=completion.spent,
            )
            async with self._storing:
                await asyncio.to_thread(self._on_answer, kept)
        self._known[key] = answered
        self._take(order, answered)

    def _waits(self, seconds: float) -> None:
        now = time.monotonic()
        if self._on_wait is not None and self._group is not None and now - self._wait_told >= WAITS_APART:
            self._wait_told = now
            self._group.create_task(self._tell_wait(self._on_wait, seconds))

    async def _tell_wait(self, on_wait: Callable[[float], None], seconds: float) -> None:
        async with self._storing:
            await asyncio.to_thread(on_wait, seconds)

    def _take(self, order: Order, answered: Answered) -> None:
        state = self._state(order)
        state.open -= 1
        state.answers.append(replace(answered, round=order.round))

    def _end(self, order: Order, code: str, detail: str, *, skipped: bool = False) -> None:
        state = self._state(order)
        state.open -= 1
        if order.round > 0 and state.answers:
            # The second round is an extra; the chunk was answered.
            self.outcome.errors[f"second round: {code}"] += 1
            return
        state.code = state.code or code
        state.detail = state.detail or detail
        state.skipped = skipped

    def _skip(self, order: Order, error: LlmError | None) -> None:
        match error:
            case LlmQuotaError() if error.scope is QuotaScope.USER_BUDGET:
                code = DocumentCode.BUDGET_EXHAUSTED
            case LlmQuotaError() | LlmRateLimitError():
                code = DocumentCode.PROVIDER_QUOTA
            case LlmDeadlineError():
                code = DocumentCode.ANALYSIS_TIMEOUT
            case None:
                code = DocumentCode.ANALYSIS_TIMEOUT
            case _:
                code = DocumentCode.PROVIDER_ERROR
        self._end(order, code, str(error or "stopped"), skipped=True)

    async def _failed(self, order: Order, error: LlmError) -> list[Order]:
        match error:
            case LlmQuotaError() | LlmRateLimitError() | LlmDeadlineError():
                # Whatever follows would meet the same wall; nothing more is sent.
                self.outcome.stop = self.outcome.stop or error
                self._skip(order, error)
            case LlmAuthenticationError():
                self.outcome.stop = self.outcome.fatal = error
                self._skip(order, error)
            case LlmRequestError() if not (self._answered or error.too_large):
                # Before any answer it is the call that is wrong (model, schema), not a chunk.
                self.outcome.stop = self.outcome.fatal = error
                self._skip(order, error)
            case LlmUnavailableError():
                pause = max(OUTAGE_PAUSE, error.retry_after or 0.0)
                if order.outages < OUTAGES and pause < self._deadline.remaining:
                    self._waits(pause)
                    await asyncio.sleep(pause)
                    return [replace(order, outages=order.outages + 1)]
                self._end(order, DocumentCode.PROVIDER_ERROR, str(error))
            case LlmResponseError() if error.flaw is Flaw.TRUNCATED:
                return self._in_halves(order, DocumentCode.CHUNK_TRUNCATED, error)
            case LlmRequestError() if error.too_large:
                return self._in_halves(order, DocumentCode.PROVIDER_ERROR, error)
            case LlmResponseError() if order.asked == 0:
                return [replace(order, asked=1)]
            case LlmRefusalError():
                self._end(order, REFUSED, str(error))
            case _:
                self._end(order, DocumentCode.INVALID_OUTPUT, str(error))
        return []

    def _in_halves(self, order: Order, code: str, error: LlmError) -> list[Order]:
        """Ask half as much at a time, once; what is too much even so has failed, by `code`."""
        if not order.half and len(order.text) > 200:
            self._state(order).open += 1
            return _halves(order)
        self._end(order, code, str(error))
        return []


def _halves(order: Order) -> list[Order]:
    """Two questions about half the text each. A quote is looked for in the whole chunk, wherever the cut is."""
    middle = len(order.text) // 2
    ends = [at for mark in ("\n", ". ") if (at := order.text.rfind(mark, 0, middle)) > middle // 2]
    cut = max(ends, default=middle - 1) + 1
    cards, questions = -(-order.cards // 2), -(-order.questions // 2)
    first = replace(order, text=order.text[:cut].strip(), cards=cards, questions=questions, half=True)
    # The offline answer is for a whole chunk: one half carries it, the other one's is empty.
    return [first, replace(first, text=order.text[cut:].strip(), offline=nothing if order.offline else None)]


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
