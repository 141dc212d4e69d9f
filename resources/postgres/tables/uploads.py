"""Files as they arrive over HTTP, and the passages of their text in which the chat looks for answers.

Belongs here: columns and constraints. Who writes them: `ingestion_assets/ledger/uploads.py` and
`ingestion_assets/assistant/retrieval.py`.
"""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from resources.postgres.tables.base import metadata, moment

study_files = Table(
    "study_files",
    metadata,
    Column("id", Uuid, primary_key=True, comment="Made by us: what a client calls a file names nothing"),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE")),
    moment("created_at", now=True),
    Index("ix_study_files_user_id", "user_id"),
    Index("ix_study_files_created_at", "created_at"),
)
"""One row for each file that began to arrive. Those that no document names after a day are removed."""

study_file_parts = Table(
    "study_file_parts",
    metadata,
    Column("file_id", ForeignKey("study_files.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, comment="From 0, without gaps"),
    Column("bytes", LargeBinary, nullable=False),
)
"""The bytes of a file, committed part by part while they arrive: nothing is left to be stored after the last one."""

study_passages = Table(
    "study_passages",
    metadata,
    Column("collection_id", Text, primary_key=True),
    Column("position", Integer, primary_key=True, comment="Of the document in its collection"),
    Column("number", Integer, primary_key=True, comment="Of the passage in its document, from 0"),
    Column("text_sha256", Text, nullable=False, comment="Of the text that the offsets refer to"),
    Column("start_offset", Integer, nullable=False),
    Column("end_offset", Integer, nullable=False),
    Column("words", TSVECTOR, nullable=False),
    ForeignKeyConstraint(
        ["collection_id", "position"],
        ["study_documents.collection_id", "study_documents.position"],
        ondelete="CASCADE",
        name="fk_study_passages_document",
    ),
    CheckConstraint("0 <= start_offset AND start_offset < end_offset", name="offsets"),
    Index("ix_study_passages_words", "words", postgresql_using="gin"),
)
"""Stretches of documents, made when somebody first asks about them."""
