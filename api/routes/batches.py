"""Batches: files in, a study collection out, and what happens in between as a stream."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response
from psycopg import Connection
from pydantic import Field, ValidationError

from api.auth import User
from api.documentation import event_stream, problems
from api.idempotency import IdempotencyKey, valid_key
from api.models import Strict, Text
from api.problems import Problem, not_found, unavailable
from api.quota_answers import refuse_when_used_up, taken
from api.routes.events import cached
from api.sse import EventStream, Message, follow
from api.state import Service, service
from api.streams import last_event_id
from api.uploads import received
from ingestion_assets.ledger import batches, tokens
from ingestion_assets.ledger.batches import Batch, BatchConflictError, NewFile, NothingToRetryError, ReceivedFile
from ingestion_assets.ledger.quotas import Quota
from ingestion_assets.ledger.tokens import Principal
from ingestion_assets.study.settings import StudySettings

router = APIRouter(tags=["batches"])
RETRY_AFTER = {"Retry-After": "2"}


class BatchOptions(Strict):
    """What to make of the documents. What is left out follows the documents."""

    title: Text = Field(default="", max_length=200)
    language: Literal["fr", "en"] | None = None
    cards: int | None = Field(default=None, ge=0, le=5000)
    questions: int | None = Field(default=None, ge=0, le=5000)
    difficulty: Literal["easy", "medium", "hard"] | None = None


_UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1},
                        "title": {"type": "string", "maxLength": 200},
                        "language": {"type": "string", "enum": ["fr", "en"]},
                        "cards": {"type": "integer", "minimum": 0, "maximum": 5000},
                        "questions": {"type": "integer", "minimum": 0, "maximum": 5000},
                        "difficulty": {"type": "string", "enum": ["easy", "medium", "hard"]},
                    },
                }
            }
        },
    }
}


@router.post(
    "/ingestion/batches",
    status_code=202,
    responses=problems(401, 409, 413, 415),
    openapi_extra=_UPLOAD_BODY,
    summary="Hand in files",
)
async def post_batch(request: Request, user: User, key: IdempotencyKey = None) -> Response:
    """Stores the files while they arrive, and answers; nothing has been read of them by then."""
    state = service(request)
    valid_key(key)
    await state.database.run(lambda connection: _may_begin(state, user, key, connection))
    largest = StudySettings().max_document_bytes
    async with received(request, state.database, state.settings, user_id=user.user_id, largest_file=largest) as upload:
        try:
            options = BatchOptions.model_validate(upload.fields)
        except ValidationError as error:
            fields = ", ".join(sorted({str(e["loc"][0]) for e in error.errors() if e["loc"]}))
            raise Problem(422, f"These fields do not fit the documentation: {fields}.") from None

        def accept(connection: Connection[Any]) -> tuple[Response, bool]:
            return _accept(state, user, key, options, upload.files, connection)

        answer, upload.kept = await state.database.run(accept)
        return answer


def _may_begin(state: Service, user: Principal, key: str | None, connection: Connection[Any]) -> None:
    """Refuse before any byte is stored what would be refused after the last one. Raises `Problem` 429 or 503."""
    try:
        refuse_when_full(connection, state.settings.pending_jobs)
        # How many there are is known at the end of the body, and taken then.
        refuse_when_used_up(connection, user, Quota.DOCUMENTS, state.settings.documents_per_day)
    except Problem:
        # Looked for last: what is used up now may be what the first request of this key took.
        if not _known(connection, user, key):
            raise


def _accept(
    state: Service,
    user: Principal,
    key: str | None,
    options: BatchOptions,
    files: Sequence[NewFile | ReceivedFile],
    connection: Connection[Any],
) -> tuple[Response, bool]:
    batch, quota, created = accept_files(state, user, key, options, files, connection)
    content = {**batch_json(batch, _documents(connection, batch)), **({"quota": quota} if quota else {})}
    headers = {"Location": f"/batches/{batch.id}", **RETRY_AFTER}
    if not created:
        headers["Idempotent-Replayed"] = "true"
    return JSONResponse(content, 202, headers=headers), created


def accept_files(
    state: Service,
    user: Principal,
    key: str | None,
    options: BatchOptions,
    files: Sequence[NewFile | ReceivedFile],
    connection: Connection[Any],
) -> tuple[Batch, dict[str, Any] | None, bool]:
    """Quota, files, batch and its first event, in one transaction: all or nothing.

    Returns the batch, how the user's quota stands and whether it is new. Raises `Problem` 422, 429 or 503.
    """
    asked = options.model_dump(exclude={"title"}, exclude_none=True)
    try:
        batch, created = batches.create_batch(
            connection, files, title=options.title or "Study deck", options=asked, user_id=user.user_id, origin_key=key
        )
    except BatchConflictError:
        raise Problem(422, "Use a new key for a new request.", name="key-reused") from None
    if not created:
        return batch, None, False
    # Not before: a repeat that comes while the first request is under way waits for it above, and takes nothing.
    refuse_when_full(connection, state.settings.pending_jobs + 1)  # this one counts
    quota = taken(connection, user, Quota.DOCUMENTS, len(files), state.settings.documents_per_day)
    return batch, quota, True


def refuse_when_full(connection: Connection[Any], most: int) -> None:
    """Raises `Problem` 503 when `most` batches or more are under way."""
    waiting = connection.execute(
        "SELECT count(*) FROM (SELECT FROM study_batches WHERE finished_at IS NULL LIMIT %s) AS open", (most,)
    ).fetchone()
    if waiting is not None and waiting[0] >= most:
        raise unavailable("The queue is full; nothing was accepted.", seconds=30)


def _known(connection: Connection[Any], user: Principal, key: str | None) -> bool:
    return (
        key is not None
        and connection.execute(
            "SELECT FROM study_batches WHERE origin = 'api' AND user_id = %s AND origin_key = %s", (user.user_id, key)
        ).fetchone()
        is not None
    )


@router.get("/batches", responses=problems(401), summary="Your batches, newest first")
async def list_batches(
    request: Request,
    user: User,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    before: Annotated[UUID | None, Query(description="Go on after this batch.")] = None,
) -> dict[str, list[dict[str, Any]]]:
    """Without their documents; those are at each batch's own address."""

    def read(connection: Connection[Any]) -> list[Batch]:
        rows = connection.execute(
            "SELECT id FROM study_batches WHERE user_id = %(user)s AND (%(before)s::uuid IS NULL OR sequence <"
            " (SELECT sequence FROM study_batches WHERE id = %(before)s AND user_id = %(user)s))"
            " ORDER BY sequence DESC LIMIT %(limit)s",
            {"user": user.user_id, "before": before, "limit": limit},
        ).fetchall()
        found = (batches.read_batch(connection, row[0], user_id=user.user_id) for row in rows)
        return [batch for batch in found if batch is not None]

    found = await service(request).database.run(read)
    return {"batches": [batch_json(batch, None) for batch in found]}


@router.get(
    "/batches/{batch_id}",
    response_model=dict[str, Any],
    responses={304: {"description": "As it was (If-None-Match)."}, **problems(401, 404)},
)
async def get_batch(request: Request, user: User, batch_id: UUID) -> Response:
    """How far it is, with each document. Ask again after `Retry-After` seconds, or follow its events."""

    def read(connection: Connection[Any]) -> dict[str, Any] | None:
        batch = batches.read_batch(connection, batch_id, user_id=user.user_id)
        return batch_json(batch, _documents(connection, batch)) if batch else None

    content = await service(request).database.run(read)
    if content is None:
        raise not_found()
    headers = {"Cache-Control": "private, no-cache"}
    if content["finished_at"] is None:
        headers.update(RETRY_AFTER)
    return cached(request, orjson.dumps(content), "application/json", headers)


@router.get(
    "/batches/{batch_id}/events",
    response_class=EventStream,
    responses={
        200: {"content": event_stream(*batches.EVENTS), "description": "Server-sent events."},
        204: {"description": "The client has the last event: do not come back."},
        **problems(401, 404),
    },
)
async def get_events(
    request: Request,
    user: User,
    batch_id: UUID,
    last_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
    after: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="As Last-Event-ID.")] = None,
) -> Response:
    """Every event of the batch from the one after `Last-Event-ID`, as they happen; the last one ends the stream."""
    state = service(request)
    seen = last_event_id(last_id, after)

    def look(connection: Connection[Any]) -> tuple[int, bool] | None:
        """Number of the last event and whether it is the terminal one; None: there is no such batch of the user's."""
        row = connection.execute(
            "SELECT coalesce(max(e.sequence), 0), coalesce(bool_or(e.terminal), false) FROM study_batches b"
            " LEFT JOIN study_batch_events e ON e.batch_id = b.id WHERE b.id = %s AND b.user_id = %s GROUP BY b.id",
            (batch_id, user.user_id),
        ).fetchone()
        return None if row is None else (row[0], row[1])

    found = await state.database.run(look)
    if found is None:
        raise not_found()
    last, ended = found
    if ended and seen >= last:
        return Response(status_code=204)
    # Who claims to have more than there is would wait beyond the last event for ever.
    seen = min(seen, last)
    place = ExitStack()
    place.enter_context(state.hub.stream(user.user_id))
    woken = place.enter_context(state.hub.waiting_for(batches.CHANNEL, str(batch_id)))

    def read(connection: Connection[Any]) -> list[Message] | None:
        nonlocal seen
        if not tokens.is_valid(connection, user):
            return None
        found = batches.events_after(connection, batch_id, seen)
        if found:
            seen = found[-1].sequence
        return [
            Message(event.type, {**event.payload, "at": event.at.isoformat()}, event.sequence, event.terminal)
            for event in found
        ]

    content = follow(state.hub, state.database, woken, read, keep_alive=state.settings.keep_alive_seconds)
    return EventStream(content, place=place)


@router.post("/batches/{batch_id}/cancel", responses=problems(401, 404))
async def cancel_batch(request: Request, user: User, batch_id: UUID) -> dict[str, Any]:
    """Ends a batch that is not finished; one that is stays as it is."""

    def stop(connection: Connection[Any]) -> Batch | None:
        batches.cancel(connection, batch_id, user_id=user.user_id)
        return batches.read_batch(connection, batch_id, user_id=user.user_id)

    batch = await service(request).database.run(stop)
    if batch is None:
        raise not_found()
    return batch_json(batch, None)


@router.post("/batches/{batch_id}/retry", status_code=202, responses=problems(401, 404, 409))
async def retry_batch(request: Request, user: User, batch_id: UUID) -> Response:
    """A new batch for the documents that failed and for what is missing. What was done is kept; 409 when all is done."""

    def again(connection: Connection[Any]) -> Batch:
        if batches.read_batch(connection, batch_id, user_id=user.user_id) is None:
            raise not_found()
        try:
            batch = batches.retry(connection, batch_id, user_id=user.user_id)
        except NothingToRetryError:
            raise Problem(409, "Every document is done: there is nothing to try again.") from None
        if batch is None:
            raise Problem(409, "The batch, or another one of its collection, is still under way.")
        return batch

    batch = await service(request).database.run(again)
    return JSONResponse(batch_json(batch, None), 202, headers={"Location": f"/batches/{batch.id}", **RETRY_AFTER})


def _documents(connection: Connection[Any], batch: Batch) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT document_id, name, sha256, size, status, code, detail, language, cardinality(page_starts)"
        " FROM study_documents WHERE collection_id = %s ORDER BY position",
        (batch.collection_id,),
    ).fetchall()
    names = ("id", "name", "sha256", "size", "status", "code", "detail", "language", "pages")
    return [dict(zip(names, row, strict=True)) for row in rows]


def batch_json(batch: Batch, documents: list[dict[str, Any]] | None) -> dict[str, Any]:
    """A batch for its user."""
    error = {"code": batch.error_code, "message": batch.error_message} if batch.error_code else None
    return {
        "id": str(batch.id),
        "status": batch.state.value,
        "stage": batch.stage,
        "progress": batch.progress,
        "collection_id": batch.collection_id,
        "error": error,
        **{
            name: moment.isoformat() if moment else None
            for name, moment in (
                ("created_at", batch.created_at),
                ("started_at", batch.started_at),
                ("deadline_at", batch.deadline_at),
                ("finished_at", batch.finished_at),
            )
        },
        **({"documents": documents} if documents is not None else {}),
        "links": {
            "self": f"/batches/{batch.id}",
            "events": f"/batches/{batch.id}/events",
            "cancel": f"/batches/{batch.id}/cancel",
            "retry": f"/batches/{batch.id}/retry",
            "collection": f"/api/collections/{batch.collection_id}",
        },
    }
