"""Files in parts that are stored while they arrive, and passages of documents for the chat."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "study_files",
        sa.Column("id", sa.Uuid(), nullable=False, comment="Made by us: what a client calls a file names nothing"),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_study_files_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study_files")),
    )
    op.create_index("ix_study_files_user_id", "study_files", ["user_id"], unique=False)
    op.create_index("ix_study_files_created_at", "study_files", ["created_at"], unique=False)
    op.create_table(
        "study_file_parts",
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="From 0, without gaps"),
        sa.Column("bytes", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["file_id"],
            ["study_files.id"],
            name=op.f("fk_study_file_parts_file_id_study_files"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("file_id", "number", name=op.f("pk_study_file_parts")),
    )
    # Uploads are PDFs and archives: trying to compress them again costs more time than receiving them.
    op.execute("ALTER TABLE study_file_parts ALTER COLUMN bytes SET STORAGE EXTERNAL")
    op.add_column(
        "study_documents",
        sa.Column("file_id", sa.Uuid(), nullable=True, comment="Where the bytes are; NULL: in `content`"),
    )
    op.create_foreign_key(
        op.f("fk_study_documents_file_id_study_files"),
        "study_documents",
        "study_files",
        ["file_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_index(
        "ix_study_documents_file_id",
        "study_documents",
        ["file_id"],
        unique=False,
        postgresql_where=sa.text("file_id IS NOT NULL"),
    )
    op.create_table(
        "study_passages",
        sa.Column("collection_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="Of the document in its collection"),
        sa.Column("number", sa.Integer(), nullable=False, comment="Of the passage in its document, from 0"),
        sa.Column("text_sha256", sa.Text(), nullable=False, comment="Of the text that the offsets refer to"),
        sa.Column("start_offset", sa.Integer(), nullable=False),
        sa.Column("end_offset", sa.Integer(), nullable=False),
        sa.Column("words", postgresql.TSVECTOR(), nullable=False),
        sa.CheckConstraint("0 <= start_offset AND start_offset < end_offset", name=op.f("ck_study_passages_offsets")),
        sa.ForeignKeyConstraint(
            ["collection_id", "position"],
            ["study_documents.collection_id", "study_documents.position"],
            name="fk_study_passages_document",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("collection_id", "position", "number", name=op.f("pk_study_passages")),
    )
    op.create_index("ix_study_passages_words", "study_passages", ["words"], unique=False, postgresql_using="gin")


def downgrade() -> None:
    op.drop_index("ix_study_passages_words", table_name="study_passages", postgresql_using="gin")
    op.drop_table("study_passages")
    op.drop_index(
        "ix_study_documents_file_id",
        table_name="study_documents",
        postgresql_where=sa.text("file_id IS NOT NULL"),
    )
    op.drop_constraint(op.f("fk_study_documents_file_id_study_files"), "study_documents", type_="foreignkey")
    # A document without its bytes could not be extracted again.
    op.execute(
        "UPDATE study_documents d SET content = coalesce((SELECT string_agg(bytes, ''::bytea ORDER BY number)"
        " FROM study_file_parts p WHERE p.file_id = d.file_id), ''::bytea) WHERE file_id IS NOT NULL"
    )
    op.drop_column("study_documents", "file_id")
    op.drop_table("study_file_parts")
    op.drop_index("ix_study_files_created_at", table_name="study_files")
    op.drop_index("ix_study_files_user_id", table_name="study_files")
    op.drop_table("study_files")
