"""Documents of users in the tables, as extraction leaves them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from hashlib import sha256

from ingestion_assets.ledger import batches
from ingestion_assets.ledger.batches import NewFile
from ingestion_assets.study import store
from ingestion_assets.study.extraction.canonical import canonical
from ingestion_assets.study.language import document_language
from ingestion_assets.study.model import Document, DocumentStatus
from resources.postgres.database import Database


def add_document(database: Database, user_id: str, pages: Sequence[str], *, name: str = "book.txt") -> str:
    """A collection of one extracted document; its id."""
    text = canonical(pages, paged=len(pages) > 1)
    content = "\f".join(pages).encode()
    collection = uuid.uuid4().hex
    with database.transaction() as connection:
        batches.create_batch(
            connection, [NewFile(name, content)], title=name, user_id=user_id, collection_id=collection
        )
        document = Document(
            name=name,
            sha256=sha256(content).hexdigest(),
            status=DocumentStatus.READY,
            size=len(content),
            text=text.text,
            text_sha256=sha256(text.text.encode()).hexdigest(),
            page_starts=text.page_starts,
            language=document_language(text.text),
        )
        store.write_document(connection, collection, 0, document)
    return collection


def text_of(database: Database, collection: str) -> str:
    """The canonical text that offsets refer to."""
    [row] = database.fetch_all("SELECT text FROM study_documents WHERE collection_id = %(id)s", {"id": collection})
    return str(row["text"])
