"""What several formats need: where an item comes from, and cloze gaps as blanks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ingestion_assets.study.checks.shared import CLOZE
from ingestion_assets.study.model import Card, CardKind, Evidence
from ingestion_assets.study.results import Collection
from ingestion_assets.study.text import squeeze


def names(collection: Collection) -> dict[str, str]:
    """Document id -> name; of several equal files, the one that is used."""
    return {document.id: document.name for document in sorted(collection.documents, key=lambda found: found.ready)}


def source_line(evidence: Evidence, documents: Mapping[str, str]) -> str:
    """`notes.pdf, p. 12`."""
    name = documents.get(evidence.document_id, evidence.document_id)
    return name if evidence.page is None else f"{name}, p. {evidence.page}"


def evidence_json(evidence: Evidence, documents: Mapping[str, str]) -> dict[str, Any]:
    """The evidence as every JSON of ours has it. `quote` is exactly the text between `start` and `end`."""
    return {
        "document": documents.get(evidence.document_id, evidence.document_id),
        "document_id": evidence.document_id,
        "page": evidence.page,
        "start": evidence.start,
        "end": evidence.end,
        "quote": evidence.quote,
    }


def shown_front(card: Card) -> str:
    """The front for formats without cloze: the hidden part as a blank."""
    return CLOZE.sub("_____", card.front) if card.kind is CardKind.CLOZE else card.front


def shown_quote(evidence: Evidence) -> str:
    """The quote on one line."""
    return squeeze(evidence.quote)
