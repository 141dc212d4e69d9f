"""JSON: everything that is known of a collection but the documents' text."""

from __future__ import annotations

import json
from typing import Any

from ingestion_assets.study.exports.common import evidence_json, names
from ingestion_assets.study.results import Collection


def as_json(collection: Collection) -> dict[str, Any]:
    """The collection as plain values."""
    documents = names(collection)
    return {
        "title": collection.title,
        "documents": [
            {
                "id": document.id,
                "name": document.name,
                "sha256": document.sha256,
                "text_sha256": document.text_sha256 or None,
                "extractor": document.extractor or None,
                "pages": document.pages,
                "language": document.language,
                "status": document.status,
                "code": document.code,
            }
            for document in collection.documents
        ],
        "cards": [
            {
                "id": card.id,
                "kind": card.kind,
                "front": card.front,
                "back": card.back,
                "difficulty": card.difficulty,
                "flags": list(card.flags),
                "evidence": evidence_json(card.evidence, documents),
            }
            for card in collection.cards
        ],
        "questions": [
            {
                "id": question.id,
                "stem": question.stem,
                "options": list(question.options),
                "key": question.key,
                "explanation": question.explanation,
                "difficulty": question.difficulty,
                "flags": list(question.flags),
                "evidence": evidence_json(question.evidence, documents),
            }
            for question in collection.questions
        ],
    }


def write(collection: Collection) -> bytes:
    """Indented UTF-8."""
    return (json.dumps(as_json(collection), ensure_ascii=False, indent=2) + "\n").encode()
