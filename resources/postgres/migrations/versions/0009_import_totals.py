"""Counters of imports whose rows the retention took away."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "import_totals",
        sa.Column("source", sa.Text(), nullable=False, comment="The asset, without the collection"),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("imports", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("seconds", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("nb_created", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("nb_updated", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("nb_skipped", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("nb_errors", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("nb_refused", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('SUCCESS', 'ERROR')", name=op.f("ck_import_totals_status")),
        sa.PrimaryKeyConstraint("source", "status", name=op.f("pk_import_totals")),
    )


def downgrade() -> None:
    op.drop_table("import_totals")
