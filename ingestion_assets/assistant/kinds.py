"""The kinds of asynchronous jobs that users may ask for: `ai.*`.

Importing this module is cheap: what a handler needs is imported when it runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ingestion_assets.assistant.model import (
    Answer,
    AskArguments,
    Cards,
    CardsArguments,
    EventTagsOut,
    Quiz,
    QuizArguments,
    SummariseArguments,
    Summary,
    TagArguments,
)
from ingestion_assets.ledger.async_jobs import DEFAULT_TIMEOUT, JobDeferredError, JobFailedError, JobKind

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ingestion_assets.assistant.spending import Transact
    from ingestion_assets.ledger.job_context import JobContext
    from resources.llm.errors import LlmError
    from resources.llm.protocol import Deadline, LlmClient
    from resources.llm.settings import LlmSettings

log = logging.getLogger(__name__)
R = TypeVar("R", bound="BaseModel")

_MARGIN_SECONDS: Final = 15.0
"""Between the last wait for a provider and the deadline of the job: what was answered is still stored."""
_LOOK_EVERY: Final = 0.5
_WORTH_WAITING: Final = timedelta(minutes=10)
"""A quota that is back sooner is waited for; otherwise the user is told, and decides."""


def assistant_kinds() -> Iterable[JobKind]:
    """What `POST /api/ai` offers."""
    return (
        JobKind(
            name="ai.summarise",
            handler=_summarise,
            arguments=SummariseArguments,
            result=Summary,
            description="A text in a few sentences.",
        ),
        JobKind(
            name="ai.flashcards",
            handler=_flashcards,
            arguments=CardsArguments,
            result=Cards,
            description="Flashcards of a text, each with the passage that proves it.",
        ),
        JobKind(
            name="ai.quiz",
            handler=_quiz,
            arguments=QuizArguments,
            result=Quiz,
            description="Multiple-choice questions of a text, each with the passage that proves it.",
        ),
        JobKind(
            name="ai.tag",
            handler=_tag,
            arguments=TagArguments,
            result=EventTagsOut,
            description="Tags of the closed taxonomy for one event.",
        ),
        JobKind(
            name="ai.ask",
            handler=_ask,
            arguments=AskArguments,
            result=Answer,
            description="An answer from the user's own documents, with citations: `POST /api/chat` in the background.",
        ),
    )


def _summarise(job: JobContext) -> Mapping[str, Any]:
    from ingestion_assets.assistant.summaries import summarise

    arguments = SummariseArguments.model_validate(job.arguments)
    return _run(job, lambda client, deadline, _: summarise(arguments, client, deadline))


def _flashcards(job: JobContext) -> Mapping[str, Any]:
    from ingestion_assets.assistant.decks import make_cards

    arguments = CardsArguments.model_validate(job.arguments)
    return _run(job, lambda client, deadline, s: make_cards(arguments, client, deadline, translates=_translates(s)))


def _quiz(job: JobContext) -> Mapping[str, Any]:
    from ingestion_assets.assistant.decks import make_quiz

    arguments = QuizArguments.model_validate(job.arguments)
    return _run(job, lambda client, deadline, s: make_quiz(arguments, client, deadline, translates=_translates(s)))


def _translates(settings: LlmSettings) -> bool:
    return settings.order != ("offline",)


def _tag(job: JobContext) -> Mapping[str, Any]:
    from ingestion_assets.assistant.tags import tag

    arguments = TagArguments.model_validate(job.arguments)
    return _run(job, lambda client, deadline, _: tag(arguments, client, deadline, event_id=str(job.job_id)))


def _ask(job: JobContext) -> Mapping[str, Any]:
    from ingestion_assets.assistant.asking import answer_from, find

    arguments = AskArguments.model_validate(job.arguments)
    transact = _transactions(job)
    user_id = job.user_id or ""

    async def work(client: LlmClient, deadline: Deadline, _: LlmSettings) -> Answer:
        found = await find(transact, user_id, arguments.question, arguments.collections)
        return await answer_from(transact, user_id, arguments.question, found, client, deadline)

    return _run(job, work)


def _transactions(job: JobContext) -> Transact:
    from ingestion_assets.assistant.spending import in_threads

    return in_threads(job.database, "ai job")


def _run(job: JobContext, work: Callable[[LlmClient, Deadline, LlmSettings], Awaitable[R]]) -> Mapping[str, Any]:
    """Do `work` with a client of the job's user. What goes wrong ends the job with a code and a sentence for them."""
    from pydantic import ValidationError

    from ingestion_assets.assistant.spending import metered
    from resources.llm.errors import LlmError
    from resources.llm.protocol import Deadline
    from resources.llm.settings import LlmSettings

    try:
        settings = LlmSettings()
    except ValidationError as error:
        log.error("the settings of the language models cannot be used: %s", [one["msg"] for one in error.errors()])  # noqa: TRY400
        raise JobFailedError(
            "The language model is not set up correctly. Tell the administrator of this service.", code="configuration"
        ) from None

    async def go() -> R:
        deadline = Deadline.after(max(0.0, min(settings.llm_deadline_seconds, job.seconds_left - _MARGIN_SECONDS)))
        client = metered(
            _transactions(job),
            settings,
            database=job.database,
            user_id=job.user_id or "",
            purpose=job.kind,
            reference=f"job {job.job_id}",
        )
        async with client:
            task = asyncio.ensure_future(work(client, deadline, settings))
            while not task.done():
                await asyncio.wait({task}, timeout=_LOOK_EVERY)
                if job.stop_requested.is_set() and not task.done():
                    task.cancel()
                    await asyncio.wait({task})
                    job.check()
            return task.result()

    try:
        return asyncio.run(go()).model_dump(mode="json")
    except LlmError as error:
        raise for_user(error, now=datetime.now(UTC)) from error


def for_user(error: LlmError, *, now: datetime) -> Exception:
    """What the job ends with: the error itself where another attempt may help, otherwise one that its user reads."""
    from resources.llm.errors import (
        LlmAuthenticationError,
        LlmQuotaError,
        LlmRefusalError,
        LlmRequestError,
        QuotaScope,
    )

    match error:
        case LlmQuotaError(scope=QuotaScope.USER_BUDGET):
            return JobFailedError(
                f"Your budget of tokens for today is used up. Ask again after {error.not_before:%Y-%m-%d %H:%M} UTC.",
                code=error.code,
            )
        case LlmQuotaError() if error.not_before - now <= _WORTH_WAITING:
            return JobDeferredError("the provider's quota is back soon", not_before=error.not_before)
        case LlmQuotaError():
            return JobFailedError(
                f"The language model's own quota is used up. Ask again after {error.not_before:%Y-%m-%d %H:%M} UTC.",
                code=f"provider_{error.code}",
            )
        case LlmRefusalError():
            return JobFailedError("The language model declines this text. Change it and ask again.", code=error.code)
        case LlmAuthenticationError() | LlmRequestError():
            log.error("the provider cannot be used: %s", error)
            return JobFailedError(
                "The language model is not set up correctly. Tell the administrator of this service.", code=error.code
            )
        case _:
            return error


assert DEFAULT_TIMEOUT.total_seconds() > 2 * _MARGIN_SECONDS  # noqa: S101 - the margin is a part of it
