"""Why a file could not be read: a document code, and a sentence for the person who uploaded it."""

from __future__ import annotations

from ingestion_assets.study.model import DocumentCode
from resources.errors import PermanentError


class DocumentError(PermanentError):
    """The file will fail again until somebody changes it."""

    def __init__(self, code: DocumentCode, message: str) -> None:
        super().__init__(message)
        self.code = code
