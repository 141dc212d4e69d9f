"""Study collections: the batches that ask for them, their documents, chunks, answers that were paid for, and items.

Belongs here: columns and constraints. Who writes what is `ingestion_assets/study/store.py` and `ledger/batches.py`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from resources.postgres.tables.base import metadata, moment, one_of

COLLECTION_STATES = ("pending", "processing", "ready", "failed", "quota_exceeded")
BATCH_STATES = ("pending", "processing", "ready", "ready_partial", "failed", "cancelled", "quota_exceeded")
FINAL_BATCH_STATES = BATCH_STATES[2:]

study_collections = Table(
    "study_collections",
    metadata,
    Column("id", Text, primary_key=True, comment="Opaque; the partition key"),
    # A person's material goes when they go. NULL: the platform itself, from the inbox or the command line.
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE")),
    Column("title", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("partial", Boolean, nullable=False, server_default=text("false"), comment="Something could not be used"),
    Column("errors", JSONB, nullable=False, server_default=text("'[]'"), comment="[{document, code, detail}]"),
    Column("options", JSONB, nullable=False, server_default=text("'{}'")),
    Column(
        "report", JSONB, nullable=False, server_default=text("'{}'"), comment="The figures, as the asset shows them"
    ),
    Column("usage", JSONB, nullable=False, server_default=text("'{}'"), comment="Tokens and cost of the last analysis"),
    moment("not_before"),
    moment("created_at", now=True),
    moment("changed_at", now=True),
    CheckConstraint(one_of("state", *COLLECTION_STATES), name="state"),
    CheckConstraint("id ~ '^[A-Za-z0-9_-]{1,64}$'", name="id"),
    Index("ix_study_collections_user_id", "user_id", text("created_at DESC")),
)
"""One row for each collection."""

study_batches = Table(
    "study_batches",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("sequence", BigInteger, Identity(always=True), nullable=False, comment="Order of arrival"),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE")),
    Column("collection_id", ForeignKey("study_collections.id", ondelete="CASCADE"), nullable=False),
    Column("origin", Text, nullable=False, comment="api, inbox or command"),
    Column("origin_key", Text, comment="What makes asking twice one batch: an idempotency key, or an inbox folder"),
    Column("fingerprint", Text, comment="SHA-256 of what was asked for under origin_key"),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("stage", Text, nullable=False, server_default=text("'received'")),
    Column("progress", JSONB, nullable=False, server_default=text("'{}'")),
    Column("run_id", Text, comment="Dagster run that works on it"),
    Column("launches", Integer, nullable=False, server_default=text("0"), comment="Runs asked for"),
    Column("error_code", Text),
    Column("error_message", Text, comment="For the user"),
    moment("not_before", now=True),
    moment("created_at", now=True),
    moment("started_at"),
    moment("deadline_at"),
    moment("finished_at"),
    CheckConstraint(one_of("state", *BATCH_STATES), name="state"),
    CheckConstraint(f"({one_of('state', *FINAL_BATCH_STATES)}) = (finished_at IS NOT NULL)", name="finished"),
    CheckConstraint(one_of("origin", "api", "inbox", "command"), name="origin"),
    Index("ix_study_batches_open", "not_before", "sequence", postgresql_where=text("finished_at IS NULL")),
    Index("ix_study_batches_user_id", "user_id", text("created_at DESC")),
    Index("ix_study_batches_collection_id", "collection_id"),
    Index(
        "uq_study_batches_origin_key",
        "origin",
        "user_id",
        "origin_key",
        unique=True,
        postgresql_where=text("origin_key IS NOT NULL"),
        postgresql_nulls_not_distinct=True,
    ),
)
"""One row for each set of files that was handed in."""

study_batch_events = Table(
    "study_batch_events",
    metadata,
    Column("batch_id", ForeignKey("study_batches.id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", Integer, primary_key=True, comment="From 1, without gaps: the id of a server-sent event"),
    Column("type", Text, nullable=False),
    Column("payload", JSONB, nullable=False, server_default=text("'{}'"), comment="Counts, never document text"),
    Column("terminal", Boolean, nullable=False, server_default=text("false")),
    moment("at", now=True),
    Index("uq_study_batch_events_terminal", "batch_id", unique=True, postgresql_where=text("terminal")),
)
"""What happened to a batch, append-only. The database allows one terminal event a batch."""

study_documents = Table(
    "study_documents",
    metadata,
    Column("collection_id", ForeignKey("study_collections.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, comment="Order of upload, from 0"),
    Column("document_id", Text, nullable=False, comment="From the SHA-256 of the bytes; twice when uploaded twice"),
    Column("name", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("content", LargeBinary, nullable=False, comment="The file as it came"),
    Column("size", BigInteger, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'pending'")),
    Column("code", Text),
    Column("detail", Text, nullable=False, server_default=text("''")),
    Column("media_type", Text, nullable=False, server_default=text("''")),
    Column("extractor", Text, nullable=False, server_default=text("''"), comment="What made the text"),
    Column("text", Text, nullable=False, server_default=text("''"), comment="Canonical: every offset refers to it"),
    Column("text_sha256", Text, nullable=False, server_default=text("''")),
    Column("page_starts", ARRAY(Integer), nullable=False, server_default=text("'{}'")),
    Column("language", Text),
    moment("extracted_at"),
    Column(
        "file_id",
        ForeignKey("study_files.id", ondelete="CASCADE"),
        comment="Where the bytes are; NULL: in `content`",
    ),
    CheckConstraint(one_of("status", "pending", "ready", "failed", "skipped"), name="status"),
    CheckConstraint("status NOT IN ('failed', 'skipped') OR code IS NOT NULL", name="code"),
    Index("ix_study_documents_document_id", "collection_id", "document_id"),
    Index("ix_study_documents_file_id", "file_id", postgresql_where=text("file_id IS NOT NULL")),
)
"""Files and their canonical text."""

study_chunks = Table(
    "study_chunks",
    metadata,
    Column("collection_id", ForeignKey("study_collections.id", ondelete="CASCADE"), primary_key=True),
    Column("document_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("start_offset", Integer, nullable=False),
    Column("end_offset", Integer, nullable=False),
    Column("words", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("code", Text),
    Column("detail", Text, nullable=False, server_default=text("''")),
    Column("answers", ARRAY(Text), nullable=False, server_default=text("'{}'"), comment="input_hash of each, in order"),
    CheckConstraint(one_of("status", "done", "failed", "skipped"), name="status"),
    CheckConstraint("(status = 'done') = (code IS NULL)", name="code"),
    CheckConstraint("0 <= start_offset AND start_offset < end_offset", name="offsets"),
)
"""How each chunk ended: total = done + failed + skipped."""

study_answers = Table(
    "study_answers",
    metadata,
    Column("collection_id", ForeignKey("study_collections.id", ondelete="CASCADE"), primary_key=True),
    Column("input_hash", Text, primary_key=True, comment="Of rules, schema and prompt"),
    Column("document_id", Text, nullable=False),
    Column("number", Integer, nullable=False, comment="Of the chunk"),
    Column("round", SmallInteger, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("answer", JSONB, nullable=False),
    Column("input_tokens", Integer, nullable=False, server_default=text("0")),
    Column("output_tokens", Integer, nullable=False, server_default=text("0")),
    moment("answered_at", now=True),
    Index("ix_study_answers_document_id", "collection_id", "document_id"),
)
"""Answers as they arrived: what was paid for once is not asked again."""

_ITEM = ("evidence_start < evidence_end AND evidence_start >= 0", "length(quote) = evidence_end - evidence_start")


def _item_columns() -> list[Column[object]]:
    return [
        Column("collection_id", ForeignKey("study_collections.id", ondelete="CASCADE"), primary_key=True),
        Column("id", Text, primary_key=True, comment="Stable over reruns; exported note ids are made from it"),
        Column("document_id", Text, nullable=False),
        Column("chunk", Integer, nullable=False),
        Column("position", Integer, nullable=False, comment="Order in the collection"),
        Column("difficulty", Text, nullable=False),
        Column("flags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
        Column("page", Integer),
        Column("evidence_start", Integer, nullable=False),
        Column("evidence_end", Integer, nullable=False),
        Column("quote", Text, nullable=False),
        moment("created_at", now=True),
        moment("changed_at", now=True),
    ]


study_cards = Table(
    "study_cards",
    metadata,
    *_item_columns(),
    Column("kind", Text, nullable=False),
    Column("front", Text, nullable=False),
    Column("back", Text, nullable=False),
    CheckConstraint(one_of("kind", "basic", "cloze"), name="kind"),
    CheckConstraint(one_of("difficulty", "easy", "medium", "hard"), name="difficulty"),
    CheckConstraint(" AND ".join(_ITEM), name="evidence"),
    Index("ix_study_cards_document_id", "collection_id", "document_id"),
)
"""Flashcards that passed every check."""

study_questions = Table(
    "study_questions",
    metadata,
    *_item_columns(),
    Column("stem", Text, nullable=False),
    Column("options", ARRAY(Text), nullable=False),
    Column("key", SmallInteger, nullable=False, comment="Index of the right option, from 0"),
    Column("explanation", Text, nullable=False),
    CheckConstraint(one_of("difficulty", "easy", "medium", "hard"), name="difficulty"),
    CheckConstraint("cardinality(options) BETWEEN 3 AND 5 AND key >= 0 AND key < cardinality(options)", name="options"),
    CheckConstraint(" AND ".join(_ITEM), name="evidence"),
    Index("ix_study_questions_document_id", "collection_id", "document_id"),
)
"""Quiz questions that passed every check."""
