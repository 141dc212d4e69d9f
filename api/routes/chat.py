"""`POST /api/chat`: an answer from the caller's own documents, with citations, as it comes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import psycopg
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from psycopg import Connection
from pydantic import ConfigDict, Field

from api.auth import User
from api.budget import llm_settings, refuse_without_budget
from api.documentation import event_stream, problems
from api.models import Strict, Text
from api.problems import Problem, as_problem, not_found, unavailable
from api.quota_answers import taken
from api.sse import KEEP_ALIVE, EventStream, Message
from api.state import Service, service
from api.tasks import end
from ingestion_assets.assistant import retrieval
from ingestion_assets.assistant.asking import Found, answer_from, find
from ingestion_assets.assistant.kinds import for_user
from ingestion_assets.assistant.model import Answer, CollectionId
from ingestion_assets.assistant.spending import metered
from ingestion_assets.ledger.async_jobs import JobDeferredError, JobFailedError
from ingestion_assets.ledger.quotas import Quota
from ingestion_assets.ledger.tokens import Principal
from resources.errors import PermanentError, TransientError
from resources.llm.errors import LlmError, LlmQuotaError, LlmRefusalError, QuotaScope
from resources.llm.protocol import Deadline
from resources.llm.settings import LlmSettings
from resources.redaction import redact

T = TypeVar("T")

router = APIRouter(tags=["chat"], prefix="/api")

PURPOSE: Final = "chat"
_LONGEST_SECONDS: Final = 120.0
"""Somebody is waiting: what takes longer belongs to `POST /api/ai`."""
_TOKENS: Final = 6000
"""Of twelve passages and an answer, as an estimate for the budget."""
_GONE: Final = 499
"""Status of an answer that nobody waits for any more, as nginx writes it into its log."""
_PIECE: Final = re.compile(r".+?(?:[.!?…]\s+|\Z)", re.DOTALL)


class ChatRequest(Strict):
    """A question about one's own documents."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"question": "What is osmosis?"}]})

    question: Text = Field(min_length=1, max_length=1000)
    collections: list[CollectionId] = Field(
        default_factory=list, max_length=20, description="Only in these collections; left out: in all of yours."
    )
    stream: bool = Field(default=True, description="false: one JSON object when the answer is there.")


class ChatOut(Answer):
    """The answer in one piece."""

    quota: dict[str, Any]


@router.post(
    "/chat",
    response_model=ChatOut,
    responses={
        200: {
            "description": "Server-sent events `chat:found`, `chat:text` (repeated; together they are the answer),"
            " `chat:citation` (repeated), and one last event, `chat:done` or `chat:error`. Or one JSON object.",
            "content": event_stream("chat:found", "chat:text", "chat:citation", "chat:done", "chat:error"),
        },
        **problems(401, 404, 413, 415),
    },
    summary="Ask your own documents",
)
async def post_chat(request: Request, user: User, body: ChatRequest) -> Response:
    """Only documents of the caller's are read, and only passages that fit the question are shown to a model.

    Every quote has been found in the document's text when it is sent. When the documents do not answer the question, the
    answer says so, `found` is false and there are no citations.
    """
    state = service(request)
    settings = llm_settings()

    def accept(connection: Connection[Any]) -> dict[str, Any]:
        if not retrieval.owned(connection, user.user_id, body.collections):
            raise not_found()
        refuse_without_budget(connection, user, settings, tokens=_TOKENS)
        return taken(connection, user, Quota.AI_REQUESTS, 1, state.settings.ai_requests_per_day)

    with ExitStack() as place:
        place.enter_context(state.hub.stream(user.user_id))
        quota = await state.database.run(accept)
        if body.stream:
            return EventStream(_events(state, user, settings, body, quota), place=place.pop_all())
        answer = await _unless_gone(request, _whole(state, user, settings, body))
        if answer is None:
            return Response(status_code=_GONE)
        return JSONResponse({**answer.model_dump(mode="json"), "quota": quota})


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` returns. It is ended when the client goes, because nobody reads what would be paid for: None."""
    task = asyncio.create_task(work, name="chat")

    async def leaves() -> None:
        await request.receive()  # the body has been read: nothing else comes

    gone = asyncio.create_task(leaves(), name="client")
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        await end(task)
        await end(gone)


async def _whole(state: Service, user: Principal, settings: LlmSettings, body: ChatRequest) -> Answer:
    found = await find(state.database.run, user.user_id, body.question, body.collections)
    try:
        return await _answer(state, user, settings, body.question, found)
    except LlmError as error:
        raise problem_of(error) from error


async def _answer(state: Service, user: Principal, settings: LlmSettings, question: str, found: Found) -> Answer:
    client = metered(
        state.database.run,
        settings,
        database=state.database.paces(),
        user_id=user.user_id,
        purpose=PURPOSE,
        reference="",
    )
    async with client:
        deadline = Deadline.after(min(settings.llm_deadline_seconds, _LONGEST_SECONDS))
        return await answer_from(state.database.run, user.user_id, question, found, client, deadline)


async def _events(
    state: Service, user: Principal, settings: LlmSettings, body: ChatRequest, quota: dict[str, Any]
) -> AsyncIterator[bytes]:
    try:
        found = await find(state.database.run, user.user_id, body.question, body.collections)
        told = {"passages": len(found.passages), "documents": found.documents, "complete": found.complete}
        yield Message("chat:found", told).encode()
        task = asyncio.create_task(_answer(state, user, settings, body.question, found), name="chat")
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=state.settings.keep_alive_seconds)
                if not task.done():
                    yield KEEP_ALIVE
            answer = task.result()
        finally:
            task.cancel()  # the client has gone: nobody reads what would be paid for
    except LlmError as error:
        yield _failed(problem_of(error))
        return
    except (Problem, psycopg.Error, TransientError, PermanentError) as error:
        yield _failed(as_problem(error))
        return
    for piece in _PIECE.findall(answer.answer):
        yield Message("chat:text", {"text": piece}).encode()
    for citation in answer.citations:
        yield Message("chat:citation", citation.model_dump(mode="json")).encode()
    rest = answer.model_dump(mode="json", exclude={"answer", "citations"})
    yield Message("chat:done", {**rest, "citations": len(answer.citations), "quota": quota}).encode()


def _failed(problem: Problem) -> bytes:
    return Message("chat:error", problem.content()).encode()


def problem_of(error: LlmError) -> Problem:
    """What a client is told when no model answered."""
    if isinstance(error, LlmQuotaError) and error.scope is not QuotaScope.USER_BUDGET:
        wait = max(1.0, (error.not_before - datetime.now(UTC)).total_seconds())
        return Problem(
            503,
            "The language model's own quota is used up.",
            headers={"Retry-After": str(round(wait))},
            quota_scope="provider",
            resets_at=error.not_before.isoformat(),
            code=str(error.code),
        )
    if isinstance(error, LlmQuotaError):
        return Problem(
            429,
            "Your budget of tokens for today is used up.",
            name="quota-exceeded",
            headers={"Retry-After": str(max(1, round((error.not_before - datetime.now(UTC)).total_seconds())))},
            quota="tokens_per_day",
            quota_scope="user",
            resets_at=error.not_before.isoformat(),
        )
    if isinstance(error, LlmRefusalError):
        return Problem(422, "The language model declines this question. Put it differently.", code=str(error.code))
    end = for_user(error, now=datetime.now(UTC))
    if isinstance(end, JobFailedError | JobDeferredError):
        return Problem(503, str(end), headers={"Retry-After": "60"}, code=str(error.code))
    problem = unavailable(redact(str(error)), seconds=getattr(error, "retry_after", None) or 5)
    problem.members["code"] = str(error.code)
    return problem
