"""Incidents of folders that could not be taken from the inbox."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint(op.f("ck_incidents_subject_type"), "incidents")
    op.create_check_constraint(
        op.f("ck_incidents_subject_type"),
        "incidents",
        "subject_type IN ('import_job', 'async_job', 'run', 'pool', 'backfill', 'folder')",
    )


def downgrade() -> None:
    op.execute("DELETE FROM incidents WHERE subject_type = 'folder'")
    op.drop_constraint(op.f("ck_incidents_subject_type"), "incidents")
    op.create_check_constraint(
        op.f("ck_incidents_subject_type"),
        "incidents",
        "subject_type IN ('import_job', 'async_job', 'run', 'pool', 'backfill')",
    )
