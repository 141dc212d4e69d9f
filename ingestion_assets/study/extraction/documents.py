"""Files to documents: hashes, the child's text, language, and the codes of what could not be used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from ingestion_assets.study.extraction.child import run_child
from ingestion_assets.study.extraction.errors import DocumentError
from ingestion_assets.study.extraction.sniff import PDF, check_head
from ingestion_assets.study.language import SUPPORTED, document_language
from ingestion_assets.study.model import Document, DocumentCode, DocumentStatus
from ingestion_assets.study.settings import StudySettings

MIN_LETTERS: Final = 200
"""Below this nothing can be asked that is worth remembering."""
LETTERS_A_PAGE: Final = 20
"""A scan carries a few letters at most: a stamp, a page number."""
_LETTER: Final = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came. The name is data: it is shown, never used as a path."""

    name: str
    content: bytes


FAULTS_OF_NAME: Final = (DocumentCode.MISMATCH, DocumentCode.UNSUPPORTED)
"""The same bytes under another name may be usable: such a file makes no other one its duplicate."""


def extract(upload: Upload, settings: StudySettings | None = None) -> Document:
    """One file to one document. Never raises for what is wrong with the file: the document says so."""
    settings = settings or StudySettings()
    name = _shown(upload.name)
    digest = sha256(upload.content).hexdigest()
    blank = Document(name=name, sha256=digest, status=DocumentStatus.FAILED, size=len(upload.content))
    try:
        _check_size(len(upload.content), settings)
        answer = run_child(name, upload.content, settings)
    except DocumentError as error:
        return replace(blank, code=error.code, detail=str(error))
    text = str(answer["text"])
    document = replace(
        blank,
        media_type=answer["media_type"],
        text=text,
        text_sha256=sha256(text.encode()).hexdigest(),
        page_starts=tuple(answer["page_starts"]),
        extractor=answer["extractor"],
    )
    problem = _too_little(document)
    if problem is not None:
        return replace(document, code=problem[0], detail=problem[1])
    return replace(document, status=DocumentStatus.READY, language=document_language(text))


def refused(name: str, head: bytes, *, size: int, digest: str, settings: StudySettings) -> Document | None:
    """The document of a file that its size or its first bytes rule out; None: it has to be extracted."""
    name = _shown(name)
    try:
        _check_size(size, settings)
        check_head(name, head)
    except DocumentError as error:
        return Document(
            name=name, sha256=digest, status=DocumentStatus.FAILED, size=size, code=error.code, detail=str(error)
        )
    return None


def extract_all(uploads: Iterable[Upload], settings: StudySettings | None = None) -> Iterator[Document]:
    """Documents in the order of the files; a file, or a text, that came before is skipped as a duplicate."""
    settings = settings or StudySettings()
    files: dict[str, str] = {}
    texts: dict[str, str] = {}
    for upload in uploads:
        digest = sha256(upload.content).hexdigest()
        if upload.content and digest in files:
            yield _duplicate(
                Document(
                    name=_shown(upload.name), sha256=digest, status=DocumentStatus.SKIPPED, size=len(upload.content)
                ),
                files[digest],
            )
            continue
        document = extract(upload, settings)
        if document.code not in FAULTS_OF_NAME:
            files.setdefault(digest, document.name)
        if document.ready and document.text_sha256 in texts:
            document = _duplicate(document, texts[document.text_sha256])
        elif document.ready:
            texts[document.text_sha256] = document.name
        yield document


def wanted_language(document: Document, asked: str | None) -> str | None:
    """The language of the cards of a document: as asked, else its own; None when it is none that is supported."""
    language = asked or document.language
    return language if language in SUPPORTED else None


def _check_size(size: int, settings: StudySettings) -> None:
    if not size:
        raise DocumentError(DocumentCode.EMPTY, "the file has 0 bytes: upload it again")
    if size > settings.max_document_bytes:
        most = settings.max_document_bytes // (1024 * 1024)
        raise DocumentError(DocumentCode.TOO_LARGE, f"the file has more than {most} MiB: split it")


def _duplicate(document: Document, first: str) -> Document:
    return replace(document, status=DocumentStatus.SKIPPED, code=DocumentCode.DUPLICATE, detail=f"the same as {first}")


def _too_little(document: Document) -> tuple[DocumentCode, str] | None:
    letters = 0
    for _ in _LETTER.finditer(document.text):
        letters += 1
        if letters >= max(MIN_LETTERS, LETTERS_A_PAGE * (document.pages or 0)):
            return None
    if document.media_type == PDF and letters < LETTERS_A_PAGE * (document.pages or 1):
        return DocumentCode.NO_TEXT_LAYER, "the pages are images without text: run OCR and upload the result"
    if letters == 0:
        return DocumentCode.EMPTY, "the file holds no text"
    if letters < MIN_LETTERS:
        return DocumentCode.INSUFFICIENT, f"the file holds {letters} letters; at least {MIN_LETTERS} are needed"
    return None


def _shown(name: str) -> str:
    """A file name fit for messages and tables: its last part, without controls, at most 200 characters."""
    last = re.split(r"[\\/]", name)[-1]
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", "", last)[:200] or "unnamed"
