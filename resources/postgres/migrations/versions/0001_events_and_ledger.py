"""Events and the ledger of imports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deduplicated_events",
        sa.Column("event_id", sa.Text(), nullable=False, comment="Opaque, stable, never reused"),
        sa.Column("week", sa.Date(), nullable=False),
        sa.Column("local_date", sa.Date(), nullable=False),
        sa.Column("start_local", sa.DateTime(), nullable=True),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("precision", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("venue_name", sa.Text(), nullable=True),
        sa.Column("city", sa.Text(), nullable=True),
        sa.Column("event", postgresql.JSONB(), nullable=False, comment="The fields that survived"),
        sa.Column(
            "provenance", postgresql.JSONB(), nullable=False, comment="For each field, the record that it came from"
        ),
        sa.Column("nb_sources", sa.Integer(), nullable=False, comment="Distinct sources that list the event"),
        sa.Column("nb_records", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replaced_by", sa.Text(), nullable=True, comment="The event it was merged into"),
        sa.Column("split_from", sa.Text(), nullable=True, comment="The event it was part of"),
        sa.Column("first_job", sa.BigInteger(), nullable=False),
        sa.Column("last_change_job", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("precision IN ('datetime', 'date', 'tba')", name=op.f("ck_deduplicated_events_precision")),
        sa.CheckConstraint(
            "status IN ('scheduled', 'tentative', 'rescheduled', 'postponed', 'cancelled')",
            name=op.f("ck_deduplicated_events_status"),
        ),
        sa.CheckConstraint("replaced_by <> event_id", name=op.f("ck_deduplicated_events_replaced_by")),
        sa.ForeignKeyConstraint(
            ["replaced_by"],
            ["deduplicated_events.event_id"],
            name=op.f("fk_deduplicated_events_replaced_by_deduplicated_events"),
        ),
        sa.ForeignKeyConstraint(
            ["split_from"],
            ["deduplicated_events.event_id"],
            name=op.f("fk_deduplicated_events_split_from_deduplicated_events"),
        ),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_deduplicated_events")),
    )
    op.create_index(
        "ix_deduplicated_events_replaced_by",
        "deduplicated_events",
        ["replaced_by"],
        unique=False,
        postgresql_where=sa.text("replaced_by IS NOT NULL"),
    )
    op.create_index("ix_deduplicated_events_week", "deduplicated_events", ["week"], unique=False)
    op.create_table(
        "deduplication_weeks",
        sa.Column("week", sa.Date(), nullable=False),
        sa.Column(
            "input_hash",
            sa.Text(),
            nullable=False,
            comment="Fingerprint of the records, overrides and versions resolved",
        ),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("week", name=op.f("pk_deduplication_weeks")),
    )
    op.create_table(
        "http_cache",
        sa.Column("url_key", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("last_modified", sa.Text(), nullable=True),
        sa.Column("content_type", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("url_key", name=op.f("pk_http_cache")),
    )
    op.create_table(
        "import_jobs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="Source of raw events, or the asset that was written"),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False, comment="Dagster run"),
        sa.Column(
            "attempt",
            sa.Integer(),
            server_default=sa.text("1"),
            nullable=False,
            comment="Grows when the step is retried",
        ),
        sa.Column(
            "attempt_token", sa.Uuid(), nullable=False, comment="Held by the only writer whose pages are accepted"
        ),
        sa.Column("partition_start", sa.Date(), nullable=True, comment="First week of the range"),
        sa.Column("partition_end", sa.Date(), nullable=True, comment="Last week of the range, inclusive"),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("progress_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "pages",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Batches committed by this attempt",
        ),
        sa.Column("nb_created", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("nb_updated", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("nb_skipped", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("nb_errors", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "nb_fetched",
            sa.Integer(),
            sa.Computed("nb_created + nb_updated + nb_skipped + nb_errors", persisted=True),
            nullable=True,
            comment="Derived, so that the identity cannot drift",
        ),
        sa.Column("nb_withdrawn", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "nb_refused",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Late writes that were refused",
        ),
        sa.Column(
            "errors",
            postgresql.JSONB(),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="Rejected records by reason",
        ),
        sa.Column("warnings", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_text", sa.Text(), nullable=True),
        sa.Column(
            "duration",
            sa.Double(),
            sa.Computed("extract(epoch FROM finished_at - started_at)", persisted=True),
            nullable=True,
            comment="Seconds",
        ),
        sa.CheckConstraint("(status = 'RUNNING') = (finished_at IS NULL)", name=op.f("ck_import_jobs_finished")),
        sa.CheckConstraint("status IN ('RUNNING', 'SUCCESS', 'ERROR')", name=op.f("ck_import_jobs_status")),
        sa.CheckConstraint(
            "least(nb_created, nb_updated, nb_skipped, nb_errors) >= 0", name=op.f("ck_import_jobs_counts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_jobs")),
    )
    op.create_index(
        "ix_import_jobs_started", "import_jobs", ["source", sa.literal_column("started_at DESC")], unique=False
    )
    op.create_index("uq_import_jobs_run", "import_jobs", ["source", "run_id"], unique=True)
    op.create_index(
        "uq_import_jobs_running", "import_jobs", ["source"], unique=True, postgresql_where=sa.text("status = 'RUNNING'")
    )
    op.create_table(
        "match_overrides",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("a_source", sa.Text(), nullable=False),
        sa.Column("a_id", sa.Text(), nullable=False),
        sa.Column("b_source", sa.Text(), nullable=False),
        sa.Column("b_id", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.CheckConstraint("decision IN ('merge', 'split')", name=op.f("ck_match_overrides_decision")),
        sa.CheckConstraint("(a_source, a_id) < (b_source, b_id)", name=op.f("ck_match_overrides_ordered")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_match_overrides")),
    )
    op.create_index("uq_match_overrides_pair", "match_overrides", ["a_source", "a_id", "b_source", "b_id"], unique=True)
    op.create_table(
        "match_reviews",
        sa.Column("a_source", sa.Text(), nullable=False),
        sa.Column("a_id", sa.Text(), nullable=False),
        sa.Column("b_source", sa.Text(), nullable=False),
        sa.Column("b_id", sa.Text(), nullable=False),
        sa.Column("week", sa.Date(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column(
            "outcome",
            sa.Text(),
            nullable=False,
            comment="What was done without a person: merged, kept apart or refused",
        ),
        sa.Column("reasons", postgresql.JSONB(), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("a_source", "a_id", "b_source", "b_id", name=op.f("pk_match_reviews")),
    )
    op.create_index("ix_match_reviews_week", "match_reviews", ["week"], unique=False)
    op.create_table(
        "raw_events",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column(
            "content_hash", sa.LargeBinary(), nullable=False, comment="XXH3-128 of the payload less volatile paths"
        ),
        sa.Column("record_version", sa.SmallInteger(), nullable=False, comment="Version of the parser that read it"),
        sa.Column(
            "week", sa.Date(), nullable=True, comment="Partition: Monday of the local start date; NULL until dated"
        ),
        sa.Column("local_date", sa.Date(), nullable=True),
        sa.Column(
            "start_local",
            sa.DateTime(),
            nullable=True,
            comment="Wall clock at the venue; NULL when only a day is known",
        ),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("precision", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("event", postgresql.JSONB(), nullable=False, comment="The normalised event"),
        sa.Column("payload", postgresql.JSONB(), nullable=False, comment="The record as the source gave it"),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_job", sa.BigInteger(), nullable=False),
        sa.Column("last_change_job", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(precision = 'tba') = (local_date IS NULL)", name=op.f("ck_raw_events_dated")),
        sa.CheckConstraint("precision IN ('datetime', 'date', 'tba')", name=op.f("ck_raw_events_precision")),
        sa.CheckConstraint(
            "status IN ('scheduled', 'tentative', 'rescheduled', 'postponed', 'cancelled')",
            name=op.f("ck_raw_events_status"),
        ),
        sa.CheckConstraint("(week IS NULL) = (local_date IS NULL)", name=op.f("ck_raw_events_week")),
        sa.CheckConstraint("octet_length(content_hash) = 16", name=op.f("ck_raw_events_content_hash")),
        sa.PrimaryKeyConstraint("source", "source_id", name=op.f("pk_raw_events")),
    )
    op.create_index("ix_raw_events_local_date", "raw_events", ["local_date"], unique=False)
    op.create_index("ix_raw_events_source_week", "raw_events", ["source", "week"], unique=False)
    op.create_table(
        "request_budgets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.CheckConstraint("period IN ('hour', 'day')", name=op.f("ck_request_budgets_period")),
        sa.PrimaryKeyConstraint("name", "period", "period_start", name=op.f("pk_request_budgets")),
    )
    op.create_table(
        "tag_answers",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("prompt_version", sa.Text(), nullable=False),
        sa.Column("taxonomy_version", sa.Text(), nullable=False),
        sa.Column("input_hash", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("tags", postgresql.JSONB(), nullable=False),
        sa.Column(
            "explanation",
            postgresql.JSONB(),
            nullable=True,
            comment="Which rule or term gave each tag, where the provider can say",
        ),
        sa.Column("answered_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint(
            "model", "prompt_version", "taxonomy_version", "input_hash", name=op.f("pk_tag_answers")
        ),
    )
    op.create_table(
        "event_links",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column(
            "score",
            sa.Double(),
            nullable=False,
            comment="Probability of the best edge that holds the record in its event",
        ),
        sa.Column("reasons", postgresql.JSONB(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"], ["deduplicated_events.event_id"], name=op.f("fk_event_links_event_id_deduplicated_events")
        ),
        sa.ForeignKeyConstraint(
            ["source", "source_id"],
            ["raw_events.source", "raw_events.source_id"],
            name=op.f("fk_event_links_source_source_id_raw_events"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("source", "source_id", name=op.f("pk_event_links")),
    )
    op.create_index("ix_event_links_event_id", "event_links", ["event_id"], unique=False)
    op.create_table(
        "import_job_partitions",
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("week", sa.Date(), nullable=False),
        sa.Column("nb_created", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("nb_updated", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("nb_skipped", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("nb_errors", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["import_jobs.id"], name=op.f("fk_import_job_partitions_job_id_import_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "week", name=op.f("pk_import_job_partitions")),
    )
    op.create_table(
        "raw_events_seen",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("last_job", sa.BigInteger(), nullable=False),
        sa.Column("last_attempt", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["source", "source_id"],
            ["raw_events.source", "raw_events.source_id"],
            name=op.f("fk_raw_events_seen_source_source_id_raw_events"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("source", "source_id", name=op.f("pk_raw_events_seen")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "rejected_records",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("week", sa.Date(), nullable=False, comment="The partition that counts it"),
        sa.Column("source_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(), nullable=True),
        sa.Column("rejected_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["import_jobs.id"], name=op.f("fk_rejected_records_job_id_import_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejected_records")),
    )
    op.create_index("ix_rejected_records_job_id", "rejected_records", ["job_id"], unique=False)
    op.create_index(
        "ix_rejected_records_source",
        "rejected_records",
        ["source", sa.literal_column("rejected_at DESC")],
        unique=False,
    )
    op.create_table(
        "tag_enrichments",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("week", sa.Date(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("input_hash", sa.Text(), nullable=False),
        sa.Column("prompt_version", sa.Text(), nullable=False),
        sa.Column("taxonomy_version", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("genres", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("ambiance", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("audience", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("explanation", postgresql.JSONB(), nullable=True),
        sa.Column(
            "error_code",
            sa.Text(),
            nullable=True,
            comment="Why it is pending or failed; `quota_exceeded` where a quota was the cause",
        ),
        sa.Column("error_text", sa.Text(), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("first_job", sa.BigInteger(), nullable=False),
        sa.Column("last_change_job", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("status <> 'done' OR type IS NOT NULL", name=op.f("ck_tag_enrichments_done")),
        sa.CheckConstraint("status <> 'error' OR error_code IS NOT NULL", name=op.f("ck_tag_enrichments_error")),
        sa.CheckConstraint("status IN ('pending', 'done', 'error')", name=op.f("ck_tag_enrichments_status")),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["deduplicated_events.event_id"],
            name=op.f("fk_tag_enrichments_event_id_deduplicated_events"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_tag_enrichments")),
    )
    op.create_index(
        "ix_tag_enrichments_pending",
        "tag_enrichments",
        ["not_before"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index("ix_tag_enrichments_week", "tag_enrichments", ["week"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_tag_enrichments_week", table_name="tag_enrichments")
    op.drop_index(
        "ix_tag_enrichments_pending", table_name="tag_enrichments", postgresql_where=sa.text("status = 'pending'")
    )
    op.drop_table("tag_enrichments")
    op.drop_index("ix_rejected_records_source", table_name="rejected_records")
    op.drop_index("ix_rejected_records_job_id", table_name="rejected_records")
    op.drop_table("rejected_records")
    op.drop_table("raw_events_seen")
    op.drop_table("import_job_partitions")
    op.drop_index("ix_event_links_event_id", table_name="event_links")
    op.drop_table("event_links")
    op.drop_table("tag_answers")
    op.drop_table("request_budgets")
    op.drop_index("ix_raw_events_source_week", table_name="raw_events")
    op.drop_index("ix_raw_events_local_date", table_name="raw_events")
    op.drop_table("raw_events")
    op.drop_index("ix_match_reviews_week", table_name="match_reviews")
    op.drop_table("match_reviews")
    op.drop_index("uq_match_overrides_pair", table_name="match_overrides")
    op.drop_table("match_overrides")
    op.drop_index("uq_import_jobs_running", table_name="import_jobs", postgresql_where=sa.text("status = 'RUNNING'"))
    op.drop_index("uq_import_jobs_run", table_name="import_jobs")
    op.drop_index("ix_import_jobs_started", table_name="import_jobs")
    op.drop_table("import_jobs")
    op.drop_table("http_cache")
    op.drop_table("deduplication_weeks")
    op.drop_index("ix_deduplicated_events_week", table_name="deduplicated_events")
    op.drop_index(
        "ix_deduplicated_events_replaced_by",
        table_name="deduplicated_events",
        postgresql_where=sa.text("replaced_by IS NOT NULL"),
    )
    op.drop_table("deduplicated_events")
