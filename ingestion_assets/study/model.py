"""The values of the study domain: documents, chunks, cards, questions, and what became of each.

Belongs here: plain typed values and closed lists of codes. No I/O, no Dagster, no database.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum


class DocumentCode(StrEnum):
    """Why a document, or a part of it, gave nothing. The names are part of the API."""

    EMPTY = "document_empty"
    ENCRYPTED = "document_encrypted"
    CORRUPT = "document_corrupt"
    TOO_LARGE = "document_too_large"
    UNSUPPORTED = "unsupported_media_type"
    MISMATCH = "media_type_mismatch"
    NO_TEXT_LAYER = "no_text_layer"
    INSUFFICIENT = "insufficient_content"
    DUPLICATE = "duplicate_document"
    EXTRACTION_TIMEOUT = "extraction_timeout"
    ANALYSIS_TIMEOUT = "analysis_timeout"
    BUDGET_EXHAUSTED = "budget_exhausted"
    PROVIDER_QUOTA = "provider_quota"
    PROVIDER_ERROR = "provider_error"
    INVALID_OUTPUT = "invalid_model_output"
    CHUNK_TRUNCATED = "chunk_truncated"


class DocumentStatus(StrEnum):
    """What extraction made of a file."""

    READY = "ready"
    FAILED = "failed"
    SKIPPED = "skipped"
    """The same file, or the same text, is in the batch already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file and its canonical text. Offsets everywhere are characters of `text`."""

    name: str
    sha256: str
    """Of the bytes."""
    status: DocumentStatus
    code: DocumentCode | None = None
    detail: str = ""
    """For people: what is wrong and what to do."""
    media_type: str = ""
    size: int = 0
    """Bytes."""
    text: str = ""
    text_sha256: str = ""
    page_starts: tuple[int, ...] = ()
    """Offset of the first character of each page or slide; empty for formats without pages."""
    language: str | None = None
    """ISO 639-1, detected from the text."""
    extractor: str = ""
    """Name and version of what made `text`: evidence is checked against this text only."""

    @property
    def id(self) -> str:
        """Opaque and stable: the same bytes are the same document."""
        return self.sha256[:16]

    @property
    def pages(self) -> int | None:
        """Number of pages, None where the format has none."""
        return len(self.page_starts) or None

    def page_at(self, offset: int) -> int | None:
        """The page, from 1, that a character is on."""
        return max(1, bisect_right(self.page_starts, offset)) if self.page_starts else None

    @property
    def ready(self) -> bool:
        """Its text can be used."""
        return self.status is DocumentStatus.READY


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A stretch of one document that one question to a provider is about."""

    document_id: str
    number: int
    """Position in the document, from 0."""
    start: int
    end: int
    text: str
    """Exactly `document.text[start:end]`."""
    words: int
    sha256: str
    """Of `text`: what an answer is stored under."""

    @property
    def key(self) -> tuple[str, int]:
        """Names it inside a batch."""
        return self.document_id, self.number


class Difficulty(StrEnum):
    """How hard an item is meant to be."""

    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"


class CardKind(StrEnum):
    """How a flashcard asks."""

    BASIC = "basic"
    CLOZE = "cloze"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where in the source the answer stands."""

    document_id: str
    page: int | None
    start: int
    end: int
    quote: str
    """Exactly `document.text[start:end]`, line breaks included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A flashcard that passed every check."""

    id: str
    kind: CardKind
    front: str
    back: str
    difficulty: Difficulty
    evidence: Evidence
    chunk: int
    flags: tuple[str, ...] = ()
    """Ids of soft checks that it did not pass; see `checks`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A multiple-choice question that passed every check, its options in the order shown."""

    id: str
    stem: str
    options: tuple[str, ...]
    key: int
    """Index of the right option."""
    explanation: str
    difficulty: Difficulty
    evidence: Evidence
    chunk: int
    flags: tuple[str, ...] = ()

    @property
    def answer(self) -> str:
        """The right option."""
        return self.options[self.key]


class ChunkStatus(StrEnum):
    """What became of a chunk. Every chunk ends as exactly one of these."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class DropReason(StrEnum):
    """Why a generated item is not in the collection: a closed list, counted."""

    SCHEMA = "schema"
    OPTION_COUNT = "option_count"
    KEY_MISSING = "key_missing"
    DUPLICATE_OPTIONS = "duplicate_options"
    ALL_OR_NONE = "all_or_none_option"
    LENGTH = "length"
    LIST_ON_BACK = "list_on_back"
    LEAKAGE = "answer_in_front"
    NOT_SELF_CONTAINED = "not_self_contained"
    SAME_SIDES = "front_equals_back"
    CLOZE = "broken_cloze"
    QUOTE_LENGTH = "quote_length"
    QUOTE_NOT_FOUND = "quote_not_found"
    ANSWER_NOT_IN_QUOTE = "answer_not_in_quote"
    INSTRUCTION = "instruction_text"
    LANGUAGE = "wrong_language"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    CONFLICT = "conflicting_answer"
    EVIDENCE_OVERUSED = "evidence_overused"
    JUDGED_WRONG = "judged_wrong"
    OVER_COUNT = "over_count"
    """Good, but more than were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOptions:
    """What a person may ask of a collection."""

    title: str = "Study deck"
    collection_id: str = ""
    """What Anki's note ids are derived from; empty: the title."""
    language: str | None = None
    """`fr` or `en`; None follows each document."""
    cards: int | None = None
    """How many; None: as many as the length of the documents suggests."""
    questions: int | None = None
    difficulty: Difficulty | None = None
    """None: mixed."""

    @property
    def deck_key(self) -> str:
        """What identifies the collection over its lifetime."""
        return self.collection_id or self.title
