"""`/api/ai` and `/api/jobs`: work of language models in the background."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from psycopg import Connection
from pydantic import ValidationError

from api.auth import User
from api.budget import llm_settings, refuse_without_budget
from api.documentation import USER_KINDS, problems
from api.idempotency import Answer, IdempotencyKey, fingerprint, once
from api.models import AiRequest, JobOut
from api.problems import Problem, invalid, not_found, unavailable
from api.quota_answers import taken
from api.state import service
from ingestion_assets.assistant import retrieval
from ingestion_assets.ledger import async_jobs
from ingestion_assets.ledger.async_jobs import JobKind, JobView
from ingestion_assets.ledger.quotas import Quota
from resources.llm.protocol import CHARS_PER_TOKEN

router = APIRouter(tags=["jobs"], prefix="/api")

_RETRY_AFTER = {"Retry-After": "2"}
_TOKENS = 1500
"""Of instructions, schema and an answer, as an estimate for the budget; the text is counted by its length."""


@router.post(
    "/ai",
    status_code=202,
    response_model=JobOut,
    responses=problems(401, 404, 409, 413, 415),
    summary="Ask for work of a language model",
)
async def post_ai(request: Request, user: User, body: AiRequest, key: IdempotencyKey = None) -> Response:
    """Answers at once with a job; what came of it is at `Location`."""
    state = service(request)
    kind = state.kinds.get(body.kind) if body.kind.startswith(USER_KINDS) else None
    if kind is None:
        offered = sorted(name for name in state.kinds if name.startswith(USER_KINDS))
        raise Problem(422, f"No kind is called so. There are: {', '.join(offered) or 'none'}.", kinds=offered)

    arguments = checked(kind, body.arguments)
    settings = llm_settings()
    tokens = _TOKENS + len(orjson.dumps(arguments)) // CHARS_PER_TOKEN

    def accept(connection: Connection[Any]) -> Answer:
        refuse_when_full(connection, state.settings.pending_jobs)
        if not retrieval.owned(connection, user.user_id, arguments.get("collections") or []):
            raise not_found()
        refuse_without_budget(connection, user, settings, tokens=tokens)
        quota = taken(connection, user, Quota.AI_REQUESTS, 1, state.settings.ai_requests_per_day)
        asked = async_jobs.enqueue(connection, kind, arguments, user_id=user.user_id)
        job = async_jobs.read_job(connection, asked.job_id)
        assert job is not None  # noqa: S101 - it was written in this transaction
        content = {**job_json(job), "quota": quota}
        return Answer(202, content, {"Location": f"/api/jobs/{job.id}", **_RETRY_AFTER})

    print_ = fingerprint("POST /api/ai", orjson.dumps(body.model_dump(), option=orjson.OPT_SORT_KEYS))
    return await once(state.database, user, key, print_, accept)


@router.get("/jobs", responses=problems(401), summary="Your jobs, newest first")
async def list_jobs(
    request: Request,
    user: User,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    before: Annotated[UUID | None, Query(description="Go on after this job.")] = None,
) -> dict[str, list[JobOut]]:
    """Without their results; those are at each job's own address."""

    def read(connection: Connection[Any]) -> list[JobView]:
        ids = connection.execute(
            "SELECT id FROM async_jobs WHERE user_id = %(user)s AND (%(before)s::uuid IS NULL OR (created_at, id) <"
            " (SELECT created_at, id FROM async_jobs WHERE id = %(before)s AND user_id = %(user)s))"
            " ORDER BY created_at DESC, id DESC LIMIT %(limit)s",
            {"user": user.user_id, "before": before, "limit": limit},
        ).fetchall()
        jobs = (async_jobs.read_job(connection, row[0], user_id=user.user_id) for row in ids)
        return [job for job in jobs if job is not None]

    found = await service(request).database.run(read)
    return {"jobs": [JobOut.model_validate({**job_json(job), "result": None}) for job in found]}


@router.get("/jobs/{job_id}", response_model=JobOut, responses=problems(401, 404))
async def get_job(request: Request, user: User, job_id: UUID) -> Response:
    """Ask again after `Retry-After` seconds while it is not finished."""
    job = await service(request).database.run(lambda c: async_jobs.read_job(c, job_id, user_id=user.user_id))
    if job is None:
        raise not_found()
    return JSONResponse(job_json(job), headers={} if job.state.is_final else _RETRY_AFTER)


@router.post("/jobs/{job_id}/cancel", response_model=JobOut, responses=problems(401, 404))
async def cancel_job(request: Request, user: User, job_id: UUID) -> Response:
    """A pending job ends at once, a running one at its next safe point, a finished one stays as it is."""

    def stop(connection: Connection[Any]) -> JobView | None:
        async_jobs.cancel(connection, job_id, user_id=user.user_id)
        return async_jobs.read_job(connection, job_id, user_id=user.user_id)

    job = await service(request).database.run(stop)
    if job is None:
        raise not_found()
    return JSONResponse(job_json(job))


def checked(kind: JobKind, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as the kind describes them, in JSON types. Raises `Problem` 422."""
    if kind.arguments is None:
        return arguments
    try:
        return kind.arguments.model_validate(arguments).model_dump(mode="json")
    except ValidationError as error:
        raise invalid(error.errors(), below="arguments") from None


def refuse_when_full(connection: Connection[Any], most: int) -> None:
    """Raises `Problem` 503 when more than `most` jobs wait. Counting stops there: a full queue is not read through."""
    row = connection.execute(
        "SELECT count(*) FROM (SELECT FROM async_jobs WHERE state = 'pending' LIMIT %s) AS waiting", (most,)
    ).fetchone()
    if row is not None and row[0] >= most:
        raise unavailable("The queue is full; nothing was accepted.", seconds=30)


def job_json(job: JobView) -> dict[str, Any]:
    """A job as `JobOut` describes it, in JSON types."""
    return {
        "id": str(job.id),
        "kind": job.kind,
        "state": job.state.value,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "created_at": job.created_at.isoformat(),
        "started_at": job.claimed_at.isoformat() if job.claimed_at else None,
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
        "not_before": job.not_before.isoformat(),
        "cancel_requested": job.cancel_requested,
        "progress": job.progress,
        "result": job.result,
        "error": {"code": job.error_code, "message": job.error_message or ""} if job.error_code else None,
        "links": {"self": f"/api/jobs/{job.id}", "cancel": f"/api/jobs/{job.id}/cancel"},
    }
