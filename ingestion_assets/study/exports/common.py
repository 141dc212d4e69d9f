"""What several formats need: where an item comes from, and cloze gaps as blanks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any, Final

from ingestion_assets.study.checks.shared import CLOZE
from ingestion_assets.study.model import Card, CardKind, Evidence
from ingestion_assets.study.results import Collection
from ingestion_assets.study.text import squeeze

_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_ANKI_TAG: Final = re.compile(r"\[(?=(?:sound|anki):|latex\]|\${1,2}\])", re.IGNORECASE)
"""What begins a tag of Anki's own: it plays the file, reads aloud or runs LaTeX instead of showing the text."""


def anki_html(text: str, *, quote: bool = True) -> str:
    """`text` as HTML that Anki shows as it is."""
    return _ANKI_TAG.sub("&#91;", escape(text, quote=quote))


def storable(text: str) -> str:
    """`text` without what XML 1.0 cannot hold in any form: for one such character readers refuse the whole file."""
    return _NOT_XML.sub(lambda match: " " if match[0].isspace() else "", text)


def one_line(text: str) -> str:
    """`text` for formats that end an item with its line."""
    return " ".join(storable(text).split())


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


def short_answer(card: Card) -> str:
    """The back as Moodle compares it with what a student types: plain text, its asterisks escaped, or they are wildcards."""
    return one_line(card.back).replace("*", r"\*")


def shown_quote(evidence: Evidence) -> str:
    """The quote on one line."""
    return squeeze(evidence.quote)
