"""Raw events, deduplicated events and their tags."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from resources.postgres.tables.base import metadata, moment, one_of

_PRECISION = one_of("precision", "datetime", "date", "tba")
_STATUS = one_of("status", "scheduled", "tentative", "rescheduled", "postponed", "cancelled")

raw_events = Table(
    "raw_events",
    metadata,
    Column("source", Text, primary_key=True),
    Column("source_id", Text, primary_key=True),
    Column("content_hash", LargeBinary, nullable=False, comment="XXH3-128 of the payload less volatile paths"),
    Column("record_version", SmallInteger, nullable=False, comment="Version of the parser that read it"),
    Column("week", Date, comment="Partition: Monday of the local start date; NULL until dated"),
    Column("local_date", Date),
    Column("start_local", DateTime(timezone=False), comment="Wall clock at the venue; NULL when only a day is known"),
    moment("start_at"),
    Column("timezone", Text),
    Column("precision", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("event", JSONB, nullable=False, comment="The normalised event"),
    Column("payload", JSONB, nullable=False, comment="The record as the source gave it"),
    moment("first_seen_at", now=True),
    moment("changed_at", now=True),
    moment("withdrawn_at"),
    Column("first_job", BigInteger, nullable=False),
    Column("last_change_job", BigInteger, nullable=False),
    CheckConstraint("octet_length(content_hash) = 16", name="content_hash"),
    CheckConstraint(_PRECISION, name="precision"),
    CheckConstraint(_STATUS, name="status"),
    CheckConstraint("(precision = 'tba') = (local_date IS NULL)", name="dated"),
    CheckConstraint("(week IS NULL) = (local_date IS NULL)", name="week"),
    Index("ix_raw_events_local_date", "local_date"),
    Index("ix_raw_events_source_week", "source", "week"),
)
"""What each source says now. Wide, and written only when a record is new or has changed."""

raw_events_seen = Table(
    "raw_events_seen",
    metadata,
    Column("source", Text, primary_key=True),
    Column("source_id", Text, primary_key=True),
    Column("last_job", BigInteger, nullable=False),
    Column("last_attempt", Integer, nullable=False),
    ForeignKeyConstraint(["source", "source_id"], ["raw_events.source", "raw_events.source_id"], ondelete="CASCADE"),
    # Rewritten by every pass: room on each page keeps the updates away from the index.
    postgresql_with={"fillfactor": "70"},
)
"""Who saw a record last. Narrow on purpose: an unchanged pass writes here and leaves the wide table alone."""

rejected_records = Table(
    "rejected_records",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("job_id", ForeignKey("import_jobs.id", ondelete="CASCADE"), nullable=False),
    Column("source", Text, nullable=False),
    Column("week", Date, nullable=False, comment="The partition that counts it"),
    Column("source_id", Text),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("payload", JSONB),
    moment("rejected_at", now=True),
    Index("ix_rejected_records_job_id", "job_id"),
    Index("ix_rejected_records_source", "source", text("rejected_at DESC")),
)
"""Records that could not be stored as events, each with its reason."""

deduplicated_events = Table(
    "deduplicated_events",
    metadata,
    Column("event_id", Text, primary_key=True, comment="Opaque, stable, never reused"),
    Column("week", Date, nullable=False),
    Column("local_date", Date, nullable=False),
    Column("start_local", DateTime(timezone=False)),
    moment("start_at"),
    Column("timezone", Text),
    Column("precision", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("venue_name", Text),
    Column("city", Text),
    Column("event", JSONB, nullable=False, comment="The fields that survived"),
    Column("provenance", JSONB, nullable=False, comment="For each field, the record that it came from"),
    Column("nb_sources", Integer, nullable=False, comment="Distinct sources that list the event"),
    Column("nb_records", Integer, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    moment("created_at", now=True),
    moment("changed_at", now=True),
    moment("withdrawn_at"),
    Column("replaced_by", Text, ForeignKey("deduplicated_events.event_id"), comment="The event it was merged into"),
    Column("split_from", Text, ForeignKey("deduplicated_events.event_id"), comment="The event it was part of"),
    Column("first_job", BigInteger, nullable=False),
    Column("last_change_job", BigInteger, nullable=False),
    CheckConstraint(_PRECISION, name="precision"),
    CheckConstraint(_STATUS, name="status"),
    CheckConstraint("replaced_by <> event_id", name="replaced_by"),
    Index("ix_deduplicated_events_week", "week"),
    Index("ix_deduplicated_events_replaced_by", "replaced_by", postgresql_where=text("replaced_by IS NOT NULL")),
)
"""One row for each real event. Rows are never deleted: an id that was given out keeps leading somewhere."""

event_links = Table(
    "event_links",
    metadata,
    Column("source", Text, primary_key=True),
    Column("source_id", Text, primary_key=True),
    Column("event_id", ForeignKey("deduplicated_events.event_id"), nullable=False),
    Column("score", Double, nullable=False, comment="Probability of the best edge that holds the record in its event"),
    Column("reasons", JSONB, nullable=False),
    moment("since", now=True),
    ForeignKeyConstraint(["source", "source_id"], ["raw_events.source", "raw_events.source_id"], ondelete="CASCADE"),
    Index("ix_event_links_event_id", "event_id"),
)
"""Which event each raw record belongs to, and why."""

corpus_statistics = Table(
    "corpus_statistics",
    metadata,
    Column("version", Text, primary_key=True, comment="Digest of the snapshot"),
    Column("snapshot", Text, nullable=False, comment="JSON, byte for byte as it was learned"),
    Column("records", BigInteger, nullable=False, comment="Records that it was learned from"),
    moment("learned_at", now=True),
    moment("adopted_at"),
    Column("adopted_by", Text),
    CheckConstraint("(adopted_at IS NULL) = (adopted_by IS NULL)", name="adopted"),
    Index("uq_corpus_statistics_adopted", text("(true)"), unique=True, postgresql_where=text("adopted_at IS NOT NULL")),
)
"""What deduplication knows of words, venues and clocks in general. One snapshot is adopted, or the shipped one is used."""

deduplication_weeks = Table(
    "deduplication_weeks",
    metadata,
    Column("week", Date, primary_key=True),
    Column("input_hash", Text, nullable=False, comment="Fingerprint of the records, overrides and versions resolved"),
    Column("job_id", BigInteger, nullable=False),
    moment("resolved_at", now=True),
)
"""What each week was resolved from. A week whose fingerprint differs is dirty; nothing else needs to be remembered."""

match_overrides = Table(
    "match_overrides",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("a_source", Text, nullable=False),
    Column("a_id", Text, nullable=False),
    Column("b_source", Text, nullable=False),
    Column("b_id", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("decided_by", Text, nullable=False),
    moment("decided_at", now=True),
    Column("why", Text, nullable=False),
    CheckConstraint(one_of("decision", "merge", "split"), name="decision"),
    # One decision a pair, whichever way round it is written.
    CheckConstraint("(a_source, a_id) < (b_source, b_id)", name="ordered"),
    Index("uq_match_overrides_pair", "a_source", "a_id", "b_source", "b_id", unique=True),
)
"""What people decided about pairs of records. Keyed by source ids, so it outlives every rebuild."""

match_reviews = Table(
    "match_reviews",
    metadata,
    Column("a_source", Text, primary_key=True),
    Column("a_id", Text, primary_key=True),
    Column("b_source", Text, primary_key=True),
    Column("b_id", Text, primary_key=True),
    Column("week", Date, nullable=False),
    Column("score", Double, nullable=False),
    Column("outcome", Text, nullable=False, comment="What was done without a person: merged, kept apart or refused"),
    Column("reasons", JSONB, nullable=False),
    moment("found_at", now=True),
    Index("ix_match_reviews_week", "week"),
)
"""Pairs that a person should look at. Rebuilt with its week; a pair with an override is no longer in it."""

tag_answers = Table(
    "tag_answers",
    metadata,
    Column("model", Text, primary_key=True),
    Column("prompt_version", Text, primary_key=True),
    Column("taxonomy_version", Text, primary_key=True),
    Column("input_hash", Text, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("tags", JSONB, nullable=False),
    Column("explanation", JSONB, comment="Which rule or term gave each tag, where the provider can say"),
    moment("answered_at", now=True),
)
"""Every answer that was ever given or paid for, by what it depends on. Equal texts are asked once."""

tag_enrichments = Table(
    "tag_enrichments",
    metadata,
    Column("event_id", ForeignKey("deduplicated_events.event_id", ondelete="CASCADE"), primary_key=True),
    Column("week", Date, nullable=False),
    Column("status", Text, nullable=False),
    Column("input_hash", Text, nullable=False),
    Column("prompt_version", Text, nullable=False),
    Column("taxonomy_version", Text, nullable=False),
    Column("provider", Text),
    Column("model", Text),
    Column("type", Text),
    Column("genres", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("ambiance", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("audience", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("explanation", JSONB),
    Column("error_code", Text, comment="Why it is pending or failed; `quota_exceeded` where a quota was the cause"),
    Column("error_text", Text),
    moment("not_before"),
    moment("created_at", now=True),
    moment("changed_at", now=True),
    Column("first_job", BigInteger, nullable=False),
    Column("last_change_job", BigInteger, nullable=False),
    CheckConstraint(one_of("status", "pending", "done", "error"), name="status"),
    CheckConstraint("status <> 'done' OR type IS NOT NULL", name="done"),
    CheckConstraint("status <> 'error' OR error_code IS NOT NULL", name="error"),
    Index("ix_tag_enrichments_week", "week"),
    Index("ix_tag_enrichments_pending", "not_before", postgresql_where=text("status = 'pending'")),
)
"""The tags of each event, or why it has none yet."""
