"""Tagging many events through an LLM client without losing one.

    async with build_client(LlmSettings()) as client:
        outcome = await tag_events(inputs, client, deadline=Deadline.after(600), on_results=store)

`store` gets every row exactly once: answers and failures the moment they are known, so that a killed process has paid
for nothing twice but what was in flight; pending rows at the end. Equal texts are asked once. Several events share a
prompt; what is missing, repeated or outside the taxonomy is asked again alone, what was cut off is asked in halves.

Belongs here: which question to put next and what to make of the answer. Retries, pacing and providers are the client's.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ingestion_assets.events.tagging.model import EventTags, TagBatch
from ingestion_assets.events.tagging.outcome import MISSING, RowError, RowStatus, TaggingOutcome, TagResult, placed
from ingestion_assets.events.tagging.prompt import answer_tokens, event_block, instructions
from ingestion_assets.events.tagging.rules import RULES_VERSION, answer_by_rules, tag_by_rules
from ingestion_assets.events.tagging.text import TagInput
from resources.llm.errors import (
    ErrorCode,
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
)
from resources.llm.protocol import Completion, CompletionRequest, Deadline, LlmClient

__all__ = ["RowError", "RowStatus", "TagResult", "TaggingOutcome", "tag_events", "tag_request"]

_log = logging.getLogger(__name__)

PURPOSE = "tag_enrichments"
REASKS = 2
"""How often one event may be asked again because of an answer's content."""
OUTAGES = 2
"""How often a question comes back to the queue after the client gave up on the transport."""
OUTAGE_PAUSE = 5.0
"""Seconds. The client has already retried with backoff; this lets a restart of the provider pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    items: tuple[TagInput, ...]
    asked: int = 0
    """Times that these events came back because of an answer's content."""
    outages: int = 0
    room: int = 1
    """Factor on the output ceiling, raised when the answer for a single event was cut off."""


def tag_request(items: Sequence[TagInput], *, user_id: str = "", room: int = 1) -> CompletionRequest[TagBatch]:
    """The question for some events: also what a batch job submits."""
    return CompletionRequest(
        system=instructions(),
        prompt=event_block(items),
        answer=TagBatch,
        max_output_tokens=answer_tokens(len(items)) * room,
        purpose=PURPOSE,
        user_id=user_id,
        offline=lambda: answer_by_rules(items),
    )


async def tag_events(
    inputs: Iterable[TagInput],
    client: LlmClient,
    *,
    deadline: Deadline,
    on_results: Callable[[Sequence[TagResult]], None],
    events_per_prompt: int = 10,
    concurrency: int = 64,
    user_id: str = "",
) -> TaggingOutcome:
    """Tag `inputs`; returns when each of them is done, failed or pending.

    `on_results` is called in a worker thread, one call at a time; what it raises ends the task. Event ids must be
    distinct. Nothing but a defect of the caller or of `on_results` is raised: a wrong key is in `outcome.fatal`.
    """
    task = _Task(client, deadline=deadline, on_results=on_results, user_id=user_id)
    task.load(inputs, events_per_prompt)
    await task.run(concurrency)
    return task.outcome


class _Task:
    """The state of one `tag_events` call: the queue of questions and what has been reported."""

    def __init__(
        self,
        client: LlmClient,
        *,
        deadline: Deadline,
        on_results: Callable[[Sequence[TagResult]], None],
        user_id: str,
    ) -> None:
        self._client = client
        self._deadline = deadline
        self._on_results = on_results
        self._user_id = user_id
        self._twins: dict[str, list[TagInput]] = {}
        self._queue: deque[_Question] = deque()
        self._open = 0
        self._changed = asyncio.Condition()
        self._storing = asyncio.Lock()
        self._unstored: list[TagResult] = []
        self._stop: LlmError | None = None
        self._answered = False
        self._fits = sys.maxsize
        """Events in a prompt, beyond which one was too large for the provider."""
        self.outcome = TaggingOutcome()

    def load(self, inputs: Iterable[TagInput], events_per_prompt: int) -> None:
        ids: set[str] = set()
        for item in inputs:
            if item.event_id in ids:
                raise ValueError(f"event {item.event_id} is given twice")
            ids.add(item.event_id)
            self._twins.setdefault(item.input_hash, []).append(item)
        asked = [twins[0] for twins in self._twins.values()]
        for start in range(0, len(asked), events_per_prompt):
            self._queue.append(_Question(items=tuple(asked[start : start + events_per_prompt])))

    async def run(self, concurrency: int) -> None:
        if not self._queue:
            return
        # The first question goes alone: what is wrong with the call itself shows before the others make it too.
        self._queue.extendleft(reversed(await self._handle(self._queue.popleft())))
        # Answers can split a question in two, so more workers than questions may be useful; never more than events.
        workers = max(1, min(concurrency, len(self._twins)))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work())
        except ExceptionGroup as several:  # unwrapped, so that callers meet the error itself
            raise _first(several) from None

    async def _work(self) -> None:
        while (question := await self._next()) is not None:
            again = await self._handle(question)
            async with self._changed:
                self._open -= 1
                # Re-asked questions go first: they are what the end of the task would otherwise wait for.
                self._queue.extendleft(reversed(again))
                self._changed.notify_all()

    async def _next(self) -> _Question | None:
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._queue) or self._open == 0)
            if not self._queue:
                return None
            self._open += 1
            return self._queue.popleft()

    async def _handle(self, question: _Question) -> list[_Question]:
        """Ask one question; returns what has to be asked again."""
        if self._stop is not None:
            await self._defer(question, self._stop)
            return []
        if self._deadline.remaining <= 0:
            self._stop = LlmDeadlineError("the time for this task was over (LLM_DEADLINE_SECONDS)", provider="")
            await self._defer(question, self._stop)
            return []
        if len(question.items) > self._fits:
            return _halves(question)
        request = tag_request(question.items, user_id=self._user_id, room=question.room)
        self.outcome.prompts += 1
        try:
            completion = await self._client.complete(request, deadline=self._deadline)
        except LlmError as error:
            self._note(error)
            return await self._failed(question, error)
        self._note(completion)
        self._answered = True
        return await self._read(question, completion)

    def _note(self, ended: LlmError | Completion[TagBatch]) -> None:
        self.outcome.spend(ended)
        self.outcome.warnings.update(ended.warnings)

    async def _read(self, question: _Question, completion: Completion[TagBatch]) -> list[_Question]:
        given = {item.event_id: item for item in question.items}
        good, wrong = placed(completion.value, given)
        await self._report(
            done
            for event_id, tags in good.items()
            for done in self._done(given[event_id], tags, completion.provider, completion.model)
        )
        left = [item for item in question.items if item.event_id not in good]
        if not left:
            return []
        if question.asked >= REASKS:
            for item in left:
                await self._fail([item], *wrong.get(item.event_id, MISSING))
            return []
        self.outcome.reasked += len(left)
        return [_Question(items=tuple(left), asked=question.asked + 1, outages=question.outages)]

    async def _failed(self, question: _Question, error: LlmError) -> list[_Question]:
        match error:
            case LlmQuotaError() | LlmRateLimitError() | LlmDeadlineError():
                # Whatever follows would meet the same wall; nothing more is sent.
                self._stop = self._stop or error
            case LlmAuthenticationError():
                self._stop = self.outcome.fatal = error
            case LlmRequestError() if error.final or not (self._answered or error.too_large):
                # Before any answer it is the call that is wrong (model, schema), not an event. A model that is not
                # there is no event's fault at any time.
                self._stop = self.outcome.fatal = error
            case LlmUnavailableError():
                return await self._outage(question, error)
            case LlmResponseError() | LlmRefusalError() | LlmRequestError():
                return await self._unusable(question, error)
        await self._defer(question, error)
        return []

    async def _outage(self, question: _Question, error: LlmUnavailableError) -> list[_Question]:
        pause = max(OUTAGE_PAUSE, error.retry_after or 0.0)
        if question.outages >= OUTAGES or pause >= self._deadline.remaining:
            await self._defer(question, error)
            return []
        await asyncio.sleep(pause)
        return [_Question(items=question.items, asked=question.asked, outages=question.outages + 1, room=question.room)]

    async def _unusable(self, question: _Question, error: LlmError) -> list[_Question]:
        truncated = isinstance(error, LlmResponseError) and error.flaw is Flaw.TRUNCATED
        same_again = isinstance(error, LlmResponseError) and not truncated and question.asked == 0
        if len(question.items) > 1 and not same_again:
            # One text of ten can spoil an answer: halves find it, and the others get theirs.
            self.outcome.reasked += len(question.items)
            if isinstance(error, LlmRequestError) and error.too_large:
                self._fits = min(self._fits, len(question.items) - 1)
            return _halves(question)
        if question.asked >= REASKS or isinstance(error, LlmRequestError):
            await self._fail(question.items, error.code, str(error))
            return []
        self.outcome.reasked += len(question.items)
        room = question.room * 2 if truncated else question.room
        return [_Question(items=question.items, asked=question.asked + 1, room=room)]

    def _done(self, item: TagInput, tags: EventTags, provider: str, model: str) -> Iterable[TagResult]:
        offline = provider == "offline"
        for twin in self._twins[item.input_hash]:
            yield TagResult(
                event_id=twin.event_id,
                input_hash=twin.input_hash,
                status=RowStatus.DONE,
                tags=tags,
                provider=provider,
                model=f"rules-{RULES_VERSION}" if offline else model,
                explanation=tag_by_rules(twin).explanation() if offline else None,
            )

    async def _fail(self, items: Iterable[TagInput], code: str, text: str) -> None:
        await self._report(
            TagResult(
                event_id=twin.event_id,
                input_hash=twin.input_hash,
                status=RowStatus.ERROR,
                error_code=str(code),
                error_text=text,
            )
            for item in items
            for twin in self._twins[item.input_hash]
        )

    async def _defer(self, question: _Question, error: LlmError) -> None:
        code, not_before = deferral(error)
        await self._report(
            TagResult(
                event_id=twin.event_id,
                input_hash=twin.input_hash,
                status=RowStatus.PENDING,
                provider=error.provider,
                model=error.model,
                error_code=code,
                error_text=str(error),
                not_before=not_before,
            )
            for item in question.items
            for twin in self._twins[item.input_hash]
        )

    async def _report(self, results: Iterable[TagResult]) -> None:
        # What comes while another store is at work goes in one: where a transaction takes long, answers that are paid
        # for would stand in a queue that a killed process forgets.
        rows = self._unstored
        rows += results
        if not rows:
            return
        async with self._storing:
            if rows is not self._unstored:  # stored, with what came first
                return
            self._unstored = []
            await asyncio.to_thread(self._on_results, rows)
            for row in rows:
                self.outcome.count(row)


def deferral(error: LlmError) -> tuple[str, datetime | None]:
    """Under which code a row waits, and until when; None: waiting helps nothing, somebody has to change a setting."""
    now = datetime.now(UTC)
    match error:
        case LlmQuotaError():
            return ErrorCode.QUOTA_EXCEEDED, error.not_before
        case LlmRateLimitError():
            # A limit by the minute that outlasted the task: for the row it is a quota like another.
            return ErrorCode.QUOTA_EXCEEDED, now + timedelta(seconds=error.retry_after or 60.0)
        case LlmUnavailableError():
            return ErrorCode.UNAVAILABLE, now + timedelta(seconds=error.retry_after or 60.0)
        case LlmAuthenticationError() | LlmRequestError():
            return error.code, None
        case _:
            return error.code, now


def _halves(question: _Question) -> list[_Question]:
    middle = len(question.items) // 2
    return [_Question(items=question.items[:middle]), _Question(items=question.items[middle:])]


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group, which may hold groups."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
