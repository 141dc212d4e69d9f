"""What the HTTP service remembers: tokens, sessions, rates, answers to repeated requests, launches, quotas.

Belongs here: columns and constraints. Users and jobs are in `jobs.py`, batches and their documents in `study.py`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from resources.postgres.tables.base import metadata, moment, one_of
from resources.postgres.tables.events import deduplicated_events

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("prefix", Text, primary_key=True, comment="First part of the token: finds the row, opens nothing"),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("secret_hash", LargeBinary, nullable=False, comment="SHA-256 of the second part, which is 256 random bits"),
    Column("role", Text, nullable=False),
    Column("label", Text, nullable=False, server_default=text("''"), comment="For people: what uses it"),
    moment("created_at", now=True),
    moment("expires_at"),
    moment("revoked_at"),
    CheckConstraint(one_of("role", "user", "admin"), name="role"),
    CheckConstraint("octet_length(secret_hash) = 32", name="secret_hash"),
    Index("ix_api_tokens_user_id", "user_id"),
)
"""Who may call. The token itself is shown once, when it is made."""

api_sessions = Table(
    "api_sessions",
    metadata,
    Column("id_hash", LargeBinary, primary_key=True, comment="SHA-256 of the cookie"),
    Column("prefix", ForeignKey("api_tokens.prefix", ondelete="CASCADE"), nullable=False),
    moment("created_at", now=True),
    moment("expires_at", nullable=False),
    Index("ix_api_sessions_prefix", "prefix"),
)
"""Browsers signed in with a token. Revoking the token ends them."""

api_rates = Table(
    "api_rates",
    metadata,
    Column("subject", Text, primary_key=True, comment="`user:<id>` or `address:<ip>`"),
    Column("tokens", Double, nullable=False, comment="Requests saved up at `at`"),
    moment("at", nullable=False),
    # Rewritten by every request; nothing but the key is indexed, so updates stay on their page.
    postgresql_with={"fillfactor": "50"},
)
"""A token bucket for each caller, shared by all processes of the service."""

api_answers = Table(
    "api_answers",
    metadata,
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True, comment="Idempotency-Key"),
    Column("fingerprint", LargeBinary, nullable=False, comment="SHA-256 of method, path and payload"),
    Column("status", SmallInteger, comment="NULL while the first request is under way"),
    Column("headers", JSONB),
    Column("body", JSONB),
    moment("created_at", now=True),
    moment("locked_until", nullable=False),
    CheckConstraint("octet_length(fingerprint) = 32", name="fingerprint"),
    CheckConstraint("(status IS NULL) = (body IS NULL)", name="answered"),
    Index("ix_api_answers_created_at", "created_at"),
)
"""What was answered to requests with an Idempotency-Key, so that a repeat gets the same and does nothing."""

run_launches = Table(
    "run_launches",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()"), comment="Also a tag of the run"),
    Column("job_name", Text, nullable=False, comment="Dagster job"),
    Column("source", Text, nullable=False),
    Column("tags", JSONB, nullable=False),
    Column("requested_by", ForeignKey("users.id", ondelete="SET NULL")),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("unsure", Integer, nullable=False, server_default=text("0"), comment="Attempts whose answer was lost"),
    moment("created_at", now=True),
    moment("not_before", now=True),
    moment("finished_at"),
    Column("run_id", Text, comment="Dagster run"),
    Column("error", Text, comment="Why it is not launched yet, or never will be"),
    CheckConstraint(one_of("state", "pending", "launched", "failed"), name="state"),
    CheckConstraint("(state = 'pending') = (finished_at IS NULL)", name="finished"),
    CheckConstraint("(state = 'launched') = (run_id IS NOT NULL)", name="launched"),
    # Two clicks are one run: what waits to be launched is not asked for twice.
    Index("uq_run_launches_pending", "job_name", "tags", unique=True, postgresql_where=text("state = 'pending'")),
    Index("ix_run_launches_created_at", "created_at"),
)
"""Runs that somebody asked for, committed before Dagster is asked."""

quota_limits = Table(
    "quota_limits",
    metadata,
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("quota", Text, primary_key=True),
    Column("allowed", BigInteger, nullable=False, comment="A period"),
    CheckConstraint("allowed >= 0", name="allowed"),
)
"""Users whose limits differ from the settings."""

quota_usage = Table(
    "quota_usage",
    metadata,
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("quota", Text, primary_key=True),
    Column("period_start", DateTime(timezone=True), primary_key=True),
    Column("used", BigInteger, nullable=False),
    CheckConstraint("used >= 0", name="used"),
)
"""What users have used of their quotas, by period."""

Index(
    "ix_deduplicated_events_begins",
    text("(coalesce(start_local, local_date::timestamp))"),
    deduplicated_events.c.event_id,
    postgresql_where=text("replaced_by IS NULL"),
)
# In the order in which the service lists events: a page is one range of this index, however far down it lies.

Index(
    "ix_deduplicated_events_ends",
    text("((event -> 'end') ->> 'date')"),
    deduplicated_events.c.event_id,
    postgresql_where=text("replaced_by IS NULL"),
)
# What began earlier and is still on is found by this: the end is in a wide column, which no list may read of every event.
