"""Study collections as their owners see them, read from the tables of `ingestion_assets/study`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, LiteralString

from psycopg import Connection
from psycopg.rows import dict_row

from ingestion_assets.study import store
from ingestion_assets.study.model import Card, CardKind, ChunkStatus, Difficulty, Document, Evidence, Question
from ingestion_assets.study.results import Collection, Coverage, Tally

_ROW: LiteralString = (
    "SELECT c.id, c.title, c.state, c.partial, c.errors, c.options, c.report, c.not_before, c.created_at, c.changed_at,"
    " (SELECT count(*) FROM study_cards WHERE collection_id = c.id) AS cards,"
    " (SELECT count(*) FROM study_questions WHERE collection_id = c.id) AS questions,"
    " (SELECT b.id::text FROM study_batches b WHERE b.collection_id = c.id ORDER BY b.sequence DESC LIMIT 1) AS batch"
    " FROM study_collections c WHERE c.user_id = %(user)s"
)


def read_collection(connection: Connection[Any], collection_id: str, user_id: str) -> dict[str, Any] | None:
    """One collection of the user's, or None."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_ROW + " AND c.id = %(id)s", {"user": user_id, "id": collection_id}).fetchone()
    return collection_json(row) if row else None


def list_collections(
    connection: Connection[Any], user_id: str, *, limit: int, before: str | None = None
) -> list[dict[str, Any]]:
    """The user's collections, newest first; with `before` those that come after that one in the list."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            _ROW + " AND (%(before)s::text IS NULL OR (c.created_at, c.id) <"  # noqa: S608 - literals
            " (SELECT created_at, id FROM study_collections WHERE id = %(before)s AND user_id = %(user)s))"
            " ORDER BY c.created_at DESC, c.id DESC LIMIT %(limit)s",
            {"user": user_id, "limit": limit, "before": before},
        ).fetchall()
    return [collection_json(row) for row in rows]


def collection_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `_ROW` in JSON types, with where to go from it."""
    base = f"/api/collections/{row['id']}"
    return {
        "id": row["id"],
        "title": row["title"],
        "state": row["state"],
        "partial": row["partial"],
        "errors": row["errors"],
        "options": row["options"],
        "report": row["report"],
        "cards": row["cards"],
        "questions": row["questions"],
        "batch_id": row["batch"],
        "not_before": row["not_before"].isoformat() if row["not_before"] else None,
        "created_at": row["created_at"].isoformat(),
        "changed_at": row["changed_at"].isoformat(),
        "links": {
            "self": base,
            "cards": f"{base}/cards",
            "quizzes": f"{base}/quizzes",
            "export": f"{base}/export",
            "batch": f"/batches/{row['batch']}" if row["batch"] else None,
        },
    }


_SHARED: LiteralString = (
    "i.id, i.document_id, i.chunk, i.difficulty, i.flags, i.page, i.evidence_start, i.evidence_end, i.quote,"
    " (SELECT min(d.name) FROM study_documents d WHERE d.collection_id = i.collection_id"
    " AND d.document_id = i.document_id) AS document"
)


def read_items(
    connection: Connection[Any], table: LiteralString, collection_id: str, *, offset: int = 0, limit: int | None = None
) -> list[dict[str, Any]]:
    """Cards (`study_cards`) or questions (`study_questions`) in their order, each with its evidence."""
    own: LiteralString = (
        "i.kind, i.front, i.back" if table == "study_cards" else "i.stem, i.options, i.key, i.explanation"
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "SELECT " + own + ", " + _SHARED + " FROM " + table + " i WHERE i.collection_id = %(id)s"  # noqa: S608 - literals
            " ORDER BY i.position, i.id OFFSET %(offset)s LIMIT %(limit)s",
            {"id": collection_id, "offset": offset, "limit": limit},
        ).fetchall()
    names = ("document_id", "document", "page", "evidence_start", "evidence_end", "quote")
    return [
        {
            **{name: value for name, value in row.items() if name not in names},
            "evidence": {name.removeprefix("evidence_"): row[name] for name in names},
        }
        for row in rows
    ]


def load_collection(connection: Connection[Any], collection_id: str, title: str) -> Collection:
    """The stored collection as the exports read it."""
    documents = store.read_documents(connection, collection_id)
    cards = [
        Card(
            id=item["id"],
            kind=CardKind(item["kind"]),
            front=item["front"],
            back=item["back"],
            difficulty=Difficulty(item["difficulty"]),
            evidence=_evidence(item),
            chunk=item["chunk"],
            flags=tuple(item["flags"]),
        )
        for item in read_items(connection, "study_cards", collection_id)
    ]
    questions = [
        Question(
            id=item["id"],
            stem=item["stem"],
            options=tuple(item["options"]),
            key=item["key"],
            explanation=item["explanation"],
            difficulty=Difficulty(item["difficulty"]),
            evidence=_evidence(item),
            chunk=item["chunk"],
            flags=tuple(item["flags"]),
        )
        for item in read_items(connection, "study_questions", collection_id)
    ]
    ends = connection.execute(
        "SELECT status, code FROM study_chunks WHERE collection_id = %s", (collection_id,)
    ).fetchall()
    return _collection(collection_id, title, documents, cards, questions, ends)


def _collection(
    key: str,
    title: str,
    documents: Sequence[Document],
    cards: Sequence[Card],
    questions: Sequence[Question],
    ends: Sequence[tuple[Any, ...]],
) -> Collection:
    return Collection(
        title=title,
        key=key,
        documents=tuple(documents),
        cards=tuple(cards),
        questions=tuple(questions),
        card_tally=Tally(generated=len(cards), stored=len(cards)),
        question_tally=Tally(generated=len(questions), stored=len(questions)),
        chunks=dict(Counter(ChunkStatus(end[0]) for end in ends)),
        chunk_codes=dict(Counter(end[1] for end in ends if end[1])),
        coverage=Coverage(words=0.0, pages=0.0, deciles={}),
        verified=len(cards) + len(questions),
    )


def _evidence(item: dict[str, Any]) -> Evidence:
    found = item["evidence"]
    return Evidence(
        document_id=found["document_id"],
        start=found["start"],
        end=found["end"],
        quote=found["quote"],
        page=found["page"],
    )
