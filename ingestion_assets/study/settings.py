"""Limits of the study domain, read from the environment when asked."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024


class StudySettings(BaseSettings):
    """What a document may cost, and where batches are dropped."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True)

    max_document_bytes: int = Field(
        default=64 * MIB,
        validation_alias="STUDY_MAX_DOCUMENT_BYTES",
        gt=0,
        description="Size of one uploaded file, in bytes.",
    )
    max_inflated_bytes: int = Field(
        default=200 * MIB,
        validation_alias="STUDY_MAX_INFLATED_BYTES",
        gt=0,
        description="Bytes that the members of one DOCX, PPTX, ODT or EPUB may unpack to.",
    )
    max_text_chars: int = Field(
        default=12_000_000,
        validation_alias="STUDY_MAX_TEXT_CHARS",
        gt=0,
        description="Characters of text of one document: six times a book of 500 dense pages.",
    )
    extraction_seconds: float = Field(
        default=25.0,
        validation_alias="STUDY_EXTRACTION_SECONDS",
        gt=0,
        description="Wall clock and CPU seconds for the extraction of one document.",
    )
    extraction_memory_bytes: int = Field(
        default=448 * MIB,
        validation_alias="STUDY_EXTRACTION_MEMORY_BYTES",
        ge=128 * MIB,
        description="Resident memory of the extracting process, in bytes.",
    )
    judge_share: float = Field(
        default=0.1,
        validation_alias="STUDY_JUDGE_SHARE",
        ge=0,
        le=1,
        description="Share of the stored cards and questions that a provider checks again against the source. 0: none.",
    )
    inbox: Path | None = Field(
        default=None,
        validation_alias="INGESTION_INBOX",
        description="Folder in which each sub-folder is a batch of documents, taken when it is complete.",
    )
