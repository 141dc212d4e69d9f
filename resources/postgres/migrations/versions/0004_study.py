"""Study collections, batches, documents, chunks, answers and items."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "study_collections",
        sa.Column("id", sa.Text(), nullable=False, comment="Opaque; the partition key"),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column(
            "partial",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Something could not be used",
        ),
        sa.Column(
            "errors",
            postgresql.JSONB(),
            server_default=sa.text("'[]'"),
            nullable=False,
            comment="[{document, code, detail}]",
        ),
        sa.Column("options", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "report",
            postgresql.JSONB(),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="The figures, as the asset shows them",
        ),
        sa.Column(
            "usage",
            postgresql.JSONB(),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="Tokens and cost of the last analysis",
        ),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("id ~ '^[A-Za-z0-9_-]{1,64}$'", name=op.f("ck_study_collections_id")),
        sa.CheckConstraint(
            "state IN ('pending', 'processing', 'ready', 'failed', 'quota_exceeded')",
            name=op.f("ck_study_collections_state"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_study_collections_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study_collections")),
    )
    op.create_index(
        "ix_study_collections_user_id",
        "study_collections",
        ["user_id", sa.literal_column("created_at DESC")],
        unique=False,
    )
    op.create_table(
        "study_answers",
        sa.Column("collection_id", sa.Text(), nullable=False),
        sa.Column("input_hash", sa.Text(), nullable=False, comment="Of rules, schema and prompt"),
        sa.Column("document_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="Of the chunk"),
        sa.Column("round", sa.SmallInteger(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("answer", postgresql.JSONB(), nullable=False),
        sa.Column("input_tokens", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("output_tokens", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["study_collections.id"],
            name=op.f("fk_study_answers_collection_id_study_collections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("collection_id", "input_hash", name=op.f("pk_study_answers")),
    )
    op.create_index("ix_study_answers_document_id", "study_answers", ["collection_id", "document_id"], unique=False)
    op.create_table(
        "study_batches",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order of arrival"),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("collection_id", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False, comment="api, inbox or command"),
        sa.Column(
            "origin_key",
            sa.Text(),
            nullable=True,
            comment="What makes asking twice one batch: an idempotency key, or an inbox folder",
        ),
        sa.Column("fingerprint", sa.Text(), nullable=True, comment="SHA-256 of what was asked for under origin_key"),
        sa.Column("state", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("stage", sa.Text(), server_default=sa.text("'received'"), nullable=False),
        sa.Column("progress", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True, comment="Dagster run that works on it"),
        sa.Column("launches", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="Runs asked for"),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True, comment="For the user"),
        sa.Column("not_before", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state IN ('ready', 'ready_partial', 'failed', 'cancelled', 'quota_exceeded')) = (finished_at IS NOT NULL)",
            name=op.f("ck_study_batches_finished"),
        ),
        sa.CheckConstraint("origin IN ('api', 'inbox', 'command')", name=op.f("ck_study_batches_origin")),
        sa.CheckConstraint(
            "state IN ('pending', 'processing', 'ready', 'ready_partial', 'failed', 'cancelled', 'quota_exceeded')",
            name=op.f("ck_study_batches_state"),
        ),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["study_collections.id"],
            name=op.f("fk_study_batches_collection_id_study_collections"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_study_batches_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study_batches")),
    )
    op.create_index("ix_study_batches_collection_id", "study_batches", ["collection_id"], unique=False)
    op.create_index(
        "ix_study_batches_open",
        "study_batches",
        ["not_before", "sequence"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index(
        "ix_study_batches_user_id", "study_batches", ["user_id", sa.literal_column("created_at DESC")], unique=False
    )
    op.create_index(
        "uq_study_batches_origin_key",
        "study_batches",
        ["origin", "user_id", "origin_key"],
        unique=True,
        postgresql_where=sa.text("origin_key IS NOT NULL"),
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "study_cards",
        sa.Column("collection_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False, comment="Stable over reruns; exported note ids are made from it"),
        sa.Column("document_id", sa.Text(), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="Order in the collection"),
        sa.Column("difficulty", sa.Text(), nullable=False),
        sa.Column("flags", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("page", sa.Integer(), nullable=True),
        sa.Column("evidence_start", sa.Integer(), nullable=False),
        sa.Column("evidence_end", sa.Integer(), nullable=False),
        sa.Column("quote", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("front", sa.Text(), nullable=False),
        sa.Column("back", sa.Text(), nullable=False),
        sa.CheckConstraint("difficulty IN ('easy', 'medium', 'hard')", name=op.f("ck_study_cards_difficulty")),
        sa.CheckConstraint("kind IN ('basic', 'cloze')", name=op.f("ck_study_cards_kind")),
        sa.CheckConstraint(
            "evidence_start < evidence_end AND evidence_start >= 0 AND length(quote) = evidence_end - evidence_start",
            name=op.f("ck_study_cards_evidence"),
        ),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["study_collections.id"],
            name=op.f("fk_study_cards_collection_id_study_collections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("collection_id", "id", name=op.f("pk_study_cards")),
    )
    op.create_index("ix_study_cards_document_id", "study_cards", ["collection_id", "document_id"], unique=False)
    op.create_table(
        "study_chunks",
        sa.Column("collection_id", sa.Text(), nullable=False),
        sa.Column("document_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("start_offset", sa.Integer(), nullable=False),
        sa.Column("end_offset", sa.Integer(), nullable=False),
        sa.Column("words", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column(
            "answers",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="input_hash of each, in order",
        ),
        sa.CheckConstraint("(status = 'done') = (code IS NULL)", name=op.f("ck_study_chunks_code")),
        sa.CheckConstraint("status IN ('done', 'failed', 'skipped')", name=op.f("ck_study_chunks_status")),
        sa.CheckConstraint("0 <= start_offset AND start_offset < end_offset", name=op.f("ck_study_chunks_offsets")),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["study_collections.id"],
            name=op.f("fk_study_chunks_collection_id_study_collections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("collection_id", "document_id", "number", name=op.f("pk_study_chunks")),
    )
    op.create_table(
        "study_documents",
        sa.Column("collection_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="Order of upload, from 0"),
        sa.Column(
            "document_id", sa.Text(), nullable=False, comment="From the SHA-256 of the bytes; twice when uploaded twice"
        ),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="The file as it came"),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("media_type", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("extractor", sa.Text(), server_default=sa.text("''"), nullable=False, comment="What made the text"),
        sa.Column(
            "text",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="Canonical: every offset refers to it",
        ),
        sa.Column("text_sha256", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("page_starts", postgresql.ARRAY(sa.Integer()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("extracted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'ready', 'failed', 'skipped')", name=op.f("ck_study_documents_status")
        ),
        sa.CheckConstraint(
            "status NOT IN ('failed', 'skipped') OR code IS NOT NULL", name=op.f("ck_study_documents_code")
        ),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["study_collections.id"],
            name=op.f("fk_study_documents_collection_id_study_collections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("collection_id", "position", name=op.f("pk_study_documents")),
    )
    op.create_index("ix_study_documents_document_id", "study_documents", ["collection_id", "document_id"], unique=False)
    op.create_table(
        "study_questions",
        sa.Column("collection_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False, comment="Stable over reruns; exported note ids are made from it"),
        sa.Column("document_id", sa.Text(), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="Order in the collection"),
        sa.Column("difficulty", sa.Text(), nullable=False),
        sa.Column("flags", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("page", sa.Integer(), nullable=True),
        sa.Column("evidence_start", sa.Integer(), nullable=False),
        sa.Column("evidence_end", sa.Integer(), nullable=False),
        sa.Column("quote", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("stem", sa.Text(), nullable=False),
        sa.Column("options", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("key", sa.SmallInteger(), nullable=False, comment="Index of the right option, from 0"),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.CheckConstraint("difficulty IN ('easy', 'medium', 'hard')", name=op.f("ck_study_questions_difficulty")),
        sa.CheckConstraint(
            "cardinality(options) BETWEEN 3 AND 5 AND key >= 0 AND key < cardinality(options)",
            name=op.f("ck_study_questions_options"),
        ),
        sa.CheckConstraint(
            "evidence_start < evidence_end AND evidence_start >= 0 AND length(quote) = evidence_end - evidence_start",
            name=op.f("ck_study_questions_evidence"),
        ),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["study_collections.id"],
            name=op.f("fk_study_questions_collection_id_study_collections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("collection_id", "id", name=op.f("pk_study_questions")),
    )
    op.create_index("ix_study_questions_document_id", "study_questions", ["collection_id", "document_id"], unique=False)
    op.create_table(
        "study_batch_events",
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column(
            "sequence", sa.Integer(), nullable=False, comment="From 1, without gaps: the id of a server-sent event"
        ),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column(
            "payload",
            postgresql.JSONB(),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="Counts, never document text",
        ),
        sa.Column("terminal", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["study_batches.id"],
            name=op.f("fk_study_batch_events_batch_id_study_batches"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("batch_id", "sequence", name=op.f("pk_study_batch_events")),
    )
    op.create_index(
        "uq_study_batch_events_terminal",
        "study_batch_events",
        ["batch_id"],
        unique=True,
        postgresql_where=sa.text("terminal"),
    )


def downgrade() -> None:
    op.drop_index(
        "uq_study_batch_events_terminal", table_name="study_batch_events", postgresql_where=sa.text("terminal")
    )
    op.drop_table("study_batch_events")
    op.drop_index("ix_study_questions_document_id", table_name="study_questions")
    op.drop_table("study_questions")
    op.drop_index("ix_study_documents_document_id", table_name="study_documents")
    op.drop_table("study_documents")
    op.drop_table("study_chunks")
    op.drop_index("ix_study_cards_document_id", table_name="study_cards")
    op.drop_table("study_cards")
    op.drop_index(
        "uq_study_batches_origin_key",
        table_name="study_batches",
        postgresql_where=sa.text("origin_key IS NOT NULL"),
        postgresql_nulls_not_distinct=True,
    )
    op.drop_index("ix_study_batches_user_id", table_name="study_batches")
    op.drop_index("ix_study_batches_open", table_name="study_batches", postgresql_where=sa.text("finished_at IS NULL"))
    op.drop_index("ix_study_batches_collection_id", table_name="study_batches")
    op.drop_table("study_batches")
    op.drop_index("ix_study_answers_document_id", table_name="study_answers")
    op.drop_table("study_answers")
    op.drop_index("ix_study_collections_user_id", table_name="study_collections")
    op.drop_table("study_collections")
