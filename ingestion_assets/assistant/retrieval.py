"""The passages of a user's documents that have to do with a question, by PostgreSQL's full-text search.

Passages are made when somebody first asks about a document, and anew when its text has changed. Every statement names the
user: what is another's cannot be found.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, LiteralString

from ingestion_assets.assistant.model import Citation
from ingestion_assets.assistant.passages import CONFIGURATIONS, Passage, cut, plain

if TYPE_CHECKING:
    from psycopg import Connection

MOST_PASSAGES: Final = 12
_CANDIDATES: Final = 24
MOST_AT_ONCE: Final = 20
"""Documents that one question indexes; a book of 500 pages takes about a second."""

_OURS: Final[LiteralString] = (
    " c.user_id = %(user)s AND (%(collections)s::text[] = '{}' OR c.id = ANY(%(collections)s))"
)
_UNINDEXED: Final[LiteralString] = (
    "SELECT d.collection_id, d.position FROM study_documents d JOIN study_collections c ON c.id = d.collection_id"  # noqa: S608 - literals
    " WHERE" + _OURS + " AND d.status = 'ready' AND d.text <> '' AND NOT EXISTS (SELECT FROM study_passages p"
    " WHERE p.collection_id = d.collection_id AND p.position = d.position AND p.text_sha256 = d.text_sha256)"
    " ORDER BY c.created_at DESC, d.position LIMIT %(most)s"
)
# Any of the words, stemmed for French, for English and not at all: the question need not be in the document's language.
_SEARCH: Final[LiteralString] = (
    "WITH asked AS (SELECT replace(plainto_tsquery('french', %(words)s)::text, '&', '|')::tsquery"  # noqa: S608 - literals
    " || replace(plainto_tsquery('english', %(words)s)::text, '&', '|')::tsquery"
    " || replace(plainto_tsquery('simple', %(words)s)::text, '&', '|')::tsquery AS words)"
    " SELECT collection_id, position, document_id, name, language, page_starts, start_offset, end_offset,"
    " (SELECT substr(text, start_offset + 1, end_offset - start_offset) FROM study_documents d"
    "  WHERE d.collection_id = found.collection_id AND d.position = found.position)"
    " FROM (SELECT DISTINCT ON (p.text_sha256, p.number) p.collection_id, p.position, d.document_id, d.name,"
    "  d.language, d.page_starts, p.start_offset, p.end_offset, ts_rank(p.words, asked.words, 1) AS rank"
    "  FROM asked, study_passages p JOIN study_documents d USING (collection_id, position)"
    "  JOIN study_collections c ON c.id = p.collection_id"
    "  WHERE" + _OURS + " AND d.status = 'ready' AND d.text_sha256 = p.text_sha256 AND p.words @@ asked.words"
    "  ORDER BY p.text_sha256, p.number, c.created_at DESC) AS found"
    " ORDER BY rank DESC, collection_id, position, start_offset LIMIT %(most)s"
)


def owned(connection: Connection[Any], user_id: str, collections: Sequence[str]) -> bool:
    """All of these collections are the user's."""
    row = connection.execute(
        "SELECT count(*) FROM study_collections WHERE user_id = %s AND id = ANY(%s)", (user_id, list(set(collections)))
    ).fetchone()
    return row is not None and row[0] == len(set(collections))


def unindexed(connection: Connection[Any], user_id: str, collections: Sequence[str]) -> list[tuple[str, int]]:
    """Documents of the user's that have no passages yet, newest first, as (collection, position)."""
    rows = connection.execute(
        _UNINDEXED, {"user": user_id, "collections": list(collections), "most": MOST_AT_ONCE + 1}
    ).fetchall()
    return [(row[0], row[1]) for row in rows]


def index(connection: Connection[Any], collection_id: str, position: int) -> int:
    """Make the passages of one document; how many there are. Nothing is done when they are there."""
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"passages {collection_id} {position}",)
    )
    row = connection.execute(
        "SELECT text, text_sha256, language FROM study_documents d WHERE collection_id = %(collection)s"
        " AND position = %(position)s AND status = 'ready' AND NOT EXISTS (SELECT FROM study_passages p WHERE"
        " p.collection_id = d.collection_id AND p.position = d.position AND p.text_sha256 = d.text_sha256)",
        {"collection": collection_id, "position": position},
    ).fetchone()
    if row is None:
        return 0
    text, sha256, language = row
    connection.execute(
        "DELETE FROM study_passages WHERE collection_id = %s AND position = %s", (collection_id, position)
    )
    spans = list(cut(text))
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO study_passages (collection_id, position, number, text_sha256, start_offset, end_offset, words)"
            " VALUES (%s, %s, %s, %s, %s, %s,"
            " to_tsvector(%s::regconfig, %s::text) || to_tsvector('simple', %s::text))",
            [
                (
                    collection_id,
                    position,
                    number,
                    sha256,
                    start,
                    end,
                    CONFIGURATIONS.get(language, "simple"),
                    *(words,) * 2,
                )
                for number, (start, end) in enumerate(spans)
                if (words := plain(text[start:end]))
            ],
        )
    return len(spans)


def search(
    connection: Connection[Any], user_id: str, words: Sequence[str], collections: Sequence[str] = ()
) -> list[Passage]:
    """The passages that share most with these words (`passages.meant`), best first."""
    rows = connection.execute(
        _SEARCH,
        {
            "user": user_id,
            "collections": list(collections),
            "words": " ".join(words),
            "most": _CANDIDATES,
        },
    ).fetchall()
    return [
        Passage(
            collection_id=row[0],
            position=row[1],
            document_id=row[2],
            document=row[3],
            language=row[4],
            page_starts=tuple(row[5]),
            start=row[6],
            end=row[7],
            text=row[8],
        )
        for row in rows
    ]


def verified(connection: Connection[Any], user_id: str, citations: Sequence[Citation]) -> list[Citation]:
    """Those whose quote stands, at this moment, at its offsets and on its page, in a document of the user's."""
    kept = []
    for citation in citations:
        row = connection.execute(
            "SELECT page_starts FROM study_documents d JOIN study_collections c ON c.id = d.collection_id"
            " WHERE c.user_id = %s AND c.id = %s AND d.document_id = %s AND d.status = 'ready'"
            " AND substr(d.text, %s + 1, %s - %s) = %s LIMIT 1",
            (
                *(user_id, citation.collection_id, citation.document_id),
                *(citation.start, citation.end, citation.start, citation.quote),
            ),
        ).fetchone()
        if row is not None and citation.page == page_at(row[0], citation.start):
            kept.append(citation)
    return kept


def page_at(page_starts: Sequence[int], offset: int) -> int | None:
    """The page, from 1, that a character is on; None where the format has no pages."""
    return max(1, bisect_right(page_starts, offset)) if page_starts else None
