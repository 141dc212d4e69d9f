"""Building collections in tests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from ingestion_assets.study.chunks import chunk_document
from ingestion_assets.study.extraction.canonical import canonical
from ingestion_assets.study.language import document_language
from ingestion_assets.study.model import Document, DocumentStatus, StudyOptions
from ingestion_assets.study.pipeline import Built, build_collection
from resources.llm import Deadline, LlmSettings, build_client

OFFLINE = LlmSettings(llm_providers=("offline",))


def document(name: str, *pages: str, paged: bool = True) -> Document:
    """A document as extraction leaves it."""
    from hashlib import sha256

    made = canonical(pages, paged=paged)
    digest = sha256(made.text.encode()).hexdigest()
    return Document(
        name=name,
        sha256=digest,
        status=DocumentStatus.READY,
        text=made.text,
        text_sha256=digest,
        page_starts=made.page_starts,
        language=document_language(made.text),
        extractor="test/1",
    )


def build(
    documents: Sequence[Document],
    options: StudyOptions | None = None,
    settings: LlmSettings = OFFLINE,
    *,
    seconds: float = 60,
    **more: Any,
) -> Built:
    """A collection, as the command line makes it."""

    async def run() -> Built:
        async with build_client(settings) as client:
            return await build_collection(
                documents,
                options or StudyOptions(title="test"),
                client,
                deadline=Deadline.after(seconds),
                translates=settings.order != ("offline",),
                **more,
            )

    return asyncio.run(run())


def check_accounts(built: Built) -> None:
    """Nothing is lost silently: chunks, items and evidence add up."""
    collection = built.collection
    total = sum(len(chunk_document(document)) for document in collection.documents if document.ready)
    assert sum(collection.chunks.values()) == len(built.results) == total
    assert collection.card_tally.balanced
    assert collection.question_tally.balanced
    assert collection.card_tally.stored == len(collection.cards)
    assert collection.question_tally.stored == len(collection.questions)
    assert collection.verified == collection.items
    ids = [item.id for item in (*collection.cards, *collection.questions)]
    assert len(set(ids)) == len(ids)
