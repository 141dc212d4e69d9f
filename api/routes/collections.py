"""Study collections: made from text or files, read as cards and quizzes, taken along as a file."""

from __future__ import annotations

from typing import Annotated, Any, Literal, LiteralString

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from psycopg import Connection
from pydantic import ConfigDict, Field

from api.auth import User
from api.collections import list_collections, load_collection, read_collection, read_items
from api.documentation import problems
from api.idempotency import IdempotencyKey, valid_key
from api.models import Strict, Text
from api.problems import Problem, not_found
from api.routes.batches import RETRY_AFTER, BatchOptions, accept_files
from api.state import service
from ingestion_assets.ledger.batches import NewFile
from ingestion_assets.study.exports import MEDIA_TYPES, export

router = APIRouter(tags=["collections"], prefix="/api/collections")
_ID = r"^[A-Za-z0-9_-]+$"
CollectionId = Annotated[str, Path(max_length=64, pattern=_ID)]


class TextDocument(Strict):
    """One document as text."""

    name: Text = Field(max_length=255, min_length=1)
    text: Text = Field(max_length=1_000_000, min_length=1)


class NewCollection(BatchOptions):
    """A collection to make from texts. Files go to `POST /ingestion/batches`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"title": "Biology", "documents": [{"name": "osmosis.txt", "text": "Osmosis is the flow of …"}]}
            ]
        },
    )

    documents: list[TextDocument] = Field(min_length=1, max_length=50)


@router.post("", status_code=202, responses=problems(401, 409, 413, 415), summary="Make a collection from texts")
async def post_collection(request: Request, user: User, body: NewCollection, key: IdempotencyKey = None) -> Response:
    """Answers at once; `links.batch` says how far it is."""
    valid_key(key)
    state = service(request)
    files = [NewFile(document.name, document.text.encode()) for document in body.documents]
    options = BatchOptions(**body.model_dump(exclude={"documents"}))

    def accept(connection: Connection[Any]) -> Response:
        batch, quota, created = accept_files(state, user, key, options, files, connection)
        content = read_collection(connection, batch.collection_id, user.user_id)
        headers = {"Location": f"/api/collections/{batch.collection_id}", **RETRY_AFTER}
        if not created:
            headers["Idempotent-Replayed"] = "true"
        return JSONResponse({**(content or {}), **({"quota": quota} if quota else {})}, 202, headers=headers)

    return await state.database.run(accept)


@router.get("", responses=problems(401), summary="Your collections, newest first")
async def get_collections(
    request: Request,
    user: User,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    before: Annotated[str | None, Query(max_length=64, pattern=_ID, description="Go on after this collection.")] = None,
) -> dict[str, list[dict[str, Any]]]:
    """Without their items."""
    found = await service(request).database.run(lambda c: list_collections(c, user.user_id, limit=limit, before=before))
    return {"collections": found}


@router.get("/{collection_id}", responses=problems(401, 404))
async def get_collection(request: Request, user: User, collection_id: CollectionId) -> dict[str, Any]:
    """State, figures and errors of a collection."""
    found = await service(request).database.run(lambda c: read_collection(c, collection_id, user.user_id))
    if found is None:
        raise not_found()
    return found


@router.get("/{collection_id}/cards", responses=problems(401, 404))
async def get_cards(
    request: Request,
    user: User,
    collection_id: CollectionId,
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """Flashcards in their order, each with the place in the document that it rests on."""
    return {"cards": await _items(request, user.user_id, collection_id, "study_cards", offset, limit)}


@router.get("/{collection_id}/quizzes", responses=problems(401, 404))
async def get_quizzes(
    request: Request,
    user: User,
    collection_id: CollectionId,
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """Quiz questions in their order; `key` is the index of the right option."""
    return {"questions": await _items(request, user.user_id, collection_id, "study_questions", offset, limit)}


async def _items(
    request: Request, user_id: str, collection_id: str, table: LiteralString, offset: int, limit: int
) -> list[dict[str, Any]]:
    def read(connection: Connection[Any]) -> list[dict[str, Any]]:
        if read_collection(connection, collection_id, user_id) is None:
            raise not_found()
        return read_items(connection, table, collection_id, offset=offset, limit=limit)

    return await service(request).database.run(read)


@router.get(
    "/{collection_id}/export",
    response_class=Response,
    responses={
        200: {
            "description": "The file.",
            "content": {
                kind.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}}
                for kind in MEDIA_TYPES.values()
            },
        },
        **problems(401, 404, 409),
    },
)
async def get_export(
    request: Request,
    user: User,
    collection_id: CollectionId,
    form: Annotated[Literal["apkg", "csv", "tsv", "json", "md", "gift", "xml"], Query(alias="format")] = "apkg",
) -> Response:
    """The collection for another program: Anki, spreadsheets, Moodle."""

    def write(connection: Connection[Any]) -> bytes:
        found = read_collection(connection, collection_id, user.user_id)
        if found is None:
            raise not_found()
        if not found["cards"] and not found["questions"]:
            raise Problem(409, f"There is nothing to export: the collection is {found['state']}.")
        return export(load_collection(connection, collection_id, found["title"]), form)

    content = await service(request).database.run(write)
    headers = {"Content-Disposition": f'attachment; filename="collection-{collection_id[:12]}.{form}"'}
    return Response(content, headers=headers, media_type=MEDIA_TYPES[form])
