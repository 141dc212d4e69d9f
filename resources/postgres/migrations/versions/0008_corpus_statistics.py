"""Snapshots of corpus statistics, one of them adopted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "corpus_statistics",
        sa.Column("version", sa.Text(), nullable=False, comment="Digest of the snapshot"),
        sa.Column("snapshot", sa.Text(), nullable=False, comment="JSON, byte for byte as it was learned"),
        sa.Column("records", sa.BigInteger(), nullable=False, comment="Records that it was learned from"),
        sa.Column("learned_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("adopted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("adopted_by", sa.Text(), nullable=True),
        sa.CheckConstraint("(adopted_at IS NULL) = (adopted_by IS NULL)", name=op.f("ck_corpus_statistics_adopted")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_corpus_statistics")),
    )
    op.create_index(
        "uq_corpus_statistics_adopted",
        "corpus_statistics",
        [sa.literal_column("(true)")],
        unique=True,
        postgresql_where=sa.text("adopted_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "uq_corpus_statistics_adopted",
        table_name="corpus_statistics",
        postgresql_where=sa.text("adopted_at IS NOT NULL"),
    )
    op.drop_table("corpus_statistics")
