"""What study collections are made of: documents, chunks, answers and items. SQL only; what it means is decided elsewhere.

A collection's own row is in `collection_store`. Every function that writes takes the connection of a transaction that
its caller fences (`ImportJob.commit`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ingestion_assets.counts import Counts
from ingestion_assets.study.drafts import ChunkAnswer
from ingestion_assets.study.generation.engine import Kept
from ingestion_assets.study.model import (
    Card,
    Chunk,
    ChunkStatus,
    Document,
    DocumentCode,
    DocumentStatus,
    Question,
)
from ingestion_assets.study.results import Answered, ChunkResult, Collection

if TYPE_CHECKING:
    from psycopg import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """An upload as it lies in the table."""

    position: int
    name: str
    sha256: str
    status: str
    code: str | None
    extractor: str
    by_this_job: bool
    """An earlier attempt of the job has extracted it."""


# -- documents ---------------------------------------------------------------------------------------------------------


def read_files(connection: Connection[Any], collection_id: str, *, job_id: int) -> list[StoredFile]:
    """The uploads of a collection, in order, without their content."""
    rows = connection.execute(
        "SELECT position, name, sha256, status, code, extractor, status <> 'pending' AND extracted_at >="
        " (SELECT started_at FROM import_jobs WHERE id = %s) FROM study_documents WHERE collection_id = %s"
        " ORDER BY position",
        (job_id, collection_id),
    ).fetchall()
    return [
        StoredFile(
            position=r[0], name=r[1], sha256=r[2], status=r[3], code=r[4], extractor=r[5], by_this_job=bool(r[6])
        )
        for r in rows
    ]


def read_heads(connection: Connection[Any], collection_id: str, length: int) -> dict[int, tuple[int, bytes]]:
    """Size and first bytes of each upload, by position."""
    rows = connection.execute(
        "SELECT position, size, substring(CASE WHEN file_id IS NULL THEN content ELSE (SELECT bytes FROM study_file_parts p"
        " WHERE p.file_id = d.file_id ORDER BY number LIMIT 1) END FROM 1 FOR %s)"
        " FROM study_documents d WHERE collection_id = %s",
        (length, collection_id),
    ).fetchall()
    return {row[0]: (row[1], bytes(row[2] or b"")) for row in rows}


def read_content(connection: Connection[Any], collection_id: str, position: int) -> bytes:
    """One file as it came."""
    row = connection.execute(
        # What came over HTTP lies in the parts in which it arrived.
        "SELECT CASE WHEN file_id IS NULL THEN content ELSE (SELECT string_agg(bytes, ''::bytea ORDER BY number)"
        " FROM study_file_parts p WHERE p.file_id = d.file_id) END"
        " FROM study_documents d WHERE collection_id = %s AND position = %s",
        (collection_id, position),
    ).fetchone()
    return bytes(row[0] or b"") if row else b""


def write_document(connection: Connection[Any], collection_id: str, position: int, document: Document) -> None:
    """What extraction made of one file."""
    connection.execute(
        "UPDATE study_documents SET status = %(status)s, code = %(code)s, detail = %(detail)s, media_type = %(media_type)s,"
        " extractor = %(extractor)s, text = %(text)s, text_sha256 = %(text_sha256)s, page_starts = %(page_starts)s,"
        " language = %(language)s, extracted_at = now() WHERE collection_id = %(collection)s AND position = %(position)s",
        {
            "collection": collection_id,
            "position": position,
            "status": str(document.status),
            "code": str(document.code) if document.code else None,
            "detail": document.detail,
            "media_type": document.media_type,
            "extractor": document.extractor,
            "text": document.text,
            "text_sha256": document.text_sha256,
            "page_starts": list(document.page_starts),
            "language": document.language,
        },
    )


def read_documents(connection: Connection[Any], collection_id: str) -> list[Document]:
    """The documents of a collection with their text, in the order of upload; files not extracted yet are left out."""
    rows = connection.execute(
        "SELECT name, sha256, status, code, detail, media_type, size, text, text_sha256, page_starts, language, extractor"
        " FROM study_documents WHERE collection_id = %s AND status <> 'pending' ORDER BY position",
        (collection_id,),
    ).fetchall()
    return [
        Document(
            name=r[0],
            sha256=r[1],
            status=DocumentStatus(r[2]),
            code=DocumentCode(r[3]) if r[3] else None,
            detail=r[4],
            media_type=r[5],
            size=r[6],
            text=r[7],
            text_sha256=r[8],
            page_starts=tuple(r[9]),
            language=r[10],
            extractor=r[11],
        )
        for r in rows
    ]


# -- answers and chunks ------------------------------------------------------------------------------------------------


def write_answer(connection: Connection[Any], collection_id: str, kept: Kept) -> None:
    """Keep one answer the moment it is there."""
    connection.execute(
        "INSERT INTO study_answers (collection_id, input_hash, document_id, number, round, provider, model, answer,"
        " input_tokens, output_tokens) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (collection_id, input_hash) DO NOTHING",
        (
            collection_id,
            kept.input_hash,
            kept.chunk.document_id,
            kept.chunk.number,
            kept.answered.round,
            kept.answered.provider,
            kept.answered.model,
            answer_json(kept.answered.answer),
            kept.usage.input_tokens,
            kept.usage.output_tokens,
        ),
    )


_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
"""NUL is refused by jsonb, lone surrogates by its encoding."""


def answer_json(answer: ChunkAnswer) -> str:
    """The answer as JSON. An element outside the schema becomes one that is outside it again, so that it stays counted."""
    cards = [_clean(card.model_dump(mode="json")) for card in answer.good_cards]
    questions = [_clean(question.model_dump(mode="json")) for question in answer.good_questions]
    return json.dumps(
        {
            "cards": [*cards, *([0] * (len(answer.cards) - len(cards)))],
            "questions": [*questions, *([0] * (len(answer.questions) - len(questions)))],
        }
    )


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("", value)
    if isinstance(value, dict):
        return {name: _clean(part) for name, part in value.items()}
    return [_clean(part) for part in value] if isinstance(value, list) else value


def read_answers(connection: Connection[Any], collection_id: str) -> dict[str, Answered]:
    """All answers of a collection, by input hash."""
    rows = connection.execute(
        "SELECT input_hash, answer, provider, model, round FROM study_answers WHERE collection_id = %s",
        (collection_id,),
    ).fetchall()
    return {
        r[0]: Answered(answer=ChunkAnswer.model_validate(r[1]), provider=r[2], model=r[3], round=r[4], input_hash=r[0])
        for r in rows
    }


def forget_answers(connection: Connection[Any], collection_id: str, document_ids: Iterable[str]) -> int:
    """Delete what was answered about some documents, so that they are asked about anew."""
    return connection.execute(
        "DELETE FROM study_answers WHERE collection_id = %s AND document_id = ANY(%s)",
        (collection_id, list(document_ids)),
    ).rowcount


def write_chunks(connection: Connection[Any], collection_id: str, results: Sequence[ChunkResult]) -> Counts:
    """Replace the accounting of a collection's chunks. Counts are against what was there: an equal end is `skipped`."""
    before = {
        (r[0], r[1]): r[2:]
        for r in connection.execute(
            "SELECT document_id, number, sha256, status, answers FROM study_chunks WHERE collection_id = %s",
            (collection_id,),
        ).fetchall()
    }
    connection.execute("DELETE FROM study_chunks WHERE collection_id = %s", (collection_id,))
    created = updated = skipped = errors = 0
    with connection.cursor().copy(
        "COPY study_chunks (collection_id, document_id, number, start_offset, end_offset, words, sha256, status, code,"
        " detail, answers) FROM STDIN"
    ) as copy:
        for result in results:
            chunk = result.chunk
            answers = [answered.input_hash for answered in result.answers]
            now = (chunk.sha256, str(result.status), answers)
            if result.status is ChunkStatus.FAILED:
                errors += 1
            elif before.get(chunk.key) == now or result.status is ChunkStatus.SKIPPED:
                skipped += 1
            elif chunk.key in before:
                updated += 1
            else:
                created += 1
            copy.write_row(
                (
                    *(
                        collection_id,
                        chunk.document_id,
                        chunk.number,
                        chunk.start,
                        chunk.end,
                        chunk.words,
                        chunk.sha256,
                    ),
                    *(
                        str(result.status),
                        None if result.status is ChunkStatus.DONE else result.code,
                        result.detail,
                        answers,
                    ),
                )
            )
    return Counts(created=created, updated=updated, skipped=skipped, errors=errors)


def read_results(
    connection: Connection[Any], collection_id: str, documents: Sequence[Document], answers: Mapping[str, Answered]
) -> list[ChunkResult]:
    """The ends of all chunks with their answers, as `document_analyses` left them."""
    texts = {document.id: document.text for document in documents if document.ready}
    rows = connection.execute(
        "SELECT document_id, number, start_offset, end_offset, words, sha256, status, code, detail, answers"
        " FROM study_chunks WHERE collection_id = %s ORDER BY document_id, number",
        (collection_id,),
    ).fetchall()
    return [
        ChunkResult(
            chunk=Chunk(
                document_id=r[0],
                number=r[1],
                start=r[2],
                end=r[3],
                text=texts[r[0]][r[2] : r[3]],
                words=r[4],
                sha256=r[5],
            ),
            status=ChunkStatus(r[6]),
            code=r[7],
            detail=r[8],
            answers=tuple(answers[name] for name in r[9] if name in answers),
        )
        for r in rows
        if r[0] in texts
    ]


# -- items -------------------------------------------------------------------------------------------------------------

_SHARED = ("document_id", "chunk", "position", "difficulty", "flags", "page", "evidence_start", "evidence_end", "quote")
_TABLES = {
    "study_cards": (*_SHARED, "kind", "front", "back"),
    "study_questions": (*_SHARED, "stem", "options", "key", "explanation"),
}


def write_items(connection: Connection[Any], collection: Collection, collection_id: str) -> Counts:
    """Make the tables hold exactly the items of `collection`. Unchanged rows are not written."""
    counts = _write(connection, "study_cards", collection_id, [_card(at, c) for at, c in enumerate(collection.cards)])
    return counts + _write(
        connection, "study_questions", collection_id, [_question(at, q) for at, q in enumerate(collection.questions)]
    )


def _write(connection: Connection[Any], table: str, collection_id: str, rows: Sequence[tuple[Any, ...]]) -> Counts:
    from psycopg import sql

    columns = _TABLES[table]
    name = sql.Identifier(table)
    listed = sql.SQL(", ").join(map(sql.Identifier, columns))
    before = {
        r[0]: tuple(r[1:])
        for r in connection.execute(
            sql.SQL("SELECT id, {} FROM {} WHERE collection_id = %s").format(listed, name), (collection_id,)
        ).fetchall()
    }
    gone = sorted(set(before) - {row[0] for row in rows})
    if gone:
        connection.execute(
            sql.SQL("DELETE FROM {} WHERE collection_id = %s AND id = ANY(%s)").format(name), (collection_id, gone)
        )
    created = [row for row in rows if row[0] not in before]
    updated = [row for row in rows if row[0] in before and before[row[0]] != row[1:]]
    changed = [*created, *updated]
    if changed:
        assigned = sql.SQL(", ").join(
            sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(column)) for column in columns
        )
        statement = sql.SQL(
            "INSERT INTO {} (collection_id, id, {}) VALUES ({}) ON CONFLICT (collection_id, id) DO UPDATE SET {},"
            " changed_at = now()"
        ).format(name, listed, sql.SQL(", ").join([sql.Placeholder()] * (len(columns) + 2)), assigned)
        with connection.cursor() as cursor:
            cursor.executemany(statement, [(collection_id, *row) for row in changed])
    return Counts(created=len(created), updated=len(updated), skipped=len(rows) - len(changed))


def item_ids(connection: Connection[Any], collection_id: str) -> dict[str, frozenset[tuple[str, int]]]:
    """The ids of the stored items of each document, with the start of their evidence."""
    rows = connection.execute(
        "SELECT document_id, id, evidence_start FROM study_cards WHERE collection_id = %(id)s"
        " UNION ALL SELECT document_id, id, evidence_start FROM study_questions WHERE collection_id = %(id)s",
        {"id": collection_id},
    ).fetchall()
    found: dict[str, set[tuple[str, int]]] = {}
    for document_id, name, start in rows:
        found.setdefault(document_id, set()).add((name, start))
    return {document_id: frozenset(items) for document_id, items in found.items()}


def _shared(position: int, item: Card | Question) -> tuple[Any, ...]:
    evidence = item.evidence
    return (
        *(item.id, evidence.document_id, item.chunk, position, str(item.difficulty), list(item.flags), evidence.page),
        *(evidence.start, evidence.end, evidence.quote),
    )


def _card(position: int, card: Card) -> tuple[Any, ...]:
    return (*_shared(position, card), str(card.kind), card.front, card.back)


def _question(position: int, question: Question) -> tuple[Any, ...]:
    return (*_shared(position, question), question.stem, list(question.options), question.key, question.explanation)


# -- the collection's row ----------------------------------------------------------------------------------------------
