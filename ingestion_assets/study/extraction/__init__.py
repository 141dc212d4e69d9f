"""From the bytes of a file to its canonical text, in a child process with limits."""

from ingestion_assets.study.extraction.documents import Upload, extract, extract_all

__all__ = ["Upload", "extract", "extract_all"]
